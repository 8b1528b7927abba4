package dev_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/internal/daemon"
	"glia/internal/dev"
	"glia/internal/program/repairerd"
)

// alarmWithin is the promise: from the pull of a wrong disk to the alarm, with default settings.
const alarmWithin = 5 * time.Second

// tries are how often the alarm may be late before the promise is broken: other tests may have the machine for seconds.
const tries = 5

func TestRepairer_RaisesTheAlarmForAWrongDiskWithinSeconds(t *testing.T) {
	t.Parallel()
	needLoop(t)
	o := dev.WithDefaultPace(newOptions(t))
	o.Out = os.Stderr
	ctx, g, fleet := running(t, o, 10*time.Minute)
	c, url, err := fleet.RepairerConfig(ctx)
	if err != nil {
		t.Fatal(err)
	}
	g.Go(func() error { return repairerd.Run(ctx, c, nil, logOf(t)) })
	client := gliav1connect.NewRepairServiceClient(daemon.HTTPClient(nil), url)
	nerve := gliav1connect.NewHostServiceClient(daemon.HTTPClient(nil), fleet.Nerve(2))

	serial, _, err := fail(ctx, t, nerve, dev.Act{Dir: o.Dir, Host: "node-2", Slot: 3})
	if err != nil {
		t.Fatal(err)
	}
	var id string
	poll(ctx, t, "the ticket", func() bool {
		r, err := client.ListCases(ctx, connect.NewRequest(&gliav1.ListCasesRequest{}))
		if err != nil || len(r.Msg.GetCases()) != 1 {
			return false
		}
		id = r.Msg.GetCases()[0].GetId()
		return r.Msg.GetCases()[0].GetTicket() != "" && r.Msg.GetCases()[0].GetPhase() == "awaiting replacement"
	})
	alarm := func() string {
		r, err := client.GetCase(ctx, connect.NewRequest(&gliav1.GetCaseRequest{Id: id}))
		if err != nil {
			t.Fatal(err)
		}
		return r.Msg.GetCase().GetAlarm()
	}
	wrong := dev.Act{Dir: o.Dir, Host: "node-2", Slot: 1}
	var took time.Duration
	for range tries {
		pulled := time.Now()
		other, err := wrong.Pull()
		if err != nil {
			t.Fatal(err)
		}
		poll(ctx, t, "the alarm", func() bool { return strings.Contains(alarm(), "WRONG DISK: "+other) })
		took = time.Since(pulled)
		t.Logf("ordered was %s; alarm %.1f s after %s was pulled", serial, took.Seconds(), other)
		if _, err := wrong.Insert(ctx, other, false, false); err != nil {
			t.Fatal(err)
		}
		back := time.Now()
		poll(ctx, t, "the end of the alarm", func() bool { return alarm() == "" })
		t.Logf("the alarm ended %.1f s after the disk was put back", time.Since(back).Seconds())
		if took <= alarmWithin {
			return
		}
	}
	t.Errorf("the alarm came after %s, want %s at most", took, alarmWithin)
}

// fail breaks a disk and has its nerve probe it until it says so, which by itself it would within minutes.
func fail(ctx context.Context, t *testing.T, nerve gliav1connect.HostServiceClient, a dev.Act) (serial, how string, err error) {
	t.Helper()
	probe := func(want gliav1.State) bool {
		r, err := nerve.ProbeDisk(ctx, connect.NewRequest(&gliav1.ProbeDiskRequest{Serial: "N2S3A"}))
		return err == nil && r.Msg.GetDisk().GetVerdict().GetState() == want
	}
	poll(ctx, t, "a healthy disk", func() bool { return probe(gliav1.State_STATE_HEALTHY) })
	serial, how, err = a.Fail()
	if err == nil {
		poll(ctx, t, "a failed disk", func() bool { return probe(gliav1.State_STATE_FAILED) })
	}
	return serial, how, err
}
