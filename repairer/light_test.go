package repairer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/repairer"
)

// dark is a fleet whose hosts have no locate lights, and answer as the real hand does then.
type dark struct{ repairer.Hosts }

func (d dark) Execute(ctx context.Context, host string, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	if o.GetVerb() == gliav1.Verb_VERB_LOCATE {
		return &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_DONE, Output: "no locate light known for " + o.GetPlace()}, nil
	}
	return d.Hosts.Execute(ctx, host, o)
}

func TestService_LocateForAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.serve()
	locate := func(host, disk, person string) error {
		_, err := api.Locate(t.Context(), connect.NewRequest(&gliav1.LocateRequest{Host: host, Disk: disk, Person: person, On: true}))
		return err
	}
	w.tick()
	wantCode(t, locate("node-1", "2", ""), connect.CodeInvalidArgument, "the name of the person")
	wantCode(t, locate("node-1", "77", "ann"), connect.CodeNotFound, `no disk with the serial, slot or place "77"`)
	wantCode(t, locate("node-1", "", "ann"), connect.CodeNotFound, "no disk")
	for _, name := range []string{"2", "N1S2", "slot 2"} {
		w.now = w.now.Add(time.Second)
		if err := locate("node-1", name, "ann"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := strings.Join(w.fleet.Lights(), ", "); got != "node-1 slot 2 on=true, node-1 slot 2 on=true, node-1 slot 2 on=true" {
		t.Errorf("lights %q", got)
	}
	if log := w.auditText(api); strings.Count(log, "ann wants the locate light of slot 2 of node-1 (disk N1S2) on") != 3 || strings.Count(log, "(disk N1S2) is on") != 3 {
		t.Errorf("the log tells %s", log)
	}
}

func TestService_LocateRefusesWithoutALight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Hosts = dark{o.Hosts} })
	api := w.serve()
	w.tick()
	_, err := api.Locate(t.Context(), connect.NewRequest(&gliav1.LocateRequest{Host: "node-1", Disk: "2", Person: "ann", On: true}))
	wantCode(t, err, connect.CodeFailedPrecondition, "no locate light known for slot 2")
	if log := w.auditText(api); !strings.Contains(log, "is not on: no locate light known") {
		t.Errorf("the log tells %s", log)
	}
}

// numb is a fleet whose hands do what they are told, and whose answers are lost, after which the caller may have gone.
type numb struct {
	repairer.Hosts
	gone func()
}

func (n numb) Execute(ctx context.Context, host string, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	_, err := n.Hosts.Execute(ctx, host, o)
	if err == nil {
		err = fmt.Errorf("%w: no answer", glia.ErrUnreachable)
	}
	if n.gone != nil {
		n.gone()
		err = ctx.Err()
	}
	return nil, err
}

func TestService_LocateWithoutAnAnswerSaysSo(t *testing.T) {
	t.Parallel()
	for _, leaves := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		n := numb{}
		if leaves {
			n.gone = cancel
		}
		w := newWorld(t, func(o *repairer.Options) { n.Hosts = o.Hosts; o.Hosts = n })
		w.tick()
		_, err := repairer.NewService(w.engine, nil).Locate(ctx, connect.NewRequest(&gliav1.LocateRequest{Host: "node-1", Disk: "2", Person: "ann", On: true}))
		cancel()
		if err == nil || len(w.fleet.Lights()) != 1 {
			t.Errorf("the caller leaves %t: %v, lights %q", leaves, err, w.fleet.Lights())
		}
		if log := w.auditText(w.serve()); !strings.Contains(log, "(disk N1S2) may be on: ") || strings.Contains(log, "is not on") {
			t.Errorf("the caller leaves %t: the log tells %s", leaves, log)
		}
	}
}

func TestMeant_NamesOneDisk(t *testing.T) {
	t.Parallel()
	disk := func(serial, enclosure, slot string) glia.DiskStatus {
		return glia.DiskStatus{Disk: glia.Disk{Identity: glia.Identity{Serial: serial}, Location: glia.Location{Enclosure: enclosure, Slot: slot}}}
	}
	disks := []glia.DiskStatus{disk("A", "e1", "3"), disk("B", "e2", "3"), disk("C", "e2", "4")}
	for named, want := range map[string]string{"A": "A", "e2 slot 3": "B", "4": "C", "3": "more than one disk", "D": "no disk", "": "no disk"} {
		d, why := repairer.Meant(disks, "h", named)
		if d.Disk.Serial() != want && (why == "" || !strings.Contains(why, want)) {
			t.Errorf("%q is %s, %s", named, d.Disk.Serial(), why)
		}
	}
}

// auditText is the exported log.
func (w *world) auditText(api gliav1connect.RepairServiceClient) string {
	w.t.Helper()
	stream, err := api.ExportAudit(w.t.Context(), connect.NewRequest(&gliav1.ExportAuditRequest{}))
	if err != nil {
		w.t.Fatal(err)
	}
	var out strings.Builder
	for stream.Receive() {
		out.WriteString(stream.Msg().GetJson() + "\n")
	}
	if err := stream.Err(); err != nil {
		w.t.Fatal(err)
	}
	return out.String()
}
