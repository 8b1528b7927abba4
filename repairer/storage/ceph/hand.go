package ceph

import (
	"context"
	"fmt"

	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/repairer"
)

// order sends the step's order to the hand of the host.
func (s run) order(ctx context.Context) (repairer.Progress, error) {
	c, o := s.act.Case, s.act.Step.Order
	if o == nil {
		return repairer.Progress{}, fmt.Errorf("step %s has no order for the hand", s.act.Step.Name)
	}
	disk := c.Disk
	if o.New {
		if c.Replacement == nil {
			return repairer.Progress{}, fmt.Errorf("step %s needs the new disk, which is not accepted yet", s.act.Step.Name)
		}
		disk = *c.Replacement
	}
	order := &gliav1.Order{
		Epoch: s.act.Epoch, CaseId: c.ID, Key: c.Key(s.act.Step.Name), Verb: o.Verb, Serial: disk.Serial(), Place: disk.Location.Place(),
		MinSize: o.MinSize, ClusterName: o.ClusterName,
	}
	if o.New {
		order.Key += "/" + disk.Serial()
		order.Retired = []string{c.Serial()}
	}
	for _, osd := range o.OSDs {
		if n, ok, err := noted(c, osd.ID); err != nil {
			return repairer.Progress{}, err
		} else if ok && osd.Class == "" {
			osd.Class = n.Class
		}
		order.Osds = append(order.Osds, api.OSDToProto(osd))
	}
	r, err := s.hosts.Execute(ctx, c.Host(), order)
	s.changed() // by what the hand has done; the next step may refuse what it sees
	if err != nil {
		return repairer.Progress{}, err
	}
	p := repairer.Progress{Commands: r.GetCommands(), Output: r.GetOutput()}
	if o.Verb == gliav1.Verb_VERB_BURN_IN {
		if err := repairer.BurnInError(r); err != nil {
			return p, err
		}
	}
	switch r.GetState() {
	case gliav1.OrderState_ORDER_STATE_DONE:
		p.Done = true
	case gliav1.OrderState_ORDER_STATE_RUNNING:
		p.Waits = r.GetReason()
	case gliav1.OrderState_ORDER_STATE_REFUSED:
		p.Refused = r.GetReason()
	case gliav1.OrderState_ORDER_STATE_FAILED:
		return p, fmt.Errorf("%s on %s: %s", s.act.Step.Name, c.Host(), r.GetReason())
	default:
		return p, fmt.Errorf("%s on %s: the hand answered %s", s.act.Step.Name, c.Host(), r.GetState())
	}
	return p, nil
}
