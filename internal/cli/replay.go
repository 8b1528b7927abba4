package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"glia"
	"glia/nerve/history"
	"glia/nerve/judge"
)

type replayCommand struct {
	*app
	rules   string
	present string
	host    string
	days    int
}

func (c *replayCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay --rules FILE [SERIAL...]",
		Short: "Show which verdicts other rules would have changed",
		Long: `Judge the past of disks by two rule sets: the one in use, and the one of your file. Both files are laid over the
rules that are built in; if the nerves use no file of their own, leave --present out. What is printed are the times from
which the verdicts differed. The past is what the nerves of the hosts keep: the values
that disks were judged by, so a quantity that no rule looked at is not in it. Nothing is changed.`,
		ValidArgsFunction: c.completeSerials,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args) },
	}
	cmd.Flags().StringVar(&c.rules, "rules", "", "`file` with rules to lay over those that are built in; required")
	cmd.Flags().StringVar(&c.present, "present", "", "`file` with the rules in use, as in judge.rules of nerve.toml (default those that are built in)")
	cmd.Flags().StringVar(&c.host, "host", "", "only the disks of this `host`")
	cmd.Flags().IntVar(&c.days, "days", 30, "how many days back")
	_ = cmd.RegisterFlagCompletionFunc("host", c.completeHosts)
	return cmd
}

func (c *replayCommand) run(ctx context.Context, serials []string) error {
	if c.rules == "" || c.days <= 0 {
		return usagef("glia replay needs --rules FILE, and days to look at")
	}
	other, err := rulesFrom(c.rules)
	if err != nil {
		return err
	}
	present, err := rulesFrom(c.present)
	if err != nil {
		return err
	}
	d, err := c.fleetDisks(ctx, c.host)
	if err != nil {
		return err
	}
	for _, s := range serials {
		if _, err := d.one(s); err != nil {
			return err
		}
	}
	doc := replayDoc{Changes: []replayChange{}, Rules: other.Hash(), Present: present.Hash()}
	var missing []string
	others := 0
	for _, x := range d.Disks {
		if len(serials) > 0 && !slices.Contains(serials, x.Disk.Serial()) {
			continue
		}
		p, err := c.past(ctx, d, x, c.now().AddDate(0, 0, -c.days))
		if err != nil {
			missing = append(missing, fmt.Sprintf("no history of %s: %v", clean(x.Disk.Serial()), err))
			continue
		}
		doc.Disks++
		if v := x.Verdict.RuleSet; v != "" && v != present.Hash() {
			others++
		}
		doc.Changes = append(doc.Changes, compare(x.Disk, p.series, present, other, c.now())...)
	}
	if err := c.print(doc); err != nil {
		return err
	}
	if others > 0 {
		c.note("%d of %d disks are judged by other rules than %s now; give the file in use as --present (fall and rise of nerve.toml make other rules, too)", others, doc.Disks, present.Hash())
	}
	for _, u := range d.Unanswered {
		missing = append(missing, "host "+clean(u.Host)+" did not tell its disks")
	}
	if len(missing) > 0 {
		return degradedError{missing}
	}
	return nil
}

// compare judges the past of one disk by two rule sets.
func compare(d glia.Disk, series []history.Series, present, other judge.RuleSet, now time.Time) []replayChange {
	present, other = present.For(d.Identity), other.For(d.Identity)
	settle := 0
	for _, r := range slices.Concat(present.Rules, other.Rules) {
		settle = max(settle, r.Fall, r.Rise)
	}
	rounds := history.Rounds(series, max(settle, present.Fall, present.Rise)+1, now)
	a, b := judge.Replay(present, rounds), judge.Replay(other, rounds)
	var out []replayChange
	differed := false
	for i := range rounds {
		if a[i].State == b[i].State {
			differed = false
			continue
		}
		if n := len(out); differed && out[n-1].Present == a[i].State && out[n-1].Other == b[i].State {
			out[n-1].Until = rounds[i].At
			continue
		}
		differed = true
		out = append(out, replayChange{Host: d.Location.Host, Serial: d.Serial(), From: rounds[i].At, Until: rounds[i].At, Present: a[i].State, Other: b[i].State, Why: because(a[i], b[i])})
	}
	return out
}

// because names the rules that make the difference: those that only one of the verdicts has, and those that say
// something else.
func because(present, other glia.Verdict) string {
	var parts []string
	said := map[string]glia.State{}
	for _, r := range present.Reasons {
		said[r.Rule] = r.State
	}
	for _, r := range other.Reasons {
		was, ok := said[r.Rule]
		delete(said, r.Rule)
		switch {
		case !ok:
			parts = append(parts, "with "+r.Rule)
		case was != r.State:
			parts = append(parts, fmt.Sprintf("%s says %s", r.Rule, r.State))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		parts = append(parts, "without "+name)
	}
	return strings.Join(parts, ", ")
}

// replayDoc is the result of glia replay.
type replayDoc struct {
	Present string         `json:"present"` // hash of the rules in use
	Rules   string         `json:"rules"`   // hash of the others
	Disks   int            `json:"disks"`   // whose past was judged
	Changes []replayChange `json:"changes"`
}

// replayChange is a time in which the verdicts differed.
type replayChange struct {
	Host    string     `json:"host"`
	Serial  string     `json:"serial"`
	From    time.Time  `json:"from"`
	Until   time.Time  `json:"until"` // the last time that was looked at
	Present glia.State `json:"present"`
	Other   glia.State `json:"other"`
	Why     string     `json:"why"`
}

func (d replayDoc) write(w io.Writer, _ time.Time) {
	if len(d.Changes) > 0 {
		var rows [][]string
		for _, c := range d.Changes {
			rows = append(rows, []string{c.Host, c.Serial, stamp(c.From), stamp(c.Until), c.Present.String(), c.Other.String(), c.Why})
		}
		table(w, "HOST SERIAL FROM UNTIL NOW WOULD-BE WHY", rows)
	}
	changed := map[string]bool{}
	for _, c := range d.Changes {
		changed[c.Serial] = true
	}
	fmt.Fprintf(w, "%s replayed, rules %s instead of %s: the verdict of %d would have differed\n", plural(d.Disks, "disk"), d.Rules, d.Present, len(changed))
}
