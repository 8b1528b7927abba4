package dev

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/internal/daemon"
)

// The disk that breaks in the demo.
const (
	storyHost = "node-2"
	storySlot = 3
)

// patience bounds the whole repair; a demo that takes longer has failed. A burn-in waits for the medium
// twenty times, which takes minutes while other programs flush much to the same one. With Ceph, data is
// moved twice.
func (d *demo) patience() time.Duration {
	if d.ceph != nil {
		return 20 * time.Minute
	}
	return 10 * time.Minute
}

// story is the repair as a person sees it: every line is what one of the programs has told.
type story struct {
	*demo
	fleet  gliav1connect.FleetServiceClient
	repair gliav1connect.RepairServiceClient
	began  time.Time // when the disk broke
	filed  time.Duration
	watch  *watch // of the cluster; nil without Ceph
}

func (d *demo) story(ctx context.Context) error {
	client := daemon.HTTPClient(nil)
	s := &story{demo: d, fleet: gliav1connect.NewFleetServiceClient(client, d.synapse), repair: gliav1connect.NewRepairServiceClient(client, d.repairer)}
	told, cancel := context.WithTimeout(ctx, d.patience())
	defer cancel()
	if err := s.tell(told); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		if told.Err() != nil {
			return fmt.Errorf("the repair was not complete after %s: %w", d.patience(), err)
		}
		return err
	}
	if d.Once {
		return nil
	}
	s.offer()
	<-ctx.Done()
	d.say("\nEnding; every mount, loop device and file of the demo is removed.")
	return nil
}

// at prints one line of the story with its time.
func (s *story) at(what, format string, args ...any) {
	s.say("%6.1f s  %-11s %s", time.Since(s.began).Seconds(), what, fmt.Sprintf(format, args...))
}

func (s *story) tell(ctx context.Context) error {
	if err := s.healthy(ctx); err != nil {
		return err
	}
	serial, err := s.stage.serial(storyHost, storySlot)
	if err != nil {
		return err
	}
	if s.ceph != nil {
		if s.watch, err = s.ceph.begin(ctx, s.ceph.osd(storyHost, storySlot)); err != nil {
			return err
		}
		defer s.watch.stop()
		s.say("A client has written %d objects of 1 MiB; it reads them from now on and compares their checksums.", objectCount)
	}
	s.say("All %d disks are healthy. Now %s in slot %d of %s breaks.\n", len(hostNames)*disksPerHost, serial, storySlot, storyHost)
	s.began = time.Now()
	how, err := s.stage.fail(storyHost, storySlot)
	if err != nil {
		return err
	}
	s.at("broken", "%s: %s", serial, how)
	if err := s.noticed(ctx, serial); err != nil {
		return err
	}
	id, err := s.caseOf(ctx, serial)
	if err != nil {
		return err
	}
	if err := s.follow(ctx, id, serial); err != nil {
		return err
	}
	s.say("")
	if s.watch != nil {
		lines, bad := s.watch.figures(ctx)
		s.say("%s", strings.Join(lines, "\n"))
		err = bad
	}
	s.say("From failure to filed ticket: %.1f s. The whole cycle: %.1f s.", s.filed.Seconds(), time.Since(s.began).Seconds())
	return err
}

// healthy waits until the synapse sees every host with healthy disks only.
func (s *story) healthy(ctx context.Context) error {
	return s.view(ctx, func(v glia.FleetView) bool {
		n := 0
		for _, h := range v.Hosts {
			if a := h.Member.Announcement; h.Member.Status == glia.MemberAlive && a.Worst == glia.StateHealthy && a.DiskCount == disksPerHost {
				n++
			}
		}
		return n == len(hostNames)
	})
}

