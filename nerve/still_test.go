package nerve_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/nerve"
)

// longProbe is a prober with a file open for a second at a time, and a hand that looks whether it has.
type longProbe struct {
	open         atomic.Int32
	probes, seen atomic.Int32
}

func (p *longProbe) Probe(ctx context.Context, _ glia.Disk) []glia.Evidence {
	p.probes.Add(1)
	p.open.Add(1)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	p.open.Add(-1)
	return nil
}

func (p *longProbe) Fence(uint64) error { return nil }

func (p *longProbe) Execute(_ context.Context, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	p.seen.Add(p.open.Load())
	time.Sleep(time.Minute) // several probes would be due
	p.seen.Add(p.open.Load())
	return &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_DONE}, nil
}

func TestNerve_DoesNotProbeWhatIsBeingUnmounted(t *testing.T) {
	t.Parallel()
	for verb, disturbed := range map[gliav1.Verb]bool{gliav1.Verb_VERB_UNMOUNT: false, gliav1.Verb_VERB_OSD_DEACTIVATE: false, gliav1.Verb_VERB_INSPECT: true} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			b, p := newBench("A"), &longProbe{}
			o := b.options(dir)
			o.Prober, o.Hand, o.Interval = p, p, 2*time.Second
			n, err := nerve.New(o)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- n.Run(ctx) }()
			synctest.Wait() // the first probe is in its second
			if _, err := n.Execute(t.Context(), &gliav1.Order{Verb: verb, Serial: "A"}); err != nil {
				t.Fatal(err)
			}
			if got := p.seen.Load() > 0; got != disturbed {
				t.Errorf("%s: probed meanwhile: %v", verb, got)
			}
			before := p.probes.Load()
			time.Sleep(10 * time.Second)
			if p.probes.Load() == before {
				t.Errorf("%s: not probed any more afterwards", verb)
			}
			cancel()
			<-done
			synctest.Wait()
		})
	}
}
