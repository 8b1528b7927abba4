package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	gliav1 "glia/api/glia/v1"
)

type whyServiceCommand struct {
	*app
	host string
}

func (c *whyServiceCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "service NAME",
		Short: "Follow a service from its check to HAProxy, and say where it stops",
		Long: `Follow a service on its whole way: its checks in nerve, the registry, the sources of the synapse, what the registry sets of
it, the rules by which it uses backends, the line in the file of HAProxy, and the state of the server in each HAProxy. Says
where the way ends, and exits with 4 then, or when settings of the registry are put aside. What can not be asked is called
unknown, and the next step is looked at. The nerve is that of this host, or of --host; the synapse is that of --synapse.`,
		Args: argument("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			own, nerveErr := c.announced(cmd.Context(), c.host)
			if nerveErr != nil && c.host != "" {
				return nerveErr
			}
			used, synapseErr := c.followed(cmd.Context(), args[0], true)
			d := follow(args[0], own, nerveErr, used, synapseErr)
			if err := c.print(d); err != nil {
				return err
			}
			var bad []string
			for _, s := range d.Steps {
				if s.State == stepStops || s.State == stepAside {
					bad = append(bad, s.Name+": "+strings.Join(s.Words, "; "))
				}
			}
			if len(bad) > 0 {
				return degradedError{bad}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&c.host, "host", "", "ask the nerve of this `host`")
	_ = cmd.RegisterFlagCompletionFunc("host", c.completeHosts)
	return cmd
}

// whyServiceDoc is the result of glia why service.
type whyServiceDoc struct {
	Service string        `json:"service"`
	Steps   []serviceStep `json:"steps"`              // up to where it stops
	StopsAt string        `json:"stops_at,omitempty"` // name of that step
}

// serviceStep is one step of the way.
type serviceStep struct {
	Name  string   `json:"name"`
	State string   `json:"state"` // ok, unknown, aside or stops
	Words []string `json:"words"`
}

func (d whyServiceDoc) write(w io.Writer, _ time.Time) {
	facts(w, [2]string{"service", d.Service})
	for _, s := range d.Steps {
		state := s.State
		switch state {
		case stepStops:
			state = "STOPS HERE"
		case stepAside:
			state = "PUT ASIDE"
		}
		fmt.Fprintf(w, "%-12s %s\n", s.Name, state)
		for _, l := range s.Words {
			block(w, strings.Repeat(" ", 13), l)
		}
	}
	if d.StopsAt == "" {
		fmt.Fprintln(w, "nothing that was asked holds it up")
	}
}

// The states of a step.
const (
	stepOK      = "ok"
	stepUnknown = "unknown"
	stepStops   = "stops"
	stepAside   = "aside" // what is told is not used, and the way goes on with what was good
)

// add adds a step: it stops there when there is a problem, is unknown without a word, and ok else. It says whether to go on.
func (d *whyServiceDoc) add(name string, problems, words []string) bool {
	switch {
	case len(problems) > 0:
		d.Steps = append(d.Steps, serviceStep{name, stepStops, problems})
		d.StopsAt = name
		return false
	case len(words) == 0:
		words = []string{"nobody tells"}
		d.Steps = append(d.Steps, serviceStep{name, stepUnknown, words})
	default:
		d.Steps = append(d.Steps, serviceStep{name, stepOK, words})
	}
	return true
}

func (d *whyServiceDoc) unknown(name, why string) {
	d.Steps = append(d.Steps, serviceStep{name, stepUnknown, []string{why}})
}

// follow goes along the way of a service by what the nerve and the synapse say; either may not have answered.
func follow(name string, own *gliav1.ListServicesResponse, nerveErr error, used *gliav1.ListFollowedResponse, synapseErr error) whyServiceDoc {
	d := whyServiceDoc{Service: name}
	var f *gliav1.FollowedService
	if synapseErr == nil && len(used.GetServices()) == 1 {
		f = used.GetServices()[0]
	}
	here := instances(name, own.GetServices(), f)
	switch {
	case nerveErr != nil:
		d.unknown("check", nerveErr.Error())
	case len(here) == 0:
		d.unknown("check", own.GetHost()+" does not announce it; ask another host with --host")
	default:
		if !d.checked(here) || !d.registered(here) {
			return d
		}
	}
	if f == nil {
		d.unknown("watcher", fmt.Sprint(synapseErr))
		return d
	}
	if !d.watched(f, here) {
		return d
	}
	d.shaped(f)
	if d.chosen(f, here) && d.rendered(f) {
		d.running(f)
	}
	return d
}

// shaped says what a registry sets of the service. Without settings there is no such step.
func (d *whyServiceDoc) shaped(f *gliav1.FollowedService) {
	state, words := stepOK, []string{"the registry sets " + f.GetSettings()}
	if f.GetSettings() == "" {
		words = []string{"the registry sets nothing"}
	}
	switch {
	case f.GetSettingsProblem() != "":
		state, words = stepAside, append([]string{f.GetSettingsProblem()}, "in force is what was good last: "+words[0])
	case f.GetSettings() == "":
		return
	}
	d.Steps = append(d.Steps, serviceStep{"settings", state, words})
}

// instances are those services of a host that are the service of that name: by their names, web or web_3000, or because they are announced
// where the synapse looks for it.
func instances(name string, all []*gliav1.AnnouncedService, f *gliav1.FollowedService) (out []*gliav1.AnnouncedService) {
	where := map[string]bool{}
	for _, s := range f.GetSources() {
		where[spotOf(s.GetName())] = true
	}
	for _, s := range all {
		port, ok := strings.CutPrefix(s.GetName(), name+"_")
		if s.GetName() == name || ok && strings.Trim(port, "0123456789") == "" ||
			slices.ContainsFunc(s.GetPlaces(), func(p *gliav1.ServicePlace) bool { return where[spotOf(p.GetName())] }) {
			out = append(out, s)
		}
	}
	return out
}

// spotOf is what the name of a place and that of a source have in common: the path in ZooKeeper, or the name in Consul.
func spotOf(place string) string {
	kind, rest, _ := strings.Cut(place, " ")
	if i := strings.IndexByte(rest, '/'); kind == "zookeeper" && i >= 0 {
		return kind + " " + rest[i:]
	}
	word, _, _ := strings.Cut(rest, " ")
	return kind + " " + word
}

func (d *whyServiceDoc) checked(here []*gliav1.AnnouncedService) bool {
	var bad, good []string
	for _, s := range here {
		if s.GetAnnounced() != "up" {
			bad = append(bad, fmt.Sprintf("%s is %s and announced as %s", s.GetName(), s.GetState(), s.GetAnnounced()))
			bad = append(bad, s.GetReasons()...)
		}
		for _, c := range s.GetChecks() {
			good = append(good, strings.TrimSpace(c.GetName()+" passes "+c.GetProblem()))
		}
		if len(s.GetChecks()) == 0 {
			good = append(good, s.GetName()+" has no checks, so it is up")
		}
	}
	return d.add("check", bad, good)
}

func (d *whyServiceDoc) registered(here []*gliav1.AnnouncedService) bool {
	var bad, good []string
	for _, s := range here {
		for _, p := range s.GetPlaces() {
			if p.GetProblem() != "" {
				bad = append(bad, p.GetName()+": "+p.GetProblem())
			} else {
				good = append(good, s.GetInstance()+" "+s.GetAddress()+" is in "+p.GetName())
			}
		}
	}
	return d.add("registry", bad, good)
}

// watched says whether the sources answer, and tell of the instances of this host.
func (d *whyServiceDoc) watched(f *gliav1.FollowedService, here []*gliav1.AnnouncedService) bool {
	var bad, good []string
	told := map[string]bool{}
	for _, s := range f.GetSources() {
		if s.GetProblem() != "" {
			bad = append(bad, s.GetName()+": "+s.GetProblem())
		} else {
			good = append(good, fmt.Sprintf("%s tells %s", s.GetName(), plural(len(s.GetBackends()), "backend")))
		}
		for _, b := range s.GetBackends() {
			told[b] = true
		}
	}
	answers := len(bad) == 0
	for _, s := range here {
		if one := s.GetInstance() + " " + s.GetAddress(); answers && !told[one] {
			bad = append(bad, one+" is announced, and none of its sources tells of it: are their paths and servers the same?")
		}
	}
	if len(here)+len(told) == 0 && answers {
		bad = append(bad, "nothing is announced")
	}
	return d.add("watcher", bad, good)
}

// chosen says whether the rules let backends through.
func (d *whyServiceDoc) chosen(f *gliav1.FollowedService, here []*gliav1.AnnouncedService) bool {
	var bad []string
	many := plural(len(f.GetBackends()), "backend")
	if len(f.GetBackends()) == 0 {
		bad = append(bad, "no backend is used: "+f.GetReason())
	}
	for _, s := range here {
		uses := func(b *gliav1.FollowedBackend) bool {
			return b.GetName() == s.GetInstance() && b.GetAddress() == s.GetAddress()
		}
		if len(f.GetBackends()) > 0 && !slices.ContainsFunc(f.GetBackends(), uses) {
			bad = append(bad, fmt.Sprintf("%s %s is not among the %s that are used: see filters, leader_election and backend_port of the service", s.GetInstance(), s.GetAddress(), many))
		}
	}
	return d.add("backends", bad, []string{many + ": " + f.GetReason()})
}

func (d *whyServiceDoc) rendered(f *gliav1.FollowedService) bool {
	var bad, good []string
	if f.GetFileProblem() != "" {
		bad = append(bad, f.GetFileProblem())
	}
	for _, b := range f.GetBackends() {
		switch {
		case b.GetServer() == "":
			return d.add("file", nil, nil)
		case b.GetLine() == "" && len(bad) == 0:
			bad = append(bad, b.GetServer()+" has no line in the file")
		case b.GetLine() != "":
			good = append(good, b.GetLine())
		}
	}
	return d.add("file", bad, good)
}

// running says whether each HAProxy uses the backends.
func (d *whyServiceDoc) running(f *gliav1.FollowedService) {
	var bad, good []string
	for _, p := range f.GetProcesses() {
		if p.GetProblem() != "" {
			bad = append(bad, p.GetProblem())
			continue
		}
		for _, b := range f.GetBackends() {
			i := slices.IndexFunc(p.GetServers(), func(s *gliav1.ProxyServer) bool { return s.GetServer() == b.GetServer() })
			if i < 0 {
				bad = append(bad, fmt.Sprintf("HAProxy %d does not have %s", p.GetPid(), b.GetServer()))
				continue
			}
			s := p.GetServers()[i]
			words := strings.TrimSpace(fmt.Sprintf("HAProxy %d has %s %s, weight %d %s", p.GetPid(), s.GetServer(), s.GetStatus(), s.GetWeight(), s.GetCheck()))
			if strings.HasPrefix(s.GetStatus(), "UP") || s.GetStatus() == "no check" || b.GetDraining() {
				good = append(good, words)
			} else {
				bad = append(bad, words)
			}
		}
	}
	d.add("haproxy", bad, good)
}
