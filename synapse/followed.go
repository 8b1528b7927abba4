package synapse

import (
	"fmt"
	"time"

	"glia/synapse/service"
)

// Followed is what is known of one service.
type Followed struct {
	Name     string
	Sources  []Told
	Backends []service.Backend // that are used
	Why      service.Reason
	Found    time.Time // when they were last discovered; zero for never
}

// Told is what one source tells.
type Told struct {
	Name     string
	Problem  string            // why it does not answer, or what of it is no backend; empty when all is well
	Backends []service.Backend // that it told last
}

// Followed are all services, in the order of the configuration.
func (s *Services) Followed() (out []Followed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.o.Services {
		w := s.states[c.Name]
		one := Followed{Name: c.Name, Backends: w.state.Backends, Why: w.why, Found: w.state.Found}
		for i, h := range w.heard {
			t := Told{Name: w.Sources[i].Name, Backends: h.last.Backends}
			switch {
			case h.err != nil:
				t.Problem = h.err.Error()
			case len(h.last.Skipped) > 0:
				t.Problem = fmt.Sprintf("%d announcements are no backends: %s", len(h.last.Skipped), h.last.Skipped[0])
			}
			one.Sources = append(one.Sources, t)
		}
		out = append(out, one)
	}
	return out
}
