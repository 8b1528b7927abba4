package hand

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/disk/selftest"
)

// unheard is how long the outcome of an act waits for somebody to ask. After it, the order is looked
// at afresh, so that nobody acts upon an old answer.
const unheard = time.Minute

// step is an act that passed all its checks and is ready to run. To prepare a step changes nothing.
type step struct {
	commands []string // what run does, as one would type it

	// run acts, and proves that the act had its effect. It is idempotent together with the checks
	// that come before it.
	run func(ctx context.Context) (output string, err error)

	counts []selftest.Count // of the disk before a burn-in; they stay in the journal
	stale  []string         // uuids of OSDs that failed attempts have left and that run does away with; they stay in the journal

	inspection *gliav1.Inspection // the answer to inspect, which has no run
}

// flight is one act that runs, or has ended and was not asked for since.
type flight struct {
	order   *gliav1.Order
	subject subject
	started time.Time
	ended   chan struct{}

	commands []string // guarded by Hand.mu

	// Set before ended is closed.
	answer  *gliav1.ExecuteResponse
	err     error
	endedAt time.Time
}

func (f *flight) over() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}

// claim finds the act of an order, or starts it. Without a flight the answer stands.
func (h *Hand) claim(o *gliav1.Order) (*flight, *gliav1.ExecuteResponse, error) {
	s := subjectOf(o)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, nil, ErrClosed
	}
	now := h.opts.Now()
	for key, f := range h.flights {
		if f.over() && now.Sub(f.endedAt) > unheard {
			delete(h.flights, key)
		}
	}
	if f := h.flights[o.Key]; f != nil {
		if f.subject != s {
			return nil, h.refuse(o, mismatch(o, f.subject)), nil
		}
		return f, nil, nil
	}
	if r, known := h.journal.Lookup(o.Key); known {
		if r.begun.subject != s {
			return nil, h.refuse(o, mismatch(o, r.begun.subject)), nil
		}
		if r.end != nil && r.end.Event == done {
			return nil, recorded(r), nil
		}
	}
	for key, f := range h.flights {
		if what := f.subject.conflict(s); what != "" && !f.over() {
			return nil, h.refuse(o, passing{fmt.Errorf("%s is busy with %s (%s)", what, key, f.subject)}), nil
		}
	}
	f := &flight{order: proto.CloneOf(o), subject: s, started: now, ended: make(chan struct{})}
	h.flights[o.Key] = f
	h.acts.Go(func() {
		answer, err := h.act(h.ctx, f)
		h.mu.Lock()
		defer h.mu.Unlock()
		f.answer, f.err, f.endedAt = answer, err, h.opts.Now()
		close(f.ended)
	})
	return f, nil, nil
}

// deliver hands out the outcome of a flight, and forgets it: what was done is in the journal, and
// anything else may be tried again.
func (h *Hand) deliver(f *flight) (*gliav1.ExecuteResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.flights[f.order.Key] == f {
		delete(h.flights, f.order.Key)
	}
	if f.err != nil {
		return nil, f.err
	}
	return proto.CloneOf(f.answer), nil
}

// progress tells how a flight stands that has not ended in time.
func (h *Hand) progress(f *flight) *gliav1.ExecuteResponse {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &gliav1.ExecuteResponse{
		State:     gliav1.OrderState_ORDER_STATE_RUNNING,
		Commands:  f.commands,
		StartedAt: api.TimeToProto(f.started),
	}
}

// prepare does all the checks of an order. Its error is a refusal.
func (h *Hand) prepare(ctx context.Context, o *gliav1.Order) (step, error) {
	switch o.GetVerb() {
	case gliav1.Verb_VERB_DRAIN:
		return h.hook(ctx, o, h.opts.DrainHook)
	case gliav1.Verb_VERB_REJOIN:
		return h.hook(ctx, o, h.opts.RejoinHook)
	case gliav1.Verb_VERB_UNMOUNT:
		return h.unmount(ctx, o)
	case gliav1.Verb_VERB_INSPECT:
		return h.inspect(ctx, o)
	case gliav1.Verb_VERB_FORMAT:
		return h.format(ctx, o)
	case gliav1.Verb_VERB_MOUNT:
		return h.mount(ctx, o)
	case gliav1.Verb_VERB_BURN_IN:
		return h.burnIn(ctx, o)
	case gliav1.Verb_VERB_LOCATE:
		return h.locate(ctx, o)
	case gliav1.Verb_VERB_OSD_STOP:
		return h.stopOSDs(ctx, o)
	case gliav1.Verb_VERB_OSD_START, gliav1.Verb_VERB_OSD_ACTIVATE:
		return h.startOSDs(ctx, o)
	case gliav1.Verb_VERB_OSD_DEACTIVATE:
		return h.deactivateOSDs(ctx, o)
	case gliav1.Verb_VERB_OSD_PREPARE:
		return h.prepareOSD(ctx, o)
	}
	return step{}, fmt.Errorf("verb %s is not known to this nerve", o.GetVerb())
}

