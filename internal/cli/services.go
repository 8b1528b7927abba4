package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"glia/api"
	gliav1 "glia/api/glia/v1"
)

type servicesCommand struct {
	*app
	host string
}

func (c *servicesCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "services",
		Short: "List the services that this host announces and uses",
		Long: `List the services that the nerve of this host checks and announces, and those whose backends its synapse follows.
One of the two programs may be missing. glia why service NAME follows one of them from end to end.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	cmd.Flags().StringVar(&c.host, "host", "", "ask the nerve of this `host` instead, and no synapse")
	_ = cmd.RegisterFlagCompletionFunc("host", c.completeHosts)
	return cmd
}

func (c *servicesCommand) run(cmd *cobra.Command) error {
	d := servicesDoc{Announced: []announcedDoc{}, Followed: []followedDoc{}, Maintenances: []maintenanceDoc{}}
	own, err := c.announced(cmd.Context(), c.host)
	switch {
	case err == nil:
		d.Host = own.GetHost()
		d.Announced = each(own.GetServices(), announcedFrom)
		d.Maintenances = maintenancesFrom(own)
	case c.host != "":
		return err
	default:
		d.nerve = err
	}
	if c.host == "" {
		used, err := c.followed(cmd.Context(), "", false)
		if err == nil {
			d.Followed, d.Problem = each(used.GetServices(), followedFrom), used.GetProblem()
		}
		d.synapse = err
	}
	if d.nerve != nil && d.synapse != nil {
		return errors.Join(d.nerve, d.synapse)
	}
	if err := c.print(d); err != nil {
		return err
	}
	var missing []string
	for _, m := range []struct {
		err   error
		named bool
	}{{d.nerve, c.namesNerve()}, {d.synapse, c.namesSynapse()}} {
		switch {
		case m.err != nil && m.named:
			missing = append(missing, m.err.Error())
		case m.err != nil:
			c.note("%v", m.err)
		}
	}
	if len(missing) > 0 {
		return degradedError{missing}
	}
	return nil
}

// servicesDoc is the result of glia services.
type servicesDoc struct {
	Host         string           `json:"host,omitempty"`
	Announced    []announcedDoc   `json:"announced"`
	Followed     []followedDoc    `json:"followed"`
	Maintenances []maintenanceDoc `json:"maintenances"`
	Problem      string           `json:"problem,omitempty"` // what the outputs of the synapse can not do

	nerve, synapse error // why they do not answer
}

// announcedDoc is a service of the host.
type announcedDoc struct {
	Name      string    `json:"name"`
	Address   string    `json:"address"`
	Instance  string    `json:"instance"`
	State     string    `json:"state"`     // unknown, up or down
	Announced string    `json:"announced"` // unknown, up, draining or down
	Since     time.Time `json:"since,omitzero"`
	Reasons   []string  `json:"reasons,omitempty"`
	HeldBack  int64     `json:"held_back,omitempty"`
	Places    []placeOf `json:"places"`
}

// placeOf is a place where a service is announced.
type placeOf struct {
	Name    string `json:"name"`
	Problem string `json:"problem,omitempty"`
}

func announcedFrom(m *gliav1.AnnouncedService) announcedDoc {
	return announcedDoc{
		Name: m.GetName(), Address: m.GetAddress(), Instance: m.GetInstance(), State: m.GetState(), Announced: m.GetAnnounced(), Since: api.TimeFromProto(m.GetSince()),
		Reasons: m.GetReasons(), HeldBack: m.GetHeldBack(),
		Places: each(m.GetPlaces(), func(p *gliav1.ServicePlace) placeOf { return placeOf{p.GetName(), p.GetProblem()} }),
	}
}

// words say why it is not announced as up, or not as it should be.
func (s announcedDoc) words() string {
	all := append([]string{}, s.Reasons...)
	for _, p := range s.Places {
		if p.Problem != "" {
			all = append(all, p.Name+": "+p.Problem)
		}
	}
	if s.HeldBack > 0 {
		all = append(all, plural(int(s.HeldBack), "change")+" over the rate limit")
	}
	return strings.Join(all, "; ")
}

// followedDoc is a service that the host uses.
type followedDoc struct {
	Name     string   `json:"name"`
	Bind     string   `json:"bind,omitempty"`
	Backends []string `json:"backends"` // as name host:port
	Reason   string   `json:"reason"`
	Problems []string `json:"problems,omitempty"` // of its sources, and of settings that are put aside
	Settings string   `json:"settings,omitempty"` // what a registry sets of it
}

func followedFrom(m *gliav1.FollowedService) followedDoc {
	d := followedDoc{Name: m.GetName(), Bind: m.GetBind(), Reason: m.GetReason(), Settings: m.GetSettings()}
	d.Backends = each(m.GetBackends(), func(b *gliav1.FollowedBackend) string { return strings.TrimSpace(b.GetName() + " " + b.GetAddress()) })
	for _, s := range m.GetSources() {
		if s.GetProblem() != "" {
			d.Problems = append(d.Problems, s.GetName()+": "+s.GetProblem())
		}
	}
	if m.GetSettingsProblem() != "" {
		d.Problems = append(d.Problems, "settings are put aside: "+m.GetSettingsProblem())
	}
	return d
}

func (d servicesDoc) write(w io.Writer, now time.Time) {
	if d.nerve == nil {
		changes{Maintenances: d.Maintenances}.write(w)
		var rows [][]string
		for _, s := range d.Announced {
			rows = append(rows, []string{s.Name, s.Address, s.State, s.Announced, age(now, s.Since), s.words()})
		}
		if len(rows) == 0 {
			fmt.Fprintf(w, "%s announces no services\n", clean(dash(d.Host)))
		} else {
			table(w, "ANNOUNCED ADDRESS STATE SHOWN SINCE WHY", rows)
		}
	}
	if len(d.Followed) == 0 {
		return
	}
	if d.nerve == nil {
		fmt.Fprintln(w)
	}
	var rows [][]string
	for _, s := range d.Followed {
		rows = append(rows, []string{s.Name, s.Bind, fmt.Sprint(len(s.Backends)), strings.Join(append([]string{s.Reason}, s.Problems...), "; ")})
	}
	table(w, "USED BIND BACKENDS WHY", rows)
	if d.Problem != "" {
		fmt.Fprintln(w, "\nproblems of the synapse:")
		block(w, "  ! ", d.Problem)
	}
}
