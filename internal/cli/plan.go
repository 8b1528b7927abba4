package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	gliav1 "glia/api/glia/v1"
)

type planCommand struct{ *app }

func (c *planCommand) command() *cobra.Command {
	return &cobra.Command{
		Use:   "plan SERIAL",
		Short: "Show what a repair of the disk would do; executes nothing",
		Long: `Show what a repair of the disk would do: every step, who does it, the exact commands, and
whether it can be undone. Nothing is executed and no case is opened.`,
		Args:              argument("SERIAL"),
		ValidArgsFunction: c.completeSerials,
		RunE: func(cmd *cobra.Command, args []string) error {
			rc, s, err := c.repairClient()
			if err != nil {
				return err
			}
			res, err := call(cmd.Context(), s, rc.PlanRepair, &gliav1.PlanRepairRequest{Serial: args[0]})
			if err != nil {
				return err
			}
			d := planDoc{Serial: args[0], Plan: planFrom(res.GetPlan()), Refusals: refusalsFrom(res.GetRefusals())}
			if h := res.GetHook(); h != nil {
				d.Hook = &hookDoc{Command: h.GetCommand(), Input: json.RawMessage(h.GetInput())}
			}
			if x := caseFrom(res.GetCase()); x.PlanHash == d.Plan.Hash {
				d.Approved = x.approvalWords()
			}
			return c.print(d)
		},
	}
}

// planDoc is the result of glia plan.
type planDoc struct {
	Serial   string    `json:"serial"`
	Plan     plan      `json:"plan"`
	Refusals []refusal `json:"refusals"` // the gates that would hold it back now
	Hook     *hookDoc  `json:"hook,omitempty"`
	Approved string    `json:"approved,omitempty"` // by whom, and how many are missing; absent when nobody has
}

// hookDoc is the site's hook, which a dry run does not ask.
type hookDoc struct {
	Command []string        `json:"command"`
	Input   json.RawMessage `json:"input"` // what it would get on its standard input
}

func (d planDoc) write(w io.Writer, _ time.Time) {
	p := d.Plan
	name := d.Serial
	if p.Disk.Serial() != "" {
		name = p.Disk.String()
	}
	facts(w,
		[2]string{"disk", name},
		[2]string{"plan", p.Hash},
		[2]string{"driver", p.Driver},
		[2]string{"mode", modeWords(p)},
		[2]string{"approvals", d.approvals()},
		[2]string{"IMPOSSIBLE", p.Obstacle},
	)
	for _, x := range p.Warnings {
		facts(w, [2]string{"WARNING", x})
	}
	if len(p.Steps) > 0 {
		fmt.Fprintln(w)
		writeSteps(w, p.Steps, nil)
	}
	if len(d.Refusals) > 0 {
		fmt.Fprintln(w, "\nheld back now by:")
		writeRefusals(w, d.Refusals)
	}
	if d.Hook != nil {
		fmt.Fprintln(w, "\nyour hook is asked last, when all gates agree; it was not asked now:")
		block(w, "  $ ", strings.Join(d.Hook.Command, " "))
		fmt.Fprintln(w, "  It would get this plan as JSON on standard input: glia plan -o json.")
	}
	fmt.Fprintln(w, "\nThis is only shown: nothing was executed.")
}

// modeWords is the mode with what it comes from.
func modeWords(p plan) string {
	if p.ModeWhy == "" {
		return p.Mode
	}
	return p.Mode + ": " + p.ModeWhy
}

// approvals says how many persons must approve, and who has; empty when it takes no more than one and
// nobody has.
func (d planDoc) approvals() string {
	switch {
	case d.Plan.Approvals < 2:
		return d.Approved
	case d.Approved == "":
		return plural(d.Plan.Approvals, "person") + " must approve this plan"
	}
	return plural(d.Plan.Approvals, "person") + " must approve this plan: " + d.Approved
}

// writeSteps prints the steps of a plan with their commands, and how far each is if that is known.
func writeSteps(w io.Writer, steps []planStep, progress map[string]string) {
	for i, s := range steps {
		undo := "can be undone"
		if !s.Reversible {
			undo = "CANNOT BE UNDONE"
		}
		line := fmt.Sprintf("%2d  %-12s  %-8s  %s", i+1, clean(s.Name), clean(s.Owner), undo)
		if progress != nil {
			line = fmt.Sprintf("%2d  %-12s  %-8s  %-8s  %s", i+1, clean(s.Name), clean(s.Owner), dash(progress[s.Name]), undo)
		}
		fmt.Fprintln(w, line)
		block(w, "      ", s.Text)
		for _, cmd := range s.Commands {
			block(w, "      $ ", cmd)
		}
	}
}
