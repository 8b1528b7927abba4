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
	cmd.AddCommand((&maintOnCommand{app: a}).command(), (&maintOffCommand{app: a}).command())
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
}

func (c *maintOnCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "on SERVICE|HOST --for LONG --reason WHY",
		Short: "Begin a maintenance",
		Long: `Take a service of a host, or all services of a host, out of use, and wait until it is: until the registries show it
no more, and the HAProxy of this host, where a synapse runs and follows the service, sends nobody there. It ends by
itself after --for, or with glia maint off, also when nerve or the host restarts meanwhile. With --drain it takes no
new clients and goes on with those that it has. Exits with 4 when it is in force and not seen everywhere within --wait.`,
		Args: argument("SERVICE or HOST"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	cmd.Flags().StringVar(&c.length, "for", "", "how `long`, such as 2h or 1d, 30 days at most; required")
	cmd.Flags().BoolVar(&c.drain, "drain", false, "keep the clients that it has")
	cmd.Flags().DurationVar(&c.wait, "wait", time.Minute, "how long to wait until it is seen; 0 does not wait")
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
	res, err := call(ctx, s, n.BeginMaintenance, &gliav1.BeginMaintenanceRequest{Maintenance: &gliav1.Maintenance{
		Service: service, Drain: c.drain, Person: who, Reason: why, Until: api.TimeToProto(c.now().Add(length)),
	}})
	if err != nil {
		return err
	}
	missing := c.await(ctx, s, n, res.GetMaintenance())
	d := maintDoc{Host: host, Maintenance: maintenanceFrom(res.GetMaintenance()), Missing: missing}
	if err := c.print(d); err != nil {
		return err
	}
	if len(missing) > 0 && c.wait > 0 {
		return degradedError{missing}
	}
	return nil
}

// await waits until a maintenance is seen, and says what does not show it.
func (c *maintOnCommand) await(ctx context.Context, s server, n gliav1connect.AnnouncerServiceClient, m *gliav1.Maintenance) []string {
	if c.wait <= 0 {
		return nil
	}
	limit := time.NewTimer(c.wait)
	defer limit.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := c.missing(ctx, s, n, m)
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return missing
		case <-limit.C:
			return missing
		case <-tick.C:
		}
	}
}

// missing says where services are still used that must not be.
func (c *maintOnCommand) missing(ctx context.Context, s server, n gliav1connect.AnnouncerServiceClient, m *gliav1.Maintenance) (out []string) {
	list, err := call(ctx, s, n.ListServices, &gliav1.ListServicesRequest{})
	if err != nil {
		return []string{err.Error()}
	}
	for _, x := range list.GetServices() {
		if m.GetService() != "" && x.GetName() != m.GetService() {
			continue
		}
		// Another one of the service may win over that of the host.
		heeds := x.GetMaintenance().GetService() != m.GetService() || x.GetMaintenance().GetSince().AsTime().Equal(m.GetSince().AsTime())
		if x.GetMaintenance() == nil || !heeds || x.GetAnnounced() == "up" || x.GetAnnounced() == "unknown" {
			out = append(out, fmt.Sprintf("%s is still announced as %s", clean(x.GetName()), clean(x.GetAnnounced())))
		}
		for _, p := range x.GetPlaces() {
			if p.GetProblem() != "" {
				out = append(out, fmt.Sprintf("%s in %s: %s", clean(x.GetName()), clean(p.GetName()), clean(p.GetProblem())))
			}
		}
		if len(out) == 0 {
			out = append(out, c.stillUsed(ctx, x)...)
		}
	}
	return out
}

// stillUsed asks the synapse of this host, if there is one, which HAProxy still sends clients to an instance.
func (c *maintOnCommand) stillUsed(ctx context.Context, x *gliav1.AnnouncedService) (out []string) {
	r, err := c.followed(ctx, "", false)
	if err != nil {
		if c.namesSynapse() {
			return []string{err.Error()}
		}
		return nil
	}
	for _, f := range r.GetServices() {
		follows := func(b *gliav1.FollowedBackend) bool {
			return b.GetAddress() == x.GetAddress() && b.GetName() == x.GetInstance()
		}
		if i := slices.IndexFunc(f.GetBackends(), follows); i >= 0 && !f.GetBackends()[i].GetDraining() {
			out = append(out, fmt.Sprintf("the synapse of %s still uses it for %s: %s", clean(r.GetHost()), clean(f.GetName()), clean(f.GetReason())))
			continue
		}
		seen, err := c.followed(ctx, f.GetName(), true)
		if err != nil {
			return []string{err.Error()}
		}
		for _, p := range seen.GetServices()[0].GetProcesses() {
			for _, srv := range p.GetServers() {
				if strings.HasSuffix(srv.GetServer(), x.GetAddress()) && !quiet(srv) {
					out = append(out, fmt.Sprintf("HAProxy %d still has %s %s", p.GetPid(), clean(srv.GetServer()), clean(srv.GetStatus())))
				}
			}
		}
	}
	return out
}

// quiet says whether HAProxy sends no new clients to a server.
func quiet(s *gliav1.ProxyServer) bool {
	return s.GetWeight() == 0 || strings.HasPrefix(s.GetStatus(), "MAINT") || strings.HasPrefix(s.GetStatus(), "DOWN") || strings.HasPrefix(s.GetStatus(), "DRAIN")
}

// maintDoc is the result of glia maint on.
type maintDoc struct {
	Host        string         `json:"host"`
	Maintenance maintenanceDoc `json:"maintenance"`
	Missing     []string       `json:"missing,omitempty"` // where it is not seen yet
}

func (d maintDoc) write(w io.Writer, _ time.Time) {
	fmt.Fprintln(w, d.Maintenance.words(d.Host))
	for _, m := range d.Missing {
		block(w, "  ! ", m)
	}
}

// maintenanceDoc is one maintenance.
type maintenanceDoc struct {
	Service string    `json:"service,omitempty"` // absent: all services of the host
	Drain   bool      `json:"drain,omitempty"`
	Person  string    `json:"person"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
}

func maintenanceFrom(m *gliav1.Maintenance) maintenanceDoc {
	return maintenanceDoc{m.GetService(), m.GetDrain(), m.GetPerson(), m.GetReason(), api.TimeFromProto(m.GetSince()), api.TimeFromProto(m.GetUntil())}
}

func maintenancesFrom(r *gliav1.ListServicesResponse) []maintenanceDoc {
	return each(r.GetMaintenances(), maintenanceFrom)
}

func (m maintenanceDoc) words(host string) string {
	what, how := "all services of "+host, "in maintenance"
	if m.Service != "" {
		what = m.Service + " of " + host
	}
	if m.Drain {
		how = "draining"
	}
	return clean(fmt.Sprintf("%s: %s until %s, by %s: %s", what, how, stamp(m.Until), m.Person, m.Reason))
}

func writeMaintenances(w io.Writer, host string, all []maintenanceDoc) {
	for _, m := range all {
		facts(w, [2]string{"MAINTENANCE", m.words(host)})
	}
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
				m := maintenanceFrom(res.GetEnded())
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
	fmt.Fprintf(w, "ended: %s\n", d.Ended.words(d.Host))
}
