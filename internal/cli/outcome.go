package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	gliav1 "glia/api/glia/v1"
)

// outcomes are what can be told of a disk that was taken out.
var outcomes = []string{"bad", "false-alarm", "wrong-disk"}

type outcomeCommand struct {
	*app
	person
	comment string
}

func (c *outcomeCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "outcome CASE " + strings.Join(outcomes, "|"),
		Short: "Tell what was found out about a disk that was taken out",
		Long: `Tell what was found out about a disk that was taken out: that it was really bad, that it was a
false alarm, or that the wrong disk was pulled. glia rules score counts this for every rule. It can
be told after the case has ended, and corrected: the last word counts.`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) != 2:
				return usagef("glia case outcome takes CASE and one of %s, not %d words", strings.Join(outcomes, ", "), len(args))
			case !slices.Contains(outcomes, args[1]):
				return usagef("outcome %s: want one of %s", args[1], strings.Join(outcomes, ", "))
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			switch len(args) {
			case 0:
				return c.completeCases(true)(cmd, args, typed)
			case 1:
				return outcomes, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			who, err := c.name(c.env)
			if err != nil {
				return err
			}
			rc, s, err := c.repairClient()
			if err != nil {
				return err
			}
			res, err := call(cmd.Context(), s, rc.RecordOutcome, &gliav1.RecordOutcomeRequest{CaseId: args[0], Outcome: args[1], Person: who, Comment: c.comment})
			if err != nil {
				return err
			}
			return c.print(actDoc{fmt.Sprintf("outcome of case %s: %s, says %s", args[0], args[1], who), caseListed(res.GetCase())})
		},
	}
	cmd.Flags().StringVar(&c.comment, "comment", "", "`text` for the history: what was tested, and how")
	c.addFlag(cmd)
	return cmd
}
