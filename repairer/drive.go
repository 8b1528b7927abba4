package repairer

import (
	"context"
	"slices"
)

// drive does one step of the plan, by its storage driver. Before one that can not be taken back the
// storage is asked again whether it agrees.
func (e *Engine) drive(ctx context.Context, c Case, s PlanStep) error {
	if !s.Reversible {
		open, err := e.memory.look(ctx, e.Store)
		if err != nil {
			return err
		}
		if refusals := e.gatekeeper(ctx, c, s.Name, open); len(refusals) > 0 {
			return e.hold(ctx, c, refusals)
		}
		if len(c.Refusals) > 0 {
			return e.hold(ctx, c, nil)
		}
	}
	return e.act(ctx, c, s.Name, func(c Case) (Data, error) { return e.do(ctx, c, s) })
}

// do lets the storage driver work on one step of the plan.
func (e *Engine) do(ctx context.Context, c Case, s PlanStep) (Data, error) {
	open, err := e.memory.look(ctx, e.Store)
	if err != nil {
		return Data{}, err
	}
	if err := e.Store.Held(); err != nil {
		return Data{}, err
	}
	p, err := e.driver(c).Do(ctx, Act{Case: c, Step: s, Epoch: e.Store.Epoch(), Others: others(c, open)})
	switch {
	case err != nil:
		return Data{}, outranked(ctx, e.Store, c.Host(), err)
	case p.Refused != "":
		return Data{}, refusedError{p.Refused}
	case !p.Done:
		return Data{}, runningError{p}
	}
	return Data{Commands: p.Commands, Output: p.Output, Facts: p.Facts}, nil
}

// gatekeeper asks the storage what stands in the way; nothing does for one that has no say.
func (e *Engine) gatekeeper(ctx context.Context, c Case, step string, open []*Case) []Refusal {
	if c.Plan == nil || c.Plan.Obstacle != "" {
		return nil
	}
	g, ok := e.driver(c).(Gatekeeper)
	if !ok {
		return nil
	}
	return g.Check(ctx, c, step, others(c, open))
}

// others are the started cases of the same driver.
func others(c Case, open []*Case) []Case {
	var out []Case
	for _, o := range open {
		if o.Started && o.ID != c.ID && o.Plan != nil && o.Plan.Driver == c.Plan.Driver {
			out = append(out, *o)
		}
	}
	return slices.Clip(out)
}

// driver is the one that made the plan of the case; the default has the name "" in the engine's table.
func (e *Engine) driver(c Case) Driver {
	if d, ok := e.Drivers[c.Plan.Driver]; ok {
		return d
	}
	return e.Drivers[""]
}

// tellProgress keeps how far the step of a case has come, for as long as it runs and nothing holds the case back.
func (e *Engine) tellProgress(id, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if text == "" {
		delete(e.progress, id)
		return
	}
	e.progress[id] = text
}

// Progress is how far the present step of a case has come, in words; empty when nothing tells.
func (e *Engine) Progress(id string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.progress[id]
}
