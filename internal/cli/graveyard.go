package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"glia/api"
	gliav1 "glia/api/glia/v1"
)

func graveyardCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "graveyard",
		Short: "Show and forgive disks that were taken out",
		Long: `Show and forgive disks that were taken out. glia recognises them by their serials on every host,
and never takes one as a replacement.`,
		Args: group,
		RunE: group,
	}
	cmd.AddCommand((&graveyardListCommand{app: a}).command(), (&graveyardForgiveCommand{app: a}).command())
	return cmd
}

// grave is one disk that was taken out.
type grave struct {
	Serial  string    `json:"serial"`
	CaseID  string    `json:"case_id,omitempty"` // that took it out last
	Host    string    `json:"host,omitempty"`    // from where
	Place   string    `json:"place,omitempty"`
	At      time.Time `json:"at,omitzero"`
	Outcome string    `json:"outcome,omitempty"` // bad, false-alarm or wrong-disk, as somebody told
}

type graveyardListCommand struct{ *app }

func (c *graveyardListCommand) command() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the disks that were taken out",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rc, s, err := c.repairClient()
			if err != nil {
				return err
			}
			res, err := call(cmd.Context(), s, rc.ListGraveyard, &gliav1.ListGraveyardRequest{})
			if err != nil {
				return err
			}
			d := graveyardDoc{each(res.GetGraves(), func(g *gliav1.Grave) grave {
				return grave{Serial: g.GetSerial(), CaseID: g.GetCaseId(), Host: g.GetHost(), Place: g.GetPlace(), At: api.TimeFromProto(g.GetAt()), Outcome: g.GetOutcome()}
			})}
			if len(d.Graves) == 0 {
				c.note("no disks to show")
				if c.format == formatTable {
					return nil
				}
			}
			return c.print(d)
		},
	}
}

// graveyardDoc is the result of glia graveyard list.
type graveyardDoc struct {
	Graves []grave `json:"graves"`
}

func (d graveyardDoc) write(w io.Writer, now time.Time) {
	var rows [][]string
	for _, g := range d.Graves {
		rows = append(rows, []string{g.Serial, g.CaseID, g.Host, g.Place, age(now, g.At), g.Outcome})
	}
	table(w, "SERIAL CASE HOST PLACE AGE OUTCOME", rows)
}

type graveyardForgiveCommand struct {
	*app
	person
	reason
}

func (c *graveyardForgiveCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forgive SERIAL --reason WHY",
		Short: "Let a disk be used again, after its vendor has repaired it",
		Long: `Let a disk be used again, after its vendor has repaired it. It may then be put in as a
replacement like any other blank disk. Should it fail again, it is refused again.`,
		Args: argument("SERIAL"),
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
			if _, err := call(cmd.Context(), s, rc.ForgiveDisk, &gliav1.ForgiveDiskRequest{Serial: args[0], Person: who, Reason: why}); err != nil {
				return err
			}
			return c.print(forgivenDoc{Done: args[0] + " is forgiven by " + who, Serial: args[0]})
		},
	}
	c.person.addFlag(cmd)
	c.reason.addFlag(cmd)
	return cmd
}

// forgivenDoc is the result of glia graveyard forgive.
type forgivenDoc struct {
	Done   string `json:"done"`
	Serial string `json:"serial"`
}

func (d forgivenDoc) write(w io.Writer, _ time.Time) { fmt.Fprintln(w, clean(d.Done)) }
