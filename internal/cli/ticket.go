package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"glia/api"
	gliav1 "glia/api/glia/v1"
)

// resolutions are what a person can say about a ticket.
var resolutions = []string{"done", "wont-do", "duplicate", "cannot-reproduce"}

func ticketCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ticket",
		Short: "Work on the tickets of the built-in tracker",
		Args:  group,
		RunE:  group,
	}
	cmd.AddCommand(
		(&ticketListCommand{app: a}).command(),
		(&ticketShowCommand{app: a}).command(),
		(&ticketResolveCommand{app: a}).command(),
	)
	return cmd
}

// ticket is one request to a person to swap a disk.
type ticket struct {
	ID         string          `json:"id"`
	CaseID     string          `json:"case_id"`
	Title      string          `json:"title"`
	Body       string          `json:"body"`
	Status     string          `json:"status"`               // open, resolved or closed
	Resolution string          `json:"resolution,omitempty"` // done, wont-do, duplicate or cannot-reproduce
	CreatedAt  time.Time       `json:"created_at,omitzero"`
	UpdatedAt  time.Time       `json:"updated_at,omitzero"`
	Comments   []ticketComment `json:"comments"`
}

type ticketComment struct {
	At     time.Time `json:"at"`
	Author string    `json:"author"`
	Text   string    `json:"text"`
}

func ticketFrom(t *gliav1.Ticket) ticket {
	return ticket{
		ID: t.GetId(), CaseID: t.GetCaseId(), Title: t.GetTitle(), Body: t.GetBody(), Status: t.GetStatus(),
		Resolution: t.GetResolution(), CreatedAt: api.TimeFromProto(t.GetCreatedAt()), UpdatedAt: api.TimeFromProto(t.GetUpdatedAt()),
		Comments: each(t.GetComments(), func(c *gliav1.TicketComment) ticketComment {
			return ticketComment{At: api.TimeFromProto(c.GetAt()), Author: c.GetAuthor(), Text: c.GetText()}
		}),
	}
}

func (t ticket) state() string {
	if t.Resolution != "" {
		return t.Status + " (" + t.Resolution + ")"
	}
	return t.Status
}

type ticketListCommand struct {
	*app
	all bool
}

func (c *ticketListCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tickets that wait for somebody",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rc, s, err := c.repairClient()
			if err != nil {
				return err
			}
			res, err := call(cmd.Context(), s, rc.ListTickets, &gliav1.ListTicketsRequest{All: c.all})
			if err != nil {
				return err
			}
			d := ticketsDoc{each(res.GetTickets(), ticketFrom)}
			if len(d.Tickets) == 0 {
				c.note("no tickets to show")
				if c.format == formatTable {
					return nil
				}
			}
			return c.print(d)
		},
	}
	cmd.Flags().BoolVar(&c.all, "all", false, "also those that are closed")
	return cmd
}

// ticketsDoc is the result of glia ticket list.
type ticketsDoc struct {
	Tickets []ticket `json:"tickets"`
}

func (d ticketsDoc) write(w io.Writer, now time.Time) {
	var rows [][]string
	for _, t := range d.Tickets {
		rows = append(rows, []string{t.ID, t.CaseID, t.state(), age(now, t.CreatedAt), t.Title})
	}
	table(w, "TICKET CASE STATUS AGE TITLE", rows)
}

type ticketShowCommand struct{ *app }

func (c *ticketShowCommand) command() *cobra.Command {
	return &cobra.Command{
		Use:               "show ID",
		Short:             "Show one ticket with its comments",
		Args:              argument("ID"),
		ValidArgsFunction: c.completeTickets(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			rc, s, err := c.repairClient()
			if err != nil {
				return err
			}
			res, err := call(cmd.Context(), s, rc.GetTicket, &gliav1.GetTicketRequest{Id: args[0]})
			if err != nil {
				return err
			}
			return c.print(ticketDoc{ticketFrom(res.GetTicket())})
		},
	}
}

// ticketDoc is the result of glia ticket show.
type ticketDoc struct {
	Ticket ticket `json:"ticket"`
}

func (d ticketDoc) write(w io.Writer, now time.Time) {
	t := d.Ticket
	facts(w,
		[2]string{"ticket", t.ID},
		[2]string{"title", t.Title},
		[2]string{"case", t.CaseID},
		[2]string{"status", t.state()},
		[2]string{"created", stamp(t.CreatedAt) + ", " + ago(now, t.CreatedAt)},
	)
	fmt.Fprintln(w)
	block(w, "", t.Body)
	for _, c := range t.Comments {
		fmt.Fprintf(w, "\n%s  %s:\n", stamp(c.At), clean(c.Author))
		block(w, "  ", c.Text)
	}
}

type ticketResolveCommand struct {
	*app
	person
	resolution string
	comment    string
}

func (c *ticketResolveCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resolve ID",
		Short: "Say that the disk was swapped, or why not",
		Long: `Say that the disk was swapped (done), or why not. glia then looks at what is in the slot itself:
the ticket and its case close only when the new disk has proven to be the right one.`,
		Args:              argument("ID"),
		ValidArgsFunction: c.completeTickets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(resolutions, c.resolution) {
				return usagef("--resolution %s: want one of %s", c.resolution, strings.Join(resolutions, ", "))
			}
			who, err := c.name(c.env)
			if err != nil {
				return err
			}
			rc, s, err := c.repairClient()
			if err != nil {
				return err
			}
			res, err := call(cmd.Context(), s, rc.ResolveTicket, &gliav1.ResolveTicketRequest{
				Id: args[0], Resolution: c.resolution, Person: who, Comment: c.comment,
			})
			if err != nil {
				return err
			}
			return c.print(resolvedDoc{ticketDoc{ticketFrom(res.GetTicket())}})
		},
	}
	cmd.Flags().StringVar(&c.resolution, "resolution", resolutions[0], "`how`: "+strings.Join(resolutions, ", "))
	complete(cmd, "resolution", resolutions...)
	cmd.Flags().StringVar(&c.comment, "comment", "", "`text` for whoever reads the ticket later")
	c.addFlag(cmd)
	return cmd
}

// resolvedDoc is the result of glia ticket resolve: the ticket, told in one line.
type resolvedDoc struct{ ticketDoc }

func (d resolvedDoc) write(w io.Writer, _ time.Time) {
	fmt.Fprintf(w, "ticket %s of case %s: %s\n", clean(d.Ticket.ID), clean(d.Ticket.CaseID), clean(d.Ticket.state()))
}
