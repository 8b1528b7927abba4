package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"glia"
	gliav1 "glia/api/glia/v1"
)

type disksCommand struct {
	*app
	host string
	bad  bool
}

func (c *disksCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disks",
		Short: "List the disks of the fleet with their verdicts",
		Long: `List the disks of the fleet with their verdicts, asked of every host now.

Hosts that do not answer are named on standard error and make the exit code 4: their disks are
not known, which is not the same as healthy.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	cmd.Flags().StringVar(&c.host, "host", "", "only the disks of this `host`")
	cmd.Flags().BoolVar(&c.bad, "bad", false, "only disks that are suspect or worse")
	_ = cmd.RegisterFlagCompletionFunc("host", c.completeHosts)
	return cmd
}

func (c *disksCommand) run(ctx context.Context) error {
	d, err := c.fleetDisks(ctx, c.host)
	if err != nil {
		return err
	}
	if c.host != "" && len(d.Disks) == 0 && len(d.Unanswered) == 0 {
		return fmt.Errorf("the synapse knows no disk of a host named %s; see %q", clean(c.host), "glia status")
	}
	if c.bad {
		unknown := 0
		d.Disks = slices.DeleteFunc(d.Disks, func(x disk) bool {
			if x.Verdict.State == glia.StateUnknown {
				unknown++
			}
			return !x.Verdict.State.Bad()
		})
		if unknown > 0 {
			c.note("%s unknown, so neither healthy nor bad; see them with %q", isAre(unknown, "disk"), "glia disks")
		}
	}
	if len(d.Disks) == 0 {
		c.note("no disks to show")
	}
	if len(d.Disks) > 0 || c.format == formatJSON {
		if err := c.print(d); err != nil {
			return err
		}
	}
	return d.incomplete()
}

func isAre(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return plural(n, noun) + " are"
}

// disksDoc is the result of glia disks.
type disksDoc struct {
	Disks      []disk           `json:"disks"`      // by host
	Unanswered []unansweredHost `json:"unanswered"` // hosts whose disks are not known now

	addresses map[string]string // of the nerves, by host
}

type unansweredHost struct {
	Host    string `json:"host"`
	Problem string `json:"problem"`
}

// incomplete is an error when a host is missing in the result.
func (d disksDoc) incomplete() error {
	if len(d.Unanswered) == 0 {
		return nil
	}
	var reasons []string
	for _, u := range d.Unanswered {
		reasons = append(reasons, fmt.Sprintf("host %s did not tell its disks (%s)", clean(u.Host), clean(u.Problem)))
	}
	return degradedError{reasons}
}

// pageOfDisks is how many disks are asked for at a time: so few that a page comes well within the time for one answer.
const pageOfDisks = 5000

// fleetDisks asks the synapse for the disks of one host, or of all when host is empty.
func (a *app) fleetDisks(ctx context.Context, host string) (disksDoc, error) {
	d := disksDoc{Disks: []disk{}, Unanswered: []unansweredHost{}, addresses: map[string]string{}}
	fc, s, err := a.fleetClient()
	if err != nil {
		return d, err
	}
	var told []*gliav1.HostView
	for token := ""; ; {
		res, err := call(ctx, s, fc.ListFleetDisks, &gliav1.ListFleetDisksRequest{Host: host, PageSize: pageOfDisks, PageToken: token})
		if err != nil {
			return d, err
		}
		told = append(told, res.GetHosts()...)
		if token = res.GetNextPageToken(); token == "" {
			break
		}
	}
	hosts := slices.SortedStableFunc(slices.Values(told), func(x, y *gliav1.HostView) int {
		return strings.Compare(x.GetAnnouncement().GetHost(), y.GetAnnouncement().GetHost())
	})
	for _, h := range hosts {
		name := h.GetAnnouncement().GetHost()
		d.addresses[name] = h.GetAnnouncement().GetApi()
		for _, st := range h.GetDisks() {
			x := diskFrom(st, a.now())
			if x.Disk.Location.Host == "" {
				x.Disk.Location.Host = name
			}
			d.Disks = append(d.Disks, x)
		}
		if p := hostProblem(h); p != "" {
			d.Unanswered = append(d.Unanswered, unansweredHost{Host: name, Problem: p})
		}
	}
	return d, nil
}

// hostProblem says why the disks of a host are not known now; empty when they are. A host that said
// goodbye is not a problem: its disks left with it.
func hostProblem(h *gliav1.HostView) string {
	switch {
	case h.GetStatus() == string(glia.MemberLeft):
		return ""
	case h.GetProblem() != "":
		return h.GetProblem()
	case h.GetMemberProblem() != "":
		return h.GetMemberProblem()
	case h.GetStatus() == string(glia.MemberGone):
		return "it stopped answering"
	}
	return ""
}

func (d disksDoc) write(w io.Writer, now time.Time) {
	var rows [][]string
	for _, x := range d.Disks {
		id, at := x.Disk.Identity, x.Disk.Location
		rows = append(rows, []string{
			at.Host, at.Place(), at.Device, id.Serial, id.Model, size(id.Size), string(id.Class),
			x.Verdict.State.String(), age(now, x.Verdict.ObservedAt),
		})
	}
	table(w, "HOST PLACE DEVICE SERIAL MODEL SIZE CLASS VERDICT OBSERVED", rows)
}
