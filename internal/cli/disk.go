package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"glia"
)

type diskCommand struct {
	*app
	host string
	days int
}

func (c *diskCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disk SERIAL",
		Short: "Show one disk: what it is, where, what uses it, its verdict and evidence",
		Long: `Show one disk: what it is, where it is, what uses it, its verdict and the evidence for it, what people have
accepted of it, and how the values that it is judged by have changed.

All hosts are asked, because the serial alone does not tell where the disk is; --host asks one.
Exits with 4 when the disk was not found, but a host did not answer that may have it.`,
		Args:              argument("SERIAL"),
		ValidArgsFunction: c.completeSerials,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringVar(&c.host, "host", "", "ask only this `host`")
	cmd.Flags().IntVar(&c.days, "days", 30, "how many days of history to show; 0 for none")
	_ = cmd.RegisterFlagCompletionFunc("host", c.completeHosts)
	return cmd
}

func (c *diskCommand) run(ctx context.Context, serial string) error {
	d, err := c.fleetDisks(ctx, c.host)
	if err != nil {
		return err
	}
	var found []disk
	for _, x := range d.Disks {
		if x.Disk.Serial() == serial {
			found = append(found, x)
		}
	}
	switch {
	case len(found) == 0 && len(d.Unanswered) > 0:
		c.note("no host that answered has disk %s%s", clean(serial), near(serial, d.Disks))
		return d.incomplete()
	case len(found) == 0:
		return fmt.Errorf("no host has disk %s%s", clean(serial), near(serial, d.Disks))
	case len(found) > 1:
		// A serial that two disks claim is no identity: nobody may act on it, so say so.
		var where []string
		for _, x := range found {
			where = append(where, x.Disk.String())
		}
		if err := c.print(found[0]); err != nil {
			return err
		}
		return degradedError{[]string{fmt.Sprintf("%d disks say that they are %s: %s; the first is shown", len(found), clean(serial), clean(strings.Join(where, "; ")))}}
	}
	problem := c.remember(ctx, d, &found[0])
	if err := c.print(found[0]); err != nil {
		return err
	}
	return problem
}

// remember adds what the nerve of the host remembers of the disk. The error says that the answer is incomplete.
func (c *diskCommand) remember(ctx context.Context, d disksDoc, x *disk) error {
	if c.days <= 0 || d.addresses[x.Disk.Location.Host] == "" {
		return nil
	}
	since := c.now().AddDate(0, 0, -c.days)
	p, err := c.past(ctx, d, *x, since)
	if err != nil {
		return degradedError{[]string{"no history: " + err.Error()}}
	}
	x.Accepted, x.Since = p.accepted, since
	for _, s := range p.series {
		x.History = append(x.History, seriesFrom(s))
	}
	return nil
}

// near suggests serials that look like the given one: operators copy parts of a serial from a label,
// or in another case.
func near(serial string, disks []disk) string {
	given := strings.ToLower(serial)
	var out []string
	for _, x := range disks {
		s := strings.ToLower(x.Disk.Serial())
		if s != "" && (strings.Contains(s, given) || strings.Contains(given, s)) {
			out = append(out, clean(x.Disk.Serial()))
		}
	}
	slices.Sort(out)
	switch {
	case len(out) == 0:
		return ""
	case len(out) > 3:
		return fmt.Sprintf("; did you mean %s or one of %d more?", out[0], len(out)-1)
	}
	return "; did you mean " + strings.Join(out, " or ") + "?"
}

func (x disk) write(w io.Writer, now time.Time) {
	id, at := x.Disk.Identity, x.Disk.Location
	capacity := ""
	if id.Size > 0 {
		capacity = fmt.Sprintf("%s (%d bytes)", size(id.Size), id.Size)
	}
	place := at.Place()
	if place == "" {
		place = "not known, so glia cannot have the disk replaced"
	}
	protected := x.Disk.Protected
	if protected != "" {
		protected = "yes, never part of a case: " + protected
	}
	facts(w,
		[2]string{"serial", id.Serial},
		[2]string{"wwn", id.WWN},
		[2]string{"model", id.Model},
		[2]string{"firmware", id.Firmware},
		[2]string{"size", capacity},
		[2]string{"class", string(id.Class)},
		[2]string{"host", at.Host},
		[2]string{"place", place},
		[2]string{"by-path", at.ByPath},
		[2]string{"controller", at.Controller.String()},
		[2]string{"device", deviceWords(x.Disk)},
		[2]string{"protected", protected},
	)
	x.writeUse(w)
	fmt.Fprintln(w)
	x.Verdict.write(w, now)
	writeAccepted(w, x.Accepted)
	x.writeEvidence(w, now)
	if len(x.History) > 0 {
		fmt.Fprintln(w)
		writeHistory(w, x.History, x.Since, now)
	}
}

func (x disk) writeEvidence(w io.Writer, now time.Time) {
	if len(x.Evidence) == 0 {
		return
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, e := range x.Evidence {
		value, detail := strconv.FormatFloat(e.Value, 'f', -1, 64), e.Detail
		if e.Unknown != "" {
			value, detail = "unknown", e.Unknown
		}
		rows = append(rows, []string{string(e.Class), e.Source, e.What, value, age(now, e.At), detail})
	}
	table(w, "EVIDENCE SOURCE WHAT VALUE AGE DETAIL", rows)
}

func (x disk) writeUse(w io.Writer) {
	for _, p := range x.Disk.Partitions {
		facts(w, [2]string{"partition", p.Name + ", " + size(p.Size)})
	}
	for _, h := range x.Disk.Holders {
		facts(w, [2]string{"holder", fmt.Sprintf("%s (%s) on %s", h.Name, h.Kind, h.On)})
	}
	for _, m := range x.Disk.Mounts {
		facts(w, [2]string{"mount", mountWords(m)})
	}
	for _, s := range x.Disk.Swap {
		facts(w, [2]string{"swap", s})
	}
	if len(x.Disk.Partitions)+len(x.Disk.Holders)+len(x.Disk.Mounts)+len(x.Disk.Swap) == 0 {
		facts(w, [2]string{"use", "none that is known"})
	}
}

func mountWords(m glia.Mount) string {
	s := fmt.Sprintf("%s on %s, %s (%s)", m.Source, m.Target, m.FSType, m.Options)
	if m.Label != "" {
		s += ", label " + m.Label
	}
	return s
}

func (v verdict) write(w io.Writer, now time.Time) {
	line := v.State.String()
	if v.Why != "" {
		line += ": " + v.Why
	}
	facts(w, [2]string{"verdict", line})
	observed := ago(now, v.ObservedAt)
	if v.Prober != "" {
		observed += " by nerve " + v.Prober
	}
	if v.Kernel != "" {
		observed += ", kernel " + v.Kernel
	}
	if v.RuleSet != "" {
		observed += ", rules " + v.RuleSet
	}
	facts(w, [2]string{"observed", observed})
	for _, r := range v.Reasons {
		text := fmt.Sprintf("%s: %s", r.State, r.Words)
		if r.Evidence.Detail != "" {
			text += " (" + r.Evidence.Detail + ")"
		}
		text += fmt.Sprintf(" [%s, rule %s", r.Class, r.Rule)
		if !r.Since.IsZero() {
			text += ", since " + stamp(r.Since)
		}
		facts(w, [2]string{"reason", text + "]"})
	}
}
