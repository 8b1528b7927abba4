package ticket_test

import (
	"strings"
	"testing"

	"glia/repairer/ticket/tickettest"
)

func TestBuiltin_KeepsTheContract(t *testing.T) {
	t.Parallel()
	tickettest.Run(t, func(t *testing.T) tickettest.Bed {
		b := newTracker(t)
		return tickettest.Bed{
			Tracker: b,
			Answer: func(t *testing.T, id, resolution string) {
				if _, err := b.Resolve(t.Context(), id, resolution, "ann", ""); err != nil {
					t.Fatal(err)
				}
			},
			Count: func(t *testing.T) int {
				list, err := b.Tickets(t.Context(), true)
				if err != nil {
					t.Fatal(err)
				}
				return len(list)
			},
			Attached: func(t *testing.T, id string) (out []string) {
				tk, err := b.Ticket(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range tk.Comments {
					if name, text, ok := strings.Cut(c.Text, ":\n"); ok && name == "Attached evidence.txt" {
						out = append(out, text)
					}
				}
				return out
			},
		}
	})
}
