package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// Every nerve of the fleet is asked, so many at a time and each for so long at most.
const (
	askedAtOnce = 64
	nerveAnswer = 5 * time.Second
)

// changes are what people have changed on the hosts of the fleet for a time.
type changes struct {
	Maintenances []maintenanceDoc `json:"maintenances,omitempty"`    // of services, by host
	Accepted     []acceptedDoc    `json:"accepted,omitempty"`        // values of disks, by host
	Unknown      []unansweredHost `json:"changes_unknown,omitempty"` // hosts that did not tell theirs
}

// fleetChanges asks every nerve that the synapse knows of, and the one of this host; own is the problem of that one, view why no other is
// known.
func (a *app) fleetChanges(ctx context.Context) (c changes, own, view error) {
	addresses, view := a.nerves(ctx)
	ours, s, own := a.announcerClient(ctx, "")
	here := ""
	if own == nil {
		s.wait = min(s.wait, nerveAnswer)
		var list *gliav1.ListServicesResponse
		if list, own = call(ctx, s, ours.ListServices, &gliav1.ListServicesRequest{}); own == nil {
			here = list.GetHost()
		}
	}
	var mu sync.Mutex
	note := func(host string, one changes, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			c.Unknown = append(c.Unknown, unansweredHost{host, err.Error()})
		}
		c.Maintenances, c.Accepted = append(c.Maintenances, one.Maintenances...), append(c.Accepted, one.Accepted...)
	}
	var all errgroup.Group
	all.SetLimit(askedAtOnce)
	if here != "" && addresses[here] == "" {
		all.Go(func() error {
			one, err := a.hostChanges(ctx, here, cmp.Or(a.conn.nerve, a.env("GLIA_NERVE"), defaultNerve))
			note(here, one, err)
			return nil
		})
	}
	for host, addr := range addresses {
		all.Go(func() error {
			one, err := a.hostChanges(ctx, host, addr)
			note(host, one, err)
			return nil
		})
	}
	_ = all.Wait() // what went wrong is noted
	slices.SortFunc(c.Maintenances, func(x, y maintenanceDoc) int {
		return cmp.Or(strings.Compare(x.Host, y.Host), strings.Compare(x.Service, y.Service))
	})
	slices.SortStableFunc(c.Accepted, func(x, y acceptedDoc) int { return strings.Compare(x.Host, y.Host) })
	slices.SortFunc(c.Unknown, func(x, y unansweredHost) int { return strings.Compare(x.Host, y.Host) })
	return c, own, view
}

// nerves are the addresses of the nerves that announce themselves and are not gone, by host.
func (a *app) nerves(ctx context.Context) (map[string]string, error) {
	c, s, err := a.fleetClient()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	stream, err := c.WatchFleet(ctx, connect.NewRequest(&gliav1.WatchFleetRequest{}))
	if err != nil {
		return nil, s.explain(err)
	}
	defer func() { cancel(); _ = stream.Close() }()
	if !stream.Receive() {
		return nil, s.explain(cmp.Or(stream.Err(), errors.New("it ended without a word")))
	}
	out := map[string]string{}
	for _, h := range stream.Msg().GetView().GetHosts() {
		if addr := h.GetAnnouncement().GetApi(); addr != "" && h.GetStatus() == string(glia.MemberAlive) {
			out[h.GetAnnouncement().GetHost()] = addr
		}
	}
	return out, nil
}

// hostChanges asks one nerve. One that does not know such a question has nothing to tell.
func (a *app) hostChanges(ctx context.Context, host, addr string) (c changes, err error) {
	s := server{name: "nerve of " + clean(host), flag: "--nerve", env: "GLIA_NERVE", wait: min(a.conn.timeout, nerveAnswer)}
	h, err := a.httpClient(&s, addr, "")
	if err != nil {
		return c, err
	}
	defer h.CloseIdleConnections()
	limited, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	services, err := gliav1connect.NewAnnouncerServiceClient(h, s.base).ListServices(limited, connect.NewRequest(&gliav1.ListServicesRequest{}))
	switch {
	case err == nil:
		c.Maintenances = maintenancesFrom(services.Msg)
	case connect.CodeOf(err) != connect.CodeUnimplemented:
		return c, s.explain(err)
	}
	disks, err := gliav1connect.NewHostServiceClient(h, s.base).ListAccepted(limited, connect.NewRequest(&gliav1.ListAcceptedRequest{}))
	if connect.CodeOf(err) == connect.CodeUnimplemented {
		return c, nil
	} else if err != nil {
		return c, s.explain(err)
	}
	for _, x := range disks.Msg.GetAccepted() {
		d := acceptedFrom(x.GetAccepted())
		d.Serial, d.Host = x.GetSerial(), host
		c.Accepted = append(c.Accepted, d)
	}
	return c, nil
}

// incomplete says in one line whose changes are not known; empty when all are.
func (c changes) incomplete() string {
	switch n := len(c.Unknown); n {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("what people have changed on %s is not known: %s", clean(c.Unknown[0].Host), clean(c.Unknown[0].Problem))
	default:
		return fmt.Sprintf("what people have changed on %d hosts, %s to %s, is not known: %s", n, clean(c.Unknown[0].Host), clean(c.Unknown[n-1].Host), clean(c.Unknown[0].Problem))
	}
}

func (c changes) write(w io.Writer) {
	for _, m := range c.Maintenances {
		facts(w, [2]string{"MAINTENANCE", m.words()})
	}
	for _, d := range c.Accepted {
		facts(w, [2]string{"ACCEPTED", d.Serial + " of " + d.Host + ": " + d.words()})
	}
}

type maintListCommand struct{ *app }

func (c *maintListCommand) command() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the maintenances of the whole fleet",
		Long: `List the services of the fleet that are in maintenance or draining: until when, who said so and why. Every nerve
that the synapse knows of is asked now, and that of this host. Exits with 4 when one does not answer.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, own, view := c.fleetChanges(cmd.Context())
			if view != nil && own != nil {
				return errors.Join(view, own)
			}
			d := maintListDoc{Maintenances: all.Maintenances, Unknown: all.Unknown}
			if d.Maintenances == nil {
				d.Maintenances = []maintenanceDoc{}
			}
			if err := c.print(d); err != nil {
				return err
			}
			var missing []string
			if view != nil {
				missing = append(missing, "other hosts are not known: "+view.Error())
			}
			if words := all.incomplete(); words != "" {
				missing = append(missing, words)
			}
			if len(missing) > 0 {
				return degradedError{missing}
			}
			return nil
		},
	}
}

// maintListDoc is the result of glia maint list.
type maintListDoc struct {
	Maintenances []maintenanceDoc `json:"maintenances"`
	Unknown      []unansweredHost `json:"unknown,omitempty"` // hosts that did not tell theirs
}

func (d maintListDoc) write(w io.Writer, now time.Time) {
	if len(d.Maintenances) == 0 {
		fmt.Fprintln(w, "nothing is in maintenance")
		return
	}
	var rows [][]string
	for _, m := range d.Maintenances {
		rows = append(rows, []string{m.Host, cmp.Or(m.Service, "all services"), m.state(), stamp(m.Until), m.Person, age(now, m.Since), m.Reason})
	}
	table(w, "HOST SERVICE STATE UNTIL BY SINCE REASON", rows)
}
