package repairer

import (
	"context"

	"glia"
)

// brief is what a look at everything needs of a case: of one that the gates hold back, all but the steps and
// the disk of its plan, by far the most of it, of which the hash remains. Thousands may wait so. Nothing is
// done on a brief case: Engine.whole reads the rest.
func (c Case) brief() Case {
	if c.Plan == nil || c.Started || c.Cancel != "" || c.Parked != "" || !c.Confirmed || len(c.Refusals) == 0 {
		return c
	}
	p := *c.Plan
	p.hash = p.Hash()
	p.Steps, p.Warnings, p.Disk = nil, nil, glia.Disk{}
	c.Plan, c.Steps = &p, nil
	return c
}

// whole is the case with all that brief has left out, and the verdict that it was given since.
func (e *Engine) whole(ctx context.Context, c Case) (Case, error) {
	if c.Plan == nil || c.Plan.hash == "" {
		return c, nil
	}
	all, err := e.Store.Case(ctx, c.ID)
	switch {
	case err != nil:
		return c, err
	case all.Seq != c.Seq:
		return c, ErrMoved
	}
	all.Verdict = c.Verdict
	return all, nil
}
