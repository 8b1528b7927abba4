package cli

import (
	"os"

	"github.com/spf13/cobra"

	gliav1 "glia/api/glia/v1"
)

// Findings asks the repairer that the command line names for what it has found and no case covers. It is for the
// commands of other packages, below the root that New makes.
func Findings(cmd *cobra.Command) ([]string, error) {
	a := app{env: os.Getenv}
	text := func(name string) string { return cmd.Flag(name).Value.String() }
	a.conn = connection{repairer: text("repairer"), cert: text("tls-cert"), key: text("tls-key"), ca: text("tls-ca")}
	var err error
	if a.conn.timeout, err = cmd.Flags().GetDuration("timeout"); err != nil {
		return nil, err
	}
	rc, s, err := a.repairClient()
	if err != nil {
		return nil, err
	}
	res, err := call(cmd.Context(), s, rc.GetStatus, &gliav1.GetStatusRequest{})
	if err != nil {
		return nil, err
	}
	return res.GetFindings(), nil
}
