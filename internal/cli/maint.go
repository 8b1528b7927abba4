package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

func maintCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "maint",
		Short: "Take a service, or all services of a host, out of use for a time",
		Args:  group,
		RunE:  group,
	}
	cmd.AddCommand((&maintListCommand{app: a}).command(), (&maintOnCommand{app: a}).command(), (&maintOffCommand{app: a}).command())
	return cmd
}

// subject is what a maintenance is about: a service of a host, or all of them.
type subject struct{ host string }

func (s *subject) addFlag(a *app, cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.host, "host", "", "`host` of the service (default this one)")
	_ = cmd.RegisterFlagCompletionFunc("host", a.completeHosts)
}

// resolve finds the nerve and what of it is meant: a service of that name, or the host of that name; service is empty for the host.
func (s subject) resolve(ctx context.Context, a *app, name string) (c gliav1connect.AnnouncerServiceClient, srv server, host, service string, err error) {
	c, srv, err = a.announcerClient(ctx, s.host)
	if err != nil {
		return nil, srv, "", "", err
	}
	list, err := call(ctx, srv, c.ListServices, &gliav1.ListServicesRequest{})
	switch {
	case err == nil && slices.ContainsFunc(list.GetServices(), func(x *gliav1.AnnouncedService) bool { return x.GetName() == name }):
		return c, srv, list.GetHost(), name, nil
	case err == nil && list.GetHost() == name:
		return c, srv, name, "", nil
	case s.host != "" || a.namesNerve() && err != nil:
		if err == nil {
			err = fmt.Errorf("%s has no service %s", clean(list.GetHost()), clean(name))
		}
		return nil, srv, "", "", err
	}
	here := fmt.Errorf("%s has no service %s", clean(list.GetHost()), clean(name))
	if err != nil {
		here = err
	}
	if c, srv, err = a.announcerClient(ctx, name); err != nil { // another host?
		return nil, srv, "", "", fmt.Errorf("%w; and for a host of that name: %w", here, err)
	}
	return c, srv, name, "", nil
}

type maintOnCommand struct {
	*app
	person
	reason
	subject
	length string
	drain  bool
	wait   time.Duration
	fellow string // service of which the synapses are the backends
}

