package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	gliav1 "glia/api/glia/v1"
)

func auditCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check and export the log of everything that was done",
		Args:  group,
		RunE:  group,
	}
	cmd.AddCommand((&auditVerifyCommand{app: a}).command(), (&auditExportCommand{app: a}).command())
	return cmd
}

type auditVerifyCommand struct{ *app }

func (c *auditVerifyCommand) command() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Check that no event of the log was changed, removed or added",
		Long: `Check that no event of the log was changed, removed or added: each event carries the hash of the one
before it, and each case must be what its events say. It ends with exit code 1 and names the first
event that does not fit. Whoever can write to the database can make the whole log anew; compare with
an export that is kept elsewhere to notice that.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
}

func (c *auditVerifyCommand) run(ctx context.Context) error {
	rc, s, err := c.repairClient()
	if err != nil {
		return err
	}
	res, err := call(ctx, s, rc.VerifyAudit, &gliav1.VerifyAuditRequest{})
	if err != nil {
		return err
	}
	d := auditDoc{Whole: res.GetProblem() == "", Events: res.GetEvents(), BrokenAt: res.GetBrokenAt(), Problem: res.GetProblem()}
	if err := c.print(d); err != nil {
		return err
	}
	if !d.Whole {
		return fmt.Errorf("the log is broken: %s; keep a copy of the database as it is, and compare with the last export", clean(d.Problem))
	}
	return nil
}

// auditDoc is the result of glia audit verify.
type auditDoc struct {
	Whole    bool   `json:"whole"`
	Events   uint64 `json:"events"`              // that fit
	BrokenAt uint64 `json:"broken_at,omitempty"` // number of the first event that does not
	Problem  string `json:"problem,omitempty"`
}

func (d auditDoc) write(w io.Writer, _ time.Time) {
	switch {
	case d.Whole:
		fmt.Fprintf(w, "%s, whole\n", plural(int(d.Events), "event"))
	case d.BrokenAt == 0:
		fmt.Fprintf(w, "%s fit, but not the cases\n", plural(int(d.Events), "event"))
	default:
		fmt.Fprintf(w, "%s fit, event %d does not\n", plural(int(d.Events), "event"), d.BrokenAt)
	}
}

type auditExportCommand struct{ *app }

func (c *auditExportCommand) command() *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "Write the whole log to standard output, one JSON object a line",
		Long: `Write the whole log to standard output, oldest event first, one JSON object a line. The hash of a line is
the SHA-256, in hex, of its prev followed by the object without prev and hash.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
}

func (c *auditExportCommand) run(ctx context.Context) error {
	rc, s, err := c.repairClient()
	if err != nil {
		return err
	}
	stream, err := rc.ExportAudit(ctx, connect.NewRequest(&gliav1.ExportAuditRequest{}))
	if err != nil {
		return s.explain(err)
	}
	defer func() { _ = stream.Close() }() // it has ended, or its error was told
	n := 0
	for ; stream.Receive(); n++ {
		if _, err := fmt.Fprintln(c.out, stream.Msg().GetJson()); err != nil {
			return fmt.Errorf("write the export: %w", err)
		}
	}
	if err := stream.Err(); err != nil {
		return fmt.Errorf("the export is not complete, it ends after %s: %w", plural(n, "event"), s.explain(err))
	}
	c.note("%s exported", plural(n, "event"))
	return nil
}
