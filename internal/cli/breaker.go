package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"glia/api"
	gliav1 "glia/api/glia/v1"
)

func breakerCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "breaker",
		Short: "Close the circuit breaker after it has tripped",
		Args:  group,
		RunE:  group,
	}
	cmd.AddCommand((&breakerResetCommand{app: a}).command())
	return cmd
}

// breaker is the circuit breaker of the repairer.
type breaker struct {
	Tripped bool      `json:"tripped"`
	Why     string    `json:"why,omitempty"`
	Since   time.Time `json:"since,omitzero"`
}

func breakerFrom(b *gliav1.Breaker) breaker {
	return breaker{Tripped: b.GetTripped(), Why: b.GetWhy(), Since: api.TimeFromProto(b.GetSince())}
}

type breakerResetCommand struct {
	*app
	person
	reason
}

func (c *breakerResetCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset --reason WHY",
		Short: "Let glia begin new acts again, after you have found out why the breaker tripped",
		Long: `Let glia begin new acts again, after you have found out why the breaker tripped. What happened
before the reset does not trip it again. glia never does this by itself.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			why, err := c.get(cmd)
			if err != nil {
				return err
			}
			who, err := c.name(c.env)
			if err != nil {
				return err
			}
			rc, s, err := c.repairClient()
			if err != nil {
				return err
			}
			res, err := call(cmd.Context(), s, rc.ResetBreaker, &gliav1.ResetBreakerRequest{Person: who, Reason: why})
			if err != nil {
				return err
			}
			return c.print(breakerDoc{Done: "the breaker is reset by " + who, Breaker: breakerFrom(res.GetBreaker())})
		},
	}
	c.person.addFlag(cmd)
	c.reason.addFlag(cmd)
	return cmd
}

// breakerDoc is the result of glia breaker reset.
type breakerDoc struct {
	Done    string  `json:"done"`
	Breaker breaker `json:"breaker"`
}

func (d breakerDoc) write(w io.Writer, _ time.Time) { fmt.Fprintln(w, clean(d.Done)) }
