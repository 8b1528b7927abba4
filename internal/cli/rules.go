package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	gliav1 "glia/api/glia/v1"
)

func rulesCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Try the rules that judge disks, and see how well they do",
		Args:  group,
		RunE:  group,
	}
	cmd.AddCommand((&rulesScoreCommand{app: a}).command(), (&rulesTestCommand{app: a}).command())
	return cmd
}

type rulesScoreCommand struct{ *app }

func (c *rulesScoreCommand) command() *cobra.Command {
	return &cobra.Command{
		Use:   "score",
		Short: "Show how often each rule was right",
		Long: `Show how often each rule was right, by the outcomes that people told with glia case outcome. The
precision is the share of really bad disks among those of known outcome. Cases that were cancelled or
superseded do not count, unless somebody told their outcome.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rc, s, err := c.repairClient()
			if err != nil {
				return err
			}
			res, err := call(cmd.Context(), s, rc.ScoreRules, &gliav1.ScoreRulesRequest{})
			if err != nil {
				return err
			}
			d := scoresDoc{each(res.GetRules(), scoreFrom)}
			if len(d.Rules) == 0 {
				c.note("no rule has taken a disk out yet")
				if c.format == formatTable {
					return nil
				}
			}
			return c.print(d)
		},
	}
}

// scoresDoc is the result of glia rules score.
type scoresDoc struct {
	Rules []ruleScore `json:"rules"`
}

// ruleScore is how often one rule was right.
type ruleScore struct {
	Rule        string   `json:"rule"`
	Cases       int32    `json:"cases"` // in which the rule spoke
	Bad         int32    `json:"bad"`
	FalseAlarms int32    `json:"false_alarms"`
	Unknown     int32    `json:"unknown"`             // without an outcome that says something about the disk
	Precision   *float64 `json:"precision,omitempty"` // 0 to 1; absent when no outcome is known
}

func scoreFrom(r *gliav1.RuleScore) ruleScore {
	out := ruleScore{Rule: r.GetRule(), Cases: r.GetCases(), Bad: r.GetBad(), FalseAlarms: r.GetFalseAlarms(), Unknown: r.GetUnknown()}
	if p := r.GetPrecision(); p >= 0 {
		out.Precision = &p
	}
	return out
}

func (d scoresDoc) write(w io.Writer, _ time.Time) {
	var rows [][]string
	for _, r := range d.Rules {
		precision := "-"
		if r.Precision != nil {
			precision = fmt.Sprintf("%.0f%%", 100**r.Precision)
		}
		rows = append(rows, []string{r.Rule, fmt.Sprint(r.Cases), fmt.Sprint(r.Bad), fmt.Sprint(r.FalseAlarms), fmt.Sprint(r.Unknown), precision})
	}
	table(w, "RULE CASES BAD FALSE-ALARMS UNKNOWN PRECISION", rows)
}
