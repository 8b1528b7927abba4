package synapse

import (
	"errors"
	"fmt"
	"strings"
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

	Settings        string // what a registry sets of it, in words; empty for nothing
	SettingsProblem string // why what the registry has is put aside; empty when it is not
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
	for _, name := range s.order {
		w := s.states[name]
		one := Followed{Name: name, Backends: w.state.Backends, Why: w.why, Found: w.state.Found, Settings: w.shape.sets, SettingsProblem: w.shape.problem}
		for _, h := range w.heard {
			t := Told{Name: h.Name, Backends: h.last.Backends}
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

// Backends are those of a service that are used now, and why. Found is when they were last discovered.
func (s *Services) Backends(name string) (backends []service.Backend, why service.Reason, found time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.states[name]
	if w == nil {
		return nil, "", time.Time{}
	}
	return w.state.Backends, w.why, w.state.Found
}

// named is how many services Ready names of those with the same trouble.
const named = 5

// Ready says which services nobody tells of, and what the outputs can not do; nil when all is well.
func (s *Services) Ready() error {
	s.mu.Lock()
	bad := []error{s.problem}
	var order []string
	services := map[string][]string{}
	for _, name := range s.order {
		if err := s.states[name].problem(); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				// What is wrong with a server is the same for all its services, but for their names.
				_, why, _ := strings.Cut(line, ": ")
				if services[why] == nil {
					order = append(order, why)
				}
				services[why] = append(services[why], name)
			}
		}
	}
	outputs := s.outputs
	s.mu.Unlock()
	for _, why := range order {
		names := services[why]
		more := ""
		if over := len(names) - named; over > 0 {
			names, more = names[:named], fmt.Sprintf(" and %d more", over)
		}
		bad = append(bad, fmt.Errorf("service %s%s: %s", strings.Join(names, ", "), more, why))
	}
	for _, o := range outputs {
		bad = append(bad, o.Problem())
	}
	return errors.Join(bad...)
}
