package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	gliav1 "glia/api/glia/v1"
)

type casesCommand struct {
	*app
	all bool
}

func (c *casesCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cases",
		Short: "List the open repairs",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rc, s, err := c.repairClient()
			if err != nil {
				return err
			}
			res, err := call(cmd.Context(), s, rc.ListCases, &gliav1.ListCasesRequest{All: c.all})
			if err != nil {
				return err
			}
			d := casesDoc{each(res.GetCases(), caseListed)}
			if len(d.Cases) == 0 {
				c.note("no cases to show")
				if c.format == formatTable {
					return nil
				}
			}
			return c.print(d)
		},
	}
	cmd.Flags().BoolVar(&c.all, "all", false, "also those that have ended")
	return cmd
}

// casesDoc is the result of glia cases.
type casesDoc struct {
	Cases []repairCase `json:"cases"`
}

func (d casesDoc) write(w io.Writer, now time.Time) { writeCases(w, d.Cases, now) }

type caseCommand struct {
	*app
	watch bool
}

func (c *caseCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "case ID",
		Short: "Show one repair: its plan and everything that happened",
		Long: `Show one repair: how it stands, the steps of its plan, and everything that happened.

With --watch the history is followed, one line an event, until the case is closed, cancelled or
superseded; a lost connection is made again, and no event is shown twice. With -o json each event
is then one JSON object on a line of its own.`,
		Args:              argument("ID"),
		ValidArgsFunction: c.completeCases(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.watch {
				return c.follow(cmd.Context(), args[0])
			}
			return c.show(cmd.Context(), args[0])
		},
	}
	cmd.AddCommand((&outcomeCommand{app: c.app}).command())
	cmd.Flags().BoolVarP(&c.watch, "watch", "w", false, "follow the case until it ends")
	return cmd
}

func (c *caseCommand) show(ctx context.Context, id string) error {
	rc, s, err := c.repairClient()
	if err != nil {
		return err
	}
	res, err := call(ctx, s, rc.GetCase, &gliav1.GetCaseRequest{Id: id})
	if err != nil {
		return err
	}
	return c.print(caseDoc{Case: caseFrom(res.GetCase()), Events: each(res.GetEvents(), eventFrom)})
}

// caseDoc is the result of glia case.
type caseDoc struct {
	Case   repairCase `json:"case"`
	Events []event    `json:"events"` // in the order in which they happened
}

func (d caseDoc) write(w io.Writer, now time.Time) {
	d.Case.header(w, now)
	if d.Case.Plan != nil && len(d.Case.Plan.Steps) > 0 {
		fmt.Fprintln(w, "\nplan:")
		writeSteps(w, d.Case.Plan.Steps, progress(d.Events))
	}
	if len(d.Case.Refusals) > 0 {
		fmt.Fprintln(w, "\nheld back by:")
		writeRefusals(w, d.Case.Refusals)
	}
	if len(d.Events) > 0 {
		fmt.Fprintln(w, "\nhistory:")
		for _, e := range d.Events {
			fmt.Fprintln(w, "  "+e.line())
		}
	}
}

// progress is how far each step is, by its name: the newest of the events that begin and end an act.
func progress(events []event) map[string]string {
	out := map[string]string{}
	for _, e := range events {
		switch e.Kind {
		case "begun", "done", "failed", "refused", "parked":
			if e.Step != "" {
				out[e.Step] = e.Kind
			}
		}
	}
	return out
}
