package trial

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/internal/sim"
	"glia/repairer"
)

// signature is how somebody signs: one human may do so under two names, or as two users.
type signature struct {
	human      int
	name, user string
}

// signatures are those in use, first one of each human.
var signatures = []signature{
	{0, "operator", "op"}, {1, "colleague", "co"},
	{0, " Operator", "laptop"}, {1, "deputy", "co"},
}

// consent is a human's approval of one plan.
type consent struct {
	hash  string
	human int
}

// consenting counts the humans who approve the plan.
func (w *world) consenting(id, hash string) int {
	humans := map[int]bool{}
	for _, a := range w.consent[id] {
		humans[a.human] = humans[a.human] || a.hash == hash
	}
	n := 0
	for _, yes := range humans {
		if yes {
			n++
		}
	}
	return n
}

// approve notes the consent before it is given, because a crash may hide that it was taken.
func (w *world) approve(ctx context.Context, c repairer.Case, hash string, by signature) error {
	w.consent[c.ID] = append(w.consent[c.ID], consent{hash, by.human})
	return w.ask(func(s *repairer.Service) error {
		_, err := s.Approve(ctx, connect.NewRequest(&gliav1.ApproveRequest{CaseId: c.ID, Person: by.name, OsUser: by.user, PlanHash: hash}))
		return err
	})
}

// shift mounts the disk of a case elsewhere, for good or until the repairer has made another plan.
func (w *world) shift(ctx context.Context, c repairer.Case, e Event) error {
	was := w.truth(c.Host(), c.Serial()).disk.Mounted
	w.onSerial(c.Host(), c.Serial(), func(d *sim.Disk) { remount(d, e.N) })
	if e.Op != OpReturn {
		return nil
	}
	for range 3 {
		if err := w.tick(ctx); err != nil {
			return err
		}
	}
	w.onSerial(c.Host(), c.Serial(), func(d *sim.Disk) {
		if d.Mounted != "" {
			d.Mounted = was
		}
	})
	return nil
}

// withdrawAll takes back what the first human has approved.
func (w *world) withdrawAll(ctx context.Context) error {
	if w.proc == nil {
		return nil
	}
	open, err := w.open(ctx)
	if err != nil {
		return err
	}
	by := signatures[0]
	for _, c := range open {
		if c.Started || len(c.Approvals) == 0 || w.proc == nil {
			continue
		}
		err := w.ask(func(s *repairer.Service) error {
			_, err := s.WithdrawApproval(ctx, connect.NewRequest(&gliav1.WithdrawApprovalRequest{CaseId: c.ID, Person: by.name, OsUser: by.user, Reason: "wait"}))
			if err == nil {
				w.seen["approvals withdrawn"]++
				w.consent[c.ID] = slices.DeleteFunc(w.consent[c.ID], func(a consent) bool { return a.human == by.human })
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// speakUp is what people tell a repairer that has taken over, while an order of the one before it is still on
// its way.
func (w *world) speakUp(ctx context.Context, what int) error {
	switch what {
	case 1:
		return w.pause(ctx, "fleet", 0)
	case 2:
		open, err := w.open(ctx)
		if err != nil {
			return err
		}
		for _, c := range open {
			if w.proc == nil || !c.Started {
				continue
			}
			err := w.ask(func(s *repairer.Service) error {
				_, err := s.Cancel(ctx, connect.NewRequest(&gliav1.CancelRequest{CaseId: c.ID, Person: "operator", Reason: "changed my mind"}))
				return err
			})
			if err != nil {
				return err
			}
		}
	case 3:
		return w.stopAll(true, false)
	}
	return nil
}
