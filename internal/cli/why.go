package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	gliav1 "glia/api/glia/v1"
)

type whyCommand struct{ *app }

func (c *whyCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "why SERIAL",
		Short: "Explain why glia does, or does not, act on a disk",
		Long: `Explain why glia does, or does not, act on a disk: its verdict, its case, every gate that holds
the next step back, and what would change each gate's mind.`,
		Args:              argument("SERIAL"),
		ValidArgsFunction: c.completeSerials,
		RunE: func(cmd *cobra.Command, args []string) error {
			rc, s, err := c.repairClient()
			if err != nil {
				return err
			}
			res, err := call(cmd.Context(), s, rc.Explain, &gliav1.ExplainRequest{Serial: args[0]})
			if err != nil {
				return err
			}
			d := whyDoc{Serial: args[0], Lines: append([]string{}, res.GetLines()...), Refusals: refusalsFrom(res.GetRefusals())}
			if res.GetDisk() != nil {
				x := diskFrom(res.GetDisk(), c.now())
				d.Disk = &x
			}
			if res.GetCase() != nil {
				rc := caseListed(res.GetCase())
				d.Case = &rc
			}
			return c.print(d)
		},
	}
	cmd.AddCommand((&whyServiceCommand{app: c.app}).command())
	return cmd
}

// whyDoc is the result of glia why.
type whyDoc struct {
	Serial   string      `json:"serial"`
	Lines    []string    `json:"lines"`    // the answer in words
	Refusals []refusal   `json:"refusals"` // the gates that hold the next step back
	Disk     *disk       `json:"disk,omitempty"`
	Case     *repairCase `json:"case,omitempty"` // the open one, or the last one
}

func (d whyDoc) write(w io.Writer, now time.Time) {
	if d.Disk != nil {
		facts(w, [2]string{"disk", d.Disk.Disk.String()}, [2]string{"verdict", d.Disk.Verdict.summary()})
	} else {
		facts(w, [2]string{"disk", d.Serial})
	}
	if d.Case != nil {
		facts(w, [2]string{"case", fmt.Sprintf("%s, %s, opened %s", d.Case.ID, d.Case.Phase, ago(now, d.Case.OpenedAt))})
	}
	if len(d.Lines) > 0 {
		fmt.Fprintln(w)
	}
	for _, l := range d.Lines {
		block(w, "", l)
	}
	if len(d.Refusals) > 0 {
		fmt.Fprintln(w, "\nheld back by:")
		writeRefusals(w, d.Refusals)
	}
}
