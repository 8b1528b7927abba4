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
	"glia/api"
	gliav1 "glia/api/glia/v1"
)

// staleView is the age from which the repairer's fleet view no longer tells how the fleet is now. A
// synapse confirms its view far more often than that even when nothing changes.
const staleView = 2 * time.Minute

type statusCommand struct{ *app }

func (c *statusCommand) command() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show on one screen what glia does and what it needs",
		Long: `Show on one screen what glia does and what it needs from a person.

What people have changed for a time is shown too: pauses, maintenances of services, and accepted values of disks, the
last two as every nerve tells them that the synapse knows of, and that of this host.

Exits with 4 when glia cannot see the whole fleet (no fleet view, an old one, a host that is gone
or cannot be read) or needs a person (an alarm of a case, a finding, settings of a service that the synapse has put aside). Failing disks alone do not
count: repairing them is what glia is for.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rc, s, err := c.repairClient()
			if err != nil {
				return err
			}
			res, err := call(cmd.Context(), s, rc.GetStatus, &gliav1.GetStatusRequest{})
			if err != nil {
				return err
			}
			d := statusFrom(res, c.now())
			changed, own, view := c.fleetChanges(cmd.Context())
			d.changes = changed
			if view != nil && c.namesSynapse() {
				d.Degraded = append(d.Degraded, "what people have changed on the hosts of the fleet is not known: "+view.Error())
			} else if view != nil {
				c.note("what people have changed on other hosts is not known: %v", view)
			}
			if own != nil && c.namesNerve() {
				d.Degraded = append(d.Degraded, own.Error())
			}
			if words := changed.incomplete(); words != "" {
				d.Degraded = append(d.Degraded, words)
			}
			d.Degraded = append(d.Degraded, c.settingsAside(cmd.Context())...)
			if err := c.print(d); err != nil {
				return err
			}
			if len(d.Degraded) > 0 {
				return degradedError{d.Degraded}
			}
			return nil
		},
	}
}

// settingsAside are the services whose settings in a registry the synapse does not use. One that does not answer is told of elsewhere.
func (a *app) settingsAside(ctx context.Context) (lines []string) {
	used, err := a.followed(ctx, "", false)
	if err != nil {
		return nil
	}
	for _, f := range used.GetServices() {
		if p := f.GetSettingsProblem(); p != "" {
			lines = append(lines, fmt.Sprintf("service %s: settings in the registry are put aside, see glia why service %s: %s", clean(f.GetName()), clean(f.GetName()), clean(p)))
		}
	}
	return lines
}

// statusDoc is the result of glia status.
type statusDoc struct {
	Mode        string       `json:"mode"`
	Epoch       uint64       `json:"epoch"`
	ViewAt      time.Time    `json:"view_at,omitzero"` // absent: the repairer has no fleet view
	ViewProblem string       `json:"view_problem,omitempty"`
	Budgets     []budgetDoc  `json:"budgets"`
	Breaker     breaker      `json:"breaker"`
	Storm       string       `json:"storm,omitempty"` // normal, storm or cool-down
	Pauses      []pauseEntry `json:"pauses"`
	Hosts       []hostDoc    `json:"hosts"`
	OpenCases   []repairCase `json:"open_cases"`
	Findings    []string     `json:"findings"`              // what needs a person
	Undelivered *undelivered `json:"undelivered,omitempty"` // what tickets must still be told
	changes
	Degraded []string `json:"degraded"` // why the exit code is 4; empty when it is 0
}

// budgetDoc is one limit on what may be in repair at a time.
type budgetDoc struct {
	Scope string `json:"scope"` // fleet, units, domain:NAME, host:NAME or model:NAME
	Used  int    `json:"used"`
	Limit int    `json:"limit"`
}

// undelivered is what the tracker must still be told.
type undelivered struct {
	Count   int       `json:"count"`
	Oldest  time.Time `json:"oldest,omitzero"`
	Problem string    `json:"problem,omitempty"` // why the last delivery did not succeed
}

func (u undelivered) words(now time.Time) string {
	words := plural(u.Count, "notice") + " to the tracker"
	if !u.Oldest.IsZero() {
		words += ", the oldest " + age(now, u.Oldest) + " old"
	}
	if u.Problem != "" {
		words += ": " + u.Problem
	}
	return words
}

// hostDoc is one storage host at a glance.
type hostDoc struct {
	Host      string     `json:"host"`
	Status    string     `json:"status"` // alive, left or gone
	Worst     glia.State `json:"worst"`
	DiskCount int        `json:"disk_count"`
	Bad       []string   `json:"bad,omitempty"`  // serial:state
	More      int        `json:"more,omitempty"` // bad disks beside them, whose names could not be read
	Problem   string     `json:"problem,omitempty"`
}

func (h hostDoc) healthy() bool {
	return h.Status == string(glia.MemberAlive) && h.Problem == "" && h.Worst == glia.StateHealthy
}

// badWords are the bad disks of the host: "sdk:failing sdq:suspect and 7 more".
func (h hostDoc) badWords() string {
	words := strings.Join(h.Bad, " ")
	switch {
	case h.More == 0:
		return words
	case words == "":
		return fmt.Sprintf("%d, not named", h.More)
	}
	return fmt.Sprintf("%s and %d more", words, h.More)
}

func statusFrom(res *gliav1.GetStatusResponse, now time.Time) statusDoc {
	d := statusDoc{
		Mode: res.GetMode(), Epoch: res.GetEpoch(), ViewAt: api.TimeFromProto(res.GetViewAt()), ViewProblem: res.GetViewProblem(),
		Budgets: each(res.GetBudgets(), func(b *gliav1.Budget) budgetDoc {
			return budgetDoc{Scope: b.GetScope(), Used: int(b.GetUsed()), Limit: int(b.GetLimit())}
		}),
		Breaker: breakerFrom(res.GetBreaker()), Storm: res.GetStorm(),
		Pauses: each(res.GetPauses(), pauseFrom),
		Hosts: each(res.GetHosts(), func(h *gliav1.HostSummary) hostDoc {
			return hostDoc{
				Host: h.GetHost(), Status: h.GetStatus(), Worst: api.StateFromProto(h.GetWorst()),
				DiskCount: int(h.GetDiskCount()), Bad: h.GetBad(), More: int(h.GetMore()), Problem: h.GetProblem(),
			}
		}),
		OpenCases: each(res.GetOpenCases(), caseListed),
		Findings:  append([]string{}, res.GetFindings()...),
	}
	if u := res.GetUndelivered(); u != nil {
		d.Undelivered = &undelivered{Count: int(u.GetCount()), Oldest: api.TimeFromProto(u.GetOldest()), Problem: u.GetProblem()}
	}
	d.Degraded = degradation(d, now)
	return d
}

// degradation says why the status is not to be relied on or needs a person; empty when all is well.
func degradation(d statusDoc, now time.Time) []string {
	out := []string{}
	switch {
	case d.ViewProblem != "":
		out = append(out, "fleet view: "+clean(d.ViewProblem))
	case d.ViewAt.IsZero():
		out = append(out, "the repairer has no fleet view yet")
	case now.Sub(d.ViewAt) > staleView:
		out = append(out, "the fleet view is "+age(now, d.ViewAt)+" old: look at the synapse of the repair host")
	}
	if d.Breaker.Tripped && !slices.ContainsFunc(d.Findings, func(f string) bool { return strings.Contains(f, d.Breaker.Why) }) {
		out = append(out, "the breaker has tripped: "+clean(d.Breaker.Why))
	}
	many := manyGone(d.Hosts)
	if many != "" {
		out = append(out, many)
	}
	for _, h := range d.Hosts {
		switch {
		case h.Status == string(glia.MemberGone) && many != "":
		case h.Status == string(glia.MemberGone):
			gone := "host " + clean(h.Host) + " is gone"
			if h.Problem != "" {
				gone += ": " + clean(h.Problem)
			}
			out = append(out, gone)
		case h.Problem != "" && h.Status != string(glia.MemberLeft):
			out = append(out, "host "+clean(h.Host)+": "+clean(h.Problem))
		}
	}
	for _, c := range d.OpenCases {
		told := slices.ContainsFunc(d.Findings, func(f string) bool { return strings.Contains(f, c.Alarm) })
		if c.Alarm != "" && !told {
			out = append(out, "case "+clean(c.ID)+": "+clean(c.Alarm))
		}
	}
	for _, f := range d.Findings {
		out = append(out, clean(f))
	}
	return out
}

// severalGone is from how many gone hosts on they are one line and not one each: a rack without power is
// one fault.
const severalGone = 4

// manyGone is the line for many gone hosts; empty when there are few.
func manyGone(hosts []hostDoc) string {
	var names []string
	for _, h := range hosts {
		if h.Status == string(glia.MemberGone) {
			names = append(names, clean(h.Host))
		}
	}
	if len(names) < severalGone {
		return ""
	}
	return fmt.Sprintf("%d hosts are gone, %s to %s: suspect power or the network", len(names), slices.Min(names), slices.Max(names))
}

// budgetWords are the budget of the fleet and those of which something is used.
func budgetWords(budgets []budgetDoc) string {
	var parts []string
	for _, b := range budgets {
		if b.Used > 0 || b.Scope == "fleet" {
			parts = append(parts, fmt.Sprintf("%s %d of %d", b.Scope, b.Used, b.Limit))
		}
	}
	return strings.Join(parts, ", ")
}

func (d statusDoc) write(w io.Writer, now time.Time) {
	view := "none"
	if !d.ViewAt.IsZero() {
		view = age(now, d.ViewAt) + " old"
	}
	if d.ViewProblem != "" {
		view += ", " + d.ViewProblem
	}
	facts(w,
		[2]string{"mode", d.Mode},
		[2]string{"epoch", fmt.Sprint(d.Epoch)},
		[2]string{"fleet view", view},
		[2]string{"hosts", hostCounts(d.Hosts)},
		[2]string{"in repair", budgetWords(d.Budgets)},
	)
	if d.Storm != "" && d.Storm != "normal" {
		facts(w, [2]string{"STORM", d.Storm + "; nothing starts"})
	}
	if d.Breaker.Tripped {
		facts(w, [2]string{"BREAKER", "tripped " + age(now, d.Breaker.Since) + " ago: " + d.Breaker.Why})
	}
	if d.Undelivered != nil {
		facts(w, [2]string{"undelivered", d.Undelivered.words(now)})
	}
	if len(d.Pauses) == 0 {
		facts(w, [2]string{"pauses", "none"})
	}
	for _, p := range d.Pauses {
		facts(w, [2]string{"PAUSED", p.words(now)})
	}

	d.changes.write(w)

	var rows [][]string
	for _, h := range d.Hosts {
		if !h.healthy() {
			rows = append(rows, []string{h.Host, h.Status, h.Worst.String(), fmt.Sprint(h.DiskCount), h.badWords(), h.Problem})
		}
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
		table(w, "HOST STATUS WORST DISKS BAD PROBLEM", rows)
	}

	fmt.Fprintln(w)
	if len(d.OpenCases) == 0 {
		fmt.Fprintln(w, "no open cases")
	} else {
		writeCases(w, d.OpenCases, now)
	}

	if len(d.Degraded) > 0 {
		fmt.Fprintln(w, "\nneeds a person:")
		for _, r := range d.Degraded {
			fmt.Fprintf(w, "  ! %s\n", r)
		}
	}
}

// hostCounts is "5: 2 healthy, 1 failed, 1 unknown, 1 gone", the most pressing last but for those
// that cannot be seen. An announcement of a host that is not alive says nothing about now.
func hostCounts(hosts []hostDoc) string {
	counts := map[string]int{}
	for _, h := range hosts {
		switch {
		case h.Status != string(glia.MemberAlive):
			counts[h.Status]++
		default:
			counts[h.Worst.String()]++
		}
	}
	var order []string
	for s := glia.StateHealthy; s <= glia.StateFailed; s++ {
		order = append(order, s.String())
	}
	order = append(order, glia.StateUnknown.String())
	var others []string
	for name := range counts {
		if !slices.Contains(order, name) {
			others = append(others, name)
		}
	}
	slices.Sort(others)

	var parts []string
	for _, name := range append(order, others...) {
		if n := counts[name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, clean(dash(name))))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return fmt.Sprintf("%d: %s", len(hosts), strings.Join(parts, ", "))
}