// noticed waits until the detail of the verdict has come through.
func (s *story) noticed(ctx context.Context, serial string) error {
	var announced time.Duration
	return s.view(ctx, func(v glia.FleetView) bool {
		for _, h := range v.Hosts {
			a := h.Member.Announcement
			if a.Host != storyHost || a.Worst < glia.StateFailing {
				continue
			}
			if announced == 0 {
				announced = time.Since(s.began)
			}
			for _, d := range h.Disks {
				if d.Disk.Serial() == serial && d.Verdict.State >= glia.StateFailing {
					s.say("%6.1f s  %-11s the nerve of %s says of %s: %s", d.Verdict.ObservedAt.Sub(s.began).Seconds(), "noticed", storyHost, serial, d.Verdict.Summary())
					s.say("%6.1f s  %-11s in Serf: disks=%s disk_count=%d bad=%s", announced.Seconds(), "announced", a.Worst, a.DiskCount, badList(a))
					return true
				}
			}
		}
		return false
	})
}

func badList(a glia.Announcement) string {
	var out []string
	for _, b := range a.Bad {
		out = append(out, b.Device+":"+b.State.String())
	}
	return strings.Join(out, ",")
}

// view follows the synapse until ok.
func (s *story) view(ctx context.Context, ok func(glia.FleetView) bool) error {
	for {
		stream, err := s.fleet.WatchFleet(ctx, connect.NewRequest(&gliav1.WatchFleetRequest{}))
		if err == nil {
			for stream.Receive() {
				if ok(api.FleetViewFromProto(stream.Msg().GetView())) {
					return stream.Close()
				}
			}
			err = errors.Join(stream.Err(), stream.Close())
		}
		if err := again(ctx, err); err != nil {
			return err
		}
	}
}

// again waits a little before the next attempt, or says why there is none.
func again(ctx context.Context, last error) error {
	select {
	case <-ctx.Done():
		return errors.Join(ctx.Err(), last)
	case <-time.After(50 * time.Millisecond):
		return nil
	}
}

// caseOf waits for the case of a disk.
func (s *story) caseOf(ctx context.Context, serial string) (string, error) {
	for {
		r, err := s.repair.ListCases(ctx, connect.NewRequest(&gliav1.ListCasesRequest{All: true}))
		if err == nil {
			for _, c := range r.Msg.GetCases() {
				if c.GetSerial() == serial {
					return c.GetId(), nil
				}
			}
		}
		if err := again(ctx, err); err != nil {
			return "", err
		}
	}
}

// follow prints the case's log as it grows, and plays the technician when the ticket is there.
func (s *story) follow(ctx context.Context, id, serial string) error {
	stream, err := s.repair.WatchCase(ctx, connect.NewRequest(&gliav1.WatchCaseRequest{Id: id}))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() // it has ended, or its error was told
	if s.ceph != nil {
		var telling sync.WaitGroup
		watched, cancel := context.WithCancel(ctx)
		telling.Go(func() { s.progress(watched, id) })
		defer telling.Wait()
		defer cancel()
	}
	ticket, approved := "", false
	for stream.Receive() {
		c := stream.Msg().GetCase()
		for _, e := range stream.Msg().GetEvents() {
			if e.GetKind() == "begun" || e.GetKind() == "planned" || e.GetKind() == "confirming" || e.GetKind() == "shown" {
				continue // the line that follows, or the one before, tells it
			}
			s.say("%6.1f s  %-11s %s", e.GetAt().AsTime().Sub(s.began).Seconds(), label(e), e.GetText())
			if e.GetStep() == "ticket" && e.GetKind() == "done" {
				s.filed = e.GetAt().AsTime().Sub(s.began)
			}
			if s.watch != nil {
				if err := s.watch.look(ctx, e); err != nil {
					return err
				}
			}
		}
		if s.ceph != nil && !approved {
			if approved, err = s.approve(ctx, c); err != nil {
				return err
			}
		}
		if ticket == "" && c.GetTicket() != "" {
			ticket = c.GetTicket()
			if err := s.technician(ctx, ticket, serial); err != nil {
				return err
			}
		}
		switch c.GetPhase() {
		case "closed":
			return nil
		case "cancelled", "superseded", "parked":
			return fmt.Errorf("case %s is %s: %s", id, c.GetPhase(), c.GetWaitingFor())
		}
	}
	return errors.Join(stream.Err(), fmt.Errorf("the repairer ended the stream of case %s", id))
}