// act prepares, records, acts and records again. The epoch is checked once more after the checks,
// which may take long: from then on the act counts as begun, and a newer repairer finds it running.
func (h *Hand) act(ctx context.Context, f *flight) (*gliav1.ExecuteResponse, error) {
	o := f.order
	st, err := h.prepare(ctx, o)
	if err != nil {
		if context.Cause(ctx) != nil {
			err = passing{err} // whatever it says, the nerve stops and has looked at nothing any more
		}
		return h.refuse(o, err), nil
	}
	if st.run == nil {
		return &gliav1.ExecuteResponse{
			State: gliav1.OrderState_ORDER_STATE_DONE, Inspection: st.inspection,
			StartedAt: api.TimeToProto(f.started), EndedAt: api.TimeToProto(h.opts.Now()),
		}, nil
	}
	h.mu.Lock()
	f.commands = st.commands
	h.mu.Unlock()
	if err := h.fence.Check(o.Epoch); err != nil {
		return nil, err
	}
	if cause := context.Cause(ctx); cause != nil {
		return h.refuse(o, passing{cause}), nil
	}
	e := entry{At: h.opts.Now(), Event: begun, Key: o.Key, Epoch: o.Epoch, subject: f.subject, Commands: st.commands, Counts: st.counts, Stale: st.stale}
	if err := h.journal.Append(e); err != nil {
		return h.refuse(o, fmt.Errorf("the act can not be recorded: %w", err)), nil
	}
	log := h.opts.Log.With("key", o.Key, "case", o.CaseId, "verb", f.subject.Verb, "serial", o.Serial, "place", o.Place)
	log.Info("act begun", "epoch", o.Epoch, "commands", st.commands)

	output, err := st.run(ctx)
	r := record{begun: e}
	e.At, e.Event, e.Output = h.opts.Now(), done, text(output)
	if err != nil {
		e.Event, e.Reason = failed, text(err.Error())
		log.Warn("act failed", "error", e.Reason, "output", e.Output)
	} else {
		log.Info("act done", "output", e.Output)
	}
	if err := h.journal.Append(e); err != nil {
		// Not told as done: sent again, the order is checked against what is there then.
		e.Event, e.Reason = failed, inWords(append(nonEmpty(e.Reason), fmt.Sprintf("the outcome (%s) can not be recorded: %v", e.Event, err)))
		log.Error("journal broken", "error", err)
	}
	r.end = &e
	return recorded(r), nil
}

// passing is a reason that goes by itself, or that tells nothing of the disk, such as another act on it. No person is
// needed: the order waits, and is looked at again when it is sent again.
type passing struct{ error }

func (p passing) Unwrap() error { return p.error }

// refuse answers that a check said no and that nothing was changed; or that the order waits, when the check may say
// yes the next time.
func (h *Hand) refuse(o *gliav1.Order, reason error) *gliav1.ExecuteResponse {
	words := text(reason.Error())
	if w := (passing{}); errors.As(reason, &w) && !o.GetDryRun() {
		return &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_RUNNING, Reason: words}
	}
	if !o.GetDryRun() {
		h.opts.Log.Info("order refused", "key", o.GetKey(), "case", o.GetCaseId(), "verb", verbName(o.GetVerb()), "serial", o.GetSerial(), "error", words)
	}
	return &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_REFUSED, Reason: words}
}

// recorded answers with an outcome from the journal.
func recorded(r record) *gliav1.ExecuteResponse {
	state := gliav1.OrderState_ORDER_STATE_DONE
	if r.end.Event == failed {
		state = gliav1.OrderState_ORDER_STATE_FAILED
	}
	return &gliav1.ExecuteResponse{
		State: state, Commands: r.end.Commands, Output: r.end.Output, Reason: r.end.Reason,
		StartedAt: api.TimeToProto(r.begun.At), EndedAt: api.TimeToProto(r.end.At),
	}
}

func mismatch(o *gliav1.Order, first subject) error {
	return fmt.Errorf("%w: key %s was given for the %s (case %s, %s), this order is the %s (case %s, %s); a new act needs a new key",
		glia.ErrIdentityMismatch, o.GetKey(), first, first.Case, first.object(), subjectOf(o), o.GetCaseId(), subjectOf(o).object())
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
