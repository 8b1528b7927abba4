package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	gliav1 "glia/api/glia/v1"
)

// person is who asks. The name is written to the history of what it changes.
type person struct{ as string }

func (p *person) addFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.as, "as", "", "`name` to act under (default $USER or the login name)")
}

func (p *person) name(env func(string) string) (string, error) {
	if name := cmp.Or(strings.TrimSpace(p.as), env("USER")); name != "" {
		return name, nil
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username, nil
	}
	return "", usagef("who are you? The system does not tell; give your name with --as")
}

// reason is why something is asked; the next person on duty reads it.
type reason struct{ text string }

func (r *reason) addFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.text, "reason", "", "`why`, for the history and the next person on duty; required")
}

func (r *reason) get(cmd *cobra.Command) (string, error) {
	if text := strings.TrimSpace(r.text); text != "" {
		return text, nil
	}
	return "", usagef("%s needs --reason: whoever is on duty next reads it", cmd.CommandPath())
}

// actDoc is the result of a command that changed a case.
type actDoc struct {
	Done string     `json:"done"` // what was done, in words
	Case repairCase `json:"case"` // as it stands right after
}

func (d actDoc) write(w io.Writer, _ time.Time) {
	fmt.Fprintln(w, clean(d.Done))
	facts(w, [2]string{"approved", d.Case.approvalWords()}, [2]string{"phase", d.Case.Phase}, [2]string{"waiting for", d.Case.WaitingFor}, [2]string{"alarm", d.Case.Alarm})
}

type approveCommand struct {
	*app
	person
	hash string
}

func (c *approveCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "approve CASE --hash HASH",
		Short: "Let a case carry out exactly the plan that you read",
		Long: `Let a case carry out exactly the plan that you read. The hash stands for every disk, device and
command in the plan: if anything in it has changed since, the approval is refused.

Where the repairer wants two persons, each approves under a name and a certificate (without TLS: a
user of the system) of their own. All approvals lapse when anything in the plan changes. glia
withdraw takes one back.`,
		Args:              argument("CASE"),
		ValidArgsFunction: c.completeCases(false),
		RunE:              func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringVar(&c.hash, "hash", "", "`hash` of the plan, as printed by glia plan and glia case; required")
	c.addFlag(cmd)
	return cmd
}

func (c *approveCommand) run(ctx context.Context, id string) error {
	hash := strings.TrimSpace(c.hash)
	if hash == "" {
		return usagef("glia approve needs --hash, the hash of the plan that you read: see %q, or %q", "glia case "+id, "glia plan SERIAL")
	}
	who, err := c.name(c.env)
	if err != nil {
		return err
	}
	rc, s, err := c.repairClient()
	if err != nil {
		return err
	}
	res, err := call(ctx, s, rc.Approve, &gliav1.ApproveRequest{CaseId: id, PlanHash: hash, Person: who, OsUser: osUser(c.env)})
	if err != nil {
		return err
	}
	return c.print(actDoc{fmt.Sprintf("plan %s of case %s is approved by %s", hash, id, who), caseListed(res.GetCase())})
}

type cancelCommand struct {
	*app
	person
	reason
}

func (c *cancelCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "cancel CASE --reason WHY",
		Short:             "Undo a case, while that is still possible",
		Args:              argument("CASE"),
		ValidArgsFunction: c.completeCases(false),
		RunE: func(cmd *cobra.Command, args []string) error {
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
			res, err := call(cmd.Context(), s, rc.Cancel, &gliav1.CancelRequest{CaseId: args[0], Person: who, Reason: why})
			if err != nil {
				return err
			}
			return c.print(actDoc{fmt.Sprintf("case %s is being cancelled by %s", args[0], who), caseListed(res.GetCase())})
		},
	}
	c.person.addFlag(cmd)
	c.reason.addFlag(cmd)
	return cmd
}

type unparkCommand struct {
	*app
	person
	reason
}

func (c *unparkCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unpark CASE --reason WHY",
		Short: "Let a parked or halted case try again, after you have looked",
		Long: `Let a parked or halted case try again, after you have looked at what it stumbled over. What is
on the host now becomes what a wrongly pulled disk is judged by.`,
		Args:              argument("CASE"),
		ValidArgsFunction: c.completeCases(false),
		RunE: func(cmd *cobra.Command, args []string) error {
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
			res, err := call(cmd.Context(), s, rc.Unpark, &gliav1.UnparkRequest{CaseId: args[0], Person: who, Reason: why})
			if err != nil {
				return err
			}
			return c.print(actDoc{fmt.Sprintf("case %s may try again, says %s", args[0], who), caseListed(res.GetCase())})
		},
	}
	c.person.addFlag(cmd)
	c.reason.addFlag(cmd)
	return cmd
}