func (c *maintOnCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "on SERVICE|HOST --for LONG --reason WHY",
		Short: "Begin a maintenance",
		Long: `Take a service of a host, or all services of a host, out of use, and wait until it is: until the registries show it
no more, and every synapse that is known and its HAProxy send nobody there. Known are the synapse that is asked, and
those that it follows as backends of the service --synapses. It ends by itself after --for, or with glia maint off,
also when nerve or the host restarts meanwhile. With --drain it takes no new clients and goes on with those that it
has. Exits with 4 when it is in force and not seen everywhere within --wait, or when no synapse is known: each synapse
that is not known to have seen it is named, and glia why service NAME --synapse ADDRESS says what holds it up there.`,
		Args: argument("SERVICE or HOST"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	cmd.Flags().StringVar(&c.length, "for", "", "how `long`, such as 2h or 1d, 30 days at most; required")
	cmd.Flags().BoolVar(&c.drain, "drain", false, "keep the clients that it has")
	cmd.Flags().DurationVar(&c.wait, "wait", time.Minute, "how long to wait until it is seen; 0 does not wait")
	cmd.Flags().StringVar(&c.fellow, "synapses", "synapse", "the `service` that all synapses are announced as")
	c.subject.addFlag(c.app, cmd)
	c.reason.addFlag(cmd)
	c.person.addFlag(cmd)
	return cmd
}

func (c *maintOnCommand) run(cmd *cobra.Command, name string) error {
	length, err := days(c.length)
	if err != nil || length <= 0 {
		return usagef("--for %q: want how long, such as 2h or 1d", c.length)
	}
	why, err := c.reason.get(cmd)
	if err != nil {
		return err
	}
	who, err := c.name(c.env)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	n, s, host, service, err := c.resolve(ctx, c.app, name)
	if err != nil {
		return err
	}
	d := maintDoc{}
	var all []*reader
	if c.wait > 0 {
		all, d.Unknown = c.readers(ctx, c.fellow)
		before, err := call(ctx, s, n.ListServices, &gliav1.ListServicesRequest{})
		if err != nil {
			return err
		}
		eachReader(all, func(r *reader) []string { return r.look(ctx, concerned(before, service)) }) // they are asked again
	}
	res, err := call(ctx, s, n.BeginMaintenance, &gliav1.BeginMaintenanceRequest{Maintenance: &gliav1.Maintenance{
		Service: service, Drain: c.drain, Person: who, Reason: why, Until: api.TimeToProto(c.now().Add(length)),
	}})
	if err != nil {
		return err
	}
	d.maintenanceDoc = maintenanceFrom(host, res.GetMaintenance())
	if c.wait > 0 {
		d.Missing = c.await(ctx, s, n, res.GetMaintenance(), all)
		for _, r := range all {
			if r.done {
				d.Seen = append(d.Seen, r.host)
			}
		}
		if len(all) == 0 { // nobody can say that nobody goes there
			d.Missing, d.Unknown = append(d.Missing, d.Unknown), ""
		}
		slices.Sort(d.Seen)
		d.Seen = slices.Compact(d.Seen)
	}
	if err := c.print(d); err != nil {
		return err
	}
	if len(d.Missing) > 0 {
		return degradedError{d.Missing}
	}
	return nil
}

// maintDoc is the result of glia maint on.
type maintDoc struct {
	maintenanceDoc `json:"maintenance"`

	Seen    []string `json:"seen,omitempty"`    // hosts whose synapses send nobody there any more
	Missing []string `json:"missing,omitempty"` // where it is not seen yet
	Unknown string   `json:"unknown,omitempty"` // which synapses can not be known
}

func (d maintDoc) write(w io.Writer, _ time.Time) {
	fmt.Fprintln(w, d.words())
	if len(d.Seen) > 0 {
		facts(w, [2]string{"seen by", plural(len(d.Seen), "synapse") + ": " + strings.Join(d.Seen, " ")})
	}
	for _, m := range d.Missing {
		block(w, "  ! ", m)
	}
	if d.Unknown != "" {
		block(w, "  ? ", d.Unknown)
	}
}

// maintenanceDoc is one maintenance.
type maintenanceDoc struct {
	Host    string    `json:"host"`
	Service string    `json:"service,omitempty"` // absent: all services of the host
	Drain   bool      `json:"drain,omitempty"`
	Person  string    `json:"person"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
}

func maintenanceFrom(host string, m *gliav1.Maintenance) maintenanceDoc {
	return maintenanceDoc{host, m.GetService(), m.GetDrain(), m.GetPerson(), m.GetReason(), api.TimeFromProto(m.GetSince()), api.TimeFromProto(m.GetUntil())}
}

func maintenancesFrom(r *gliav1.ListServicesResponse) []maintenanceDoc {
	return each(r.GetMaintenances(), func(m *gliav1.Maintenance) maintenanceDoc { return maintenanceFrom(r.GetHost(), m) })
}

func (m maintenanceDoc) state() string {
	if m.Drain {
		return "draining"
	}
	return "in maintenance"
}

func (m maintenanceDoc) words() string {
	what := "all services of " + m.Host
	if m.Service != "" {
		what = m.Service + " of " + m.Host
	}
	return clean(fmt.Sprintf("%s: %s until %s, by %s: %s", what, m.state(), stamp(m.Until), m.Person, m.Reason))
}

type maintOffCommand struct {
	*app
	person
	reason
	subject
}

func (c *maintOffCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "off SERVICE|HOST --reason WHY",
		Short: "End a maintenance before its time",
		Long: `End the maintenance of a service, or that of all services of a host. A service is announced again once its
checks say that it works.`,
		Args: argument("SERVICE or HOST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			why, err := c.reason.get(cmd)
			if err != nil {
				return err
			}
			who, err := c.name(c.env)
			if err != nil {
				return err
			}
			n, s, host, service, err := c.resolve(cmd.Context(), c.app, args[0])
			if err != nil {
				return err
			}
			res, err := call(cmd.Context(), s, n.EndMaintenance, &gliav1.EndMaintenanceRequest{Service: service, Person: who, Reason: why})
			if err != nil {
				return err
			}
			d := maintEndDoc{Host: host, Service: service}
			if res.GetEnded() != nil {
				m := maintenanceFrom(host, res.GetEnded())
				d.Ended = &m
			}
			return c.print(d)
		},
	}
	c.subject.addFlag(c.app, cmd)
	c.reason.addFlag(cmd)
	c.person.addFlag(cmd)
	return cmd
}

// maintEndDoc is the result of glia maint off.
type maintEndDoc struct {
	Host    string          `json:"host"`
	Service string          `json:"service,omitempty"`
	Ended   *maintenanceDoc `json:"ended,omitempty"` // absent: there was none
}

func (d maintEndDoc) write(w io.Writer, _ time.Time) {
	if d.Ended == nil {
		fmt.Fprintf(w, "%s was in no maintenance\n", clean(strings.TrimSpace(d.Service+" of "+d.Host)))
		return
	}
	fmt.Fprintf(w, "ended: %s\n", d.Ended.words())
}
