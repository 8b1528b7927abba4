package cli

import (
	"fmt"
	"os/user"

	"github.com/spf13/cobra"

	gliav1 "glia/api/glia/v1"
)

// osUser is who the operating system says that we are; behind sudo, who called it. It is empty when the
// system does not tell.
func osUser(env func(string) string) string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	if name := env("SUDO_USER"); u.Uid == "0" && name != "" {
		return name
	}
	return u.Username
}

type withdrawCommand struct {
	*app
	person
	reason
}

func (c *withdrawCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "withdraw CASE --reason WHY",
		Short:             "Take your approval of a plan back, until the case starts",
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
			res, err := call(cmd.Context(), s, rc.WithdrawApproval, &gliav1.WithdrawApprovalRequest{CaseId: args[0], Person: who, Reason: why, OsUser: osUser(c.env)})
			if err != nil {
				return err
			}
			return c.print(actDoc{fmt.Sprintf("the approval of case %s by %s is withdrawn", args[0], who), caseListed(res.GetCase())})
		},
	}
	c.person.addFlag(cmd)
	c.reason.addFlag(cmd)
	return cmd
}