// label is what an event is called in the story.
func label(e *gliav1.Event) string {
	words := map[string]string{"drain": "drained", "unmount": "unmounted", "locate-on": "light", "locate-off": "light", "ticket": "ticket", "burn-in": "burned in", "format": "formatted", "mount": "mounted", "rejoin": "rejoined", "settle": "settled", "close": "thanked",
		"note": "noted", "stop": "stopped", "destroy": "destroyed", "deactivate": "let go", "prepare": "prepared", "activate": "activated", "ramp": "ramped up", "refill": "filled"}
	switch {
	case e.GetKind() == "done" && words[e.GetStep()] != "":
		return words[e.GetStep()]
	case e.GetKind() == "inspecting":
		return "inspected"
	case e.GetKind() == "opened":
		return "case opened"
	case e.GetKind() == "ended":
		return "closed"
	}
	return e.GetKind()
}

// technician reads the ticket, swaps the disk and says so.
func (s *story) technician(ctx context.Context, ticket, serial string) error {
	r, err := s.repair.GetTicket(ctx, connect.NewRequest(&gliav1.GetTicketRequest{Id: ticket}))
	if err != nil {
		return err
	}
	s.at("technician", "reads %s %q and pulls %s", ticket, r.Msg.GetTicket().GetTitle(), serial)
	if err := s.stage.pull(storyHost, storySlot); err != nil {
		return err
	}
	next := serialOf(storyHost, storySlot, 1)
	if err := s.stage.insert(ctx, storyHost, storySlot, next, s.stage.size(), false); err != nil {
		return err
	}
	s.at("technician", "puts in %s, blank and as large, and resolves the ticket", next)
	_, err = s.repair.ResolveTicket(ctx, connect.NewRequest(&gliav1.ResolveTicketRequest{Id: ticket, Resolution: "done", Person: "technician", Comment: "new disk is " + next}))
	return err
}

// offer tells what to try with the demo that goes on running.
func (s *story) offer() {
	env := ""
	if s.repairer != "http://127.0.0.1:7413" {
		env = fmt.Sprintf("  export GLIA_REPAIRER=%s GLIA_SYNAPSE=%s\n", s.repairer, s.synapse)
	}
	dir := ""
	switch {
	case s.ceph != nil && s.Dir == defaultDir(true):
		dir = " --ceph"
	case s.Dir != DefaultDir():
		dir = " --dir " + s.Dir
	}
	more := ""
	if s.ceph != nil {
		more = "\n  bin/glia approve c2 --hash ...           the hash is in: bin/glia case c2; without it, one kind of evidence is not enough" +
			"\n  CEPH_CONF=" + s.ceph.cluster.Conf + " ceph -s    the cluster, by Ceph's own tools"
	}
	lines := slices.Concat([]string{
		"\nThe fleet stays up. In another terminal, try:",
		env + "  bin/glia status",
		"  bin/glia cases --all                     then: bin/glia case c1",
		"  serf members                             (Debian's package serf); serf members -tag disks=failed",
		"  bin/glia dev fail" + dir + " node-1 2            another disk breaks; you are the technician this time:" + more,
		"  bin/glia dev pull" + dir + " node-1 3            pull the wrong one, and see bin/glia status",
		"  bin/glia dev insert" + dir + " node-1 3 N1S3A    put it back",
		"  bin/glia dev pull" + dir + " node-1 2            pull the right one",
		"  bin/glia dev insert" + dir + " --used node-1 2   put in a disk that carries data; --small one that is too small",
		"  bin/glia pause --reason lunch            nothing new is begun until it is resumed",
		"  touch " + s.Dir + "/STOP               the brake that works when all else is down; rm it to go on",
		"The log of all programs is " + s.Dir + "/glia.log. Ctrl-C ends the demo.",
	})
	s.say("%s", strings.Join(lines, "\n"))
}
