package ticket_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/repairer"
	"glia/repairer/store"
	"glia/repairer/ticket"
)

func newTracker(t *testing.T) *ticket.Builtin {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return ticket.New(s.DB(), func() time.Time { now = now.Add(time.Second); return now })
}

func TestBuiltin_EveryCallIsIdempotentByKey(t *testing.T) {
	t.Parallel()
	b, ctx := newTracker(t), t.Context()
	id, err := b.File(ctx, "c1/ticket", repairer.Ticket{Case: "c1", Title: "Replace disk S1", Body: "text"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if again, err := b.File(ctx, "c1/ticket", repairer.Ticket{Case: "c1", Title: "other"}); err != nil || again != id {
			t.Fatalf("filed again as %s, %v", again, err)
		}
		if err := b.Comment(ctx, "k1", id, "hello"); err != nil {
			t.Fatal(err)
		}
	}
	if other, err := b.File(ctx, "c2/ticket", repairer.Ticket{Case: "c2"}); err != nil || other == id {
		t.Fatalf("another case got ticket %s, %v", other, err)
	}
	tk, err := b.Ticket(ctx, id)
	if err != nil || tk.Title != "Replace disk S1" || len(tk.Comments) != 1 || tk.Comments[0].Author != ticket.Author {
		t.Fatalf("ticket %+v, %v", tk, err)
	}
	if _, err := b.Resolve(ctx, id, "done", "ann", "swapped"); err != nil {
		t.Fatal(err)
	}
	if tk, err = b.Resolve(ctx, id, "done", "ann", "swapped"); err != nil || tk.Resolution != "done" || len(tk.Comments) != 2 {
		t.Fatalf("resolved twice: %+v, %v", tk, err)
	}
	for range 2 {
		if err := b.Reopen(ctx, "k2", id, "slot 2 is empty"); err != nil {
			t.Fatal(err)
		}
	}
	if tk, _ = b.Ticket(ctx, id); tk.Status != repairer.TicketOpen || tk.Resolution != "" {
		t.Fatalf("reopened: %+v", tk)
	}
	// A call that is repeated late does not undo what came after it.
	if _, err := b.Resolve(ctx, id, "done", "ann", ""); err != nil {
		t.Fatal(err)
	}
	if err := b.Reopen(ctx, "k2", id, "slot 2 is empty"); err != nil {
		t.Fatal(err)
	}
	if tk, _ = b.Ticket(ctx, id); tk.Status != repairer.TicketResolved {
		t.Errorf("a repeated call reopened the ticket")
	}
	if err := b.Close(ctx, "k3", id, "thank you"); err != nil {
		t.Fatal(err)
	}
	if list, err := b.Tickets(ctx, false); err != nil || len(list) != 1 || list[0].ID == id {
		t.Errorf("open tickets %+v, %v", list, err)
	}
}

func TestBuiltin_BadInput(t *testing.T) {
	t.Parallel()
	b, ctx := newTracker(t), t.Context()
	id, err := b.File(ctx, "k", repairer.Ticket{Case: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "t", "t99", "99", "x1", "t1; DROP TABLE tickets"} {
		if _, err := b.Ticket(ctx, bad); !errors.Is(err, glia.ErrNotFound) {
			t.Errorf("ticket %q: %v", bad, err)
		}
	}
	if err := b.Comment(ctx, "c", "t99", "hello"); err == nil {
		t.Error("a comment on a ticket that does not exist")
	}
	if _, err := b.Resolve(ctx, id, "Done", "ann", ""); err == nil || !strings.Contains(err.Error(), "done, wont-do, duplicate, cannot-reproduce") {
		t.Errorf("resolution: %v", err)
	}
	if err := b.Close(ctx, "z", id, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Resolve(ctx, id, "done", "ann", ""); err == nil {
		t.Error("a closed ticket was resolved")
	}
}
