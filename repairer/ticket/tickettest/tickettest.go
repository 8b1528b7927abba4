// Package tickettest is what every tracker must do. Each implementation runs it in its own tests.
package tickettest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/repairer"
)

// Bed is a tracker under test, with the ticket system behind it.
type Bed struct {
	Tracker repairer.Tracker
	// Answer is what a person does: the ticket is resolved as one of repairer.Resolutions.
	Answer func(t *testing.T, id, resolution string)
	// Count is how many tickets there are.
	Count func(t *testing.T) int
	// Attached are the contents of the files of a ticket.
	Attached func(t *testing.T, id string) []string
	// Restart is a new client of the same ticket system, as after a crash; nil: clients know nothing of their own.
	Restart func(t *testing.T) repairer.Tracker
	// Lose makes the system do what the next call of the named method wants, and lose its answer.
	Lose func(t *testing.T, method string)
}

// Run runs the contract. Open makes a new ticket system for each part of it.
func Run(t *testing.T, open func(t *testing.T) Bed) {
	for name, part := range map[string]func(*testing.T, Bed){
		"files a ticket once":                     filesOnce,
		"gives back what it was told":             givesBack,
		"tells resolutions apart":                 tellsApart,
		"updates text":                            updates,
		"attaches once":                           attaches,
		"closes for good":                         closes,
		"repeats change nothing":                  repeats,
		"lost answers change nothing":             lostAnswers,
		"knows what it does not have":             hasNot,
		"takes any text":                          anyText,
		"returns when nobody waits for an answer": returns,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); part(t, open(t)) })
	}
}

func file(t *testing.T, b Bed, key string) string {
	t.Helper()
	id, err := b.Tracker.File(t.Context(), key, repairer.Ticket{Case: "c1", Title: "Replace disk S1 in slot 2 of node-1", Body: "SAFE TO PULL\n\nSerial:    S1\n"})
	if err != nil || id == "" {
		t.Fatalf("filed %q, %v", id, err)
	}
	return id
}

func read(t *testing.T, b Bed, id string) repairer.Ticket {
	t.Helper()
	tk, err := b.Tracker.Ticket(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

// said are the comments that have the words.
func said(tk repairer.Ticket, words string) int {
	n := 0
	for _, c := range tk.Comments {
		if strings.Contains(c.Text, words) {
			n++
		}
	}
	return n
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func filesOnce(t *testing.T, b Bed) {
	ctx := t.Context()
	const one, other = "3f2a/c1/ticket", "3f2a/c11/ticket"
	if id, err := b.Tracker.Find(ctx, one); !errors.Is(err, glia.ErrNotFound) {
		t.Fatalf("found %q before it was filed, %v", id, err)
	}
	id := file(t, b, one)
	if again := file(t, b, one); again != id {
		t.Errorf("filed again as %s", again)
	}
	if b.Restart != nil {
		b.Tracker = b.Restart(t)
	}
	if again, err := b.Tracker.Find(ctx, one); err != nil || again != id {
		t.Errorf("found %q, %v; want %s", again, err, id)
	}
	if again := file(t, b, one); again != id {
		t.Errorf("filed again after a restart as %s", again)
	}
	if id2 := file(t, b, other); id2 == id {
		t.Errorf("two keys, one ticket")
	}
	if n := b.Count(t); n != 2 {
		t.Errorf("%d tickets, want 2", n)
	}
}

func givesBack(t *testing.T, b Bed) {
	ctx, id := t.Context(), file(t, b, "k/c1/ticket")
	tk := read(t, b, id)
	if tk.ID != id || tk.Title != "Replace disk S1 in slot 2 of node-1" || strings.TrimSpace(tk.Body) != "SAFE TO PULL\n\nSerial:    S1" || tk.Status != repairer.TicketOpen || tk.Resolution != "" {
		t.Errorf("ticket %+v", tk)
	}
	for _, text := range []string{"one", "two", "three"} {
		check(t, b.Tracker.Comment(ctx, "k/c1/notice/"+text, id, text))
	}
	var texts []string
	for _, c := range read(t, b, id).Comments {
		texts = append(texts, c.Text)
		if c.Author == "" || c.At.IsZero() {
			t.Errorf("comment %+v", c)
		}
	}
	if !slices.Equal(texts, []string{"one", "two", "three"}) {
		t.Errorf("comments %q", texts)
	}
}

func tellsApart(t *testing.T, b Bed) {
	ctx := t.Context()
	for _, r := range repairer.Resolutions {
		id := file(t, b, "k/"+r+"/ticket")
		b.Answer(t, id, r)
		if tk := read(t, b, id); tk.Status != repairer.TicketResolved || tk.Resolution != r {
			t.Errorf("resolved as %s, read as %s %q", r, tk.Status, tk.Resolution)
		}
		check(t, b.Tracker.Reopen(ctx, "k/"+r+"/1", id, "the place is empty"))
		if tk := read(t, b, id); tk.Status != repairer.TicketOpen || tk.Resolution != "" || said(tk, "the place is empty") != 1 {
			t.Errorf("reopened: %+v", tk)
		}
	}
}

func updates(t *testing.T, b Bed) {
	id := file(t, b, "k/c1/ticket")
	for range 2 {
		check(t, b.Tracker.Update(t.Context(), id, "New title", "New body\nof two lines"))
	}
	if tk := read(t, b, id); tk.Title != "New title" || strings.TrimSpace(tk.Body) != "New body\nof two lines" || tk.Status != repairer.TicketOpen {
		t.Errorf("ticket %+v", tk)
	}
	if again, err := b.Tracker.Find(t.Context(), "k/c1/ticket"); err != nil || again != id {
		t.Errorf("found %q after the update, %v", again, err)
	}
}

func attaches(t *testing.T, b Bed) {
	id := file(t, b, "k/c1/ticket")
	for range 2 {
		check(t, b.Tracker.Attach(t.Context(), "k/c1/notice/7", id, "evidence.txt", []byte("pending sectors: 8\n")))
	}
	check(t, b.Tracker.Attach(t.Context(), "k/c1/notice/8", id, "evidence.txt", []byte("pending sectors: 16\n")))
	got := b.Attached(t, id)
	if len(got) != 2 || !strings.Contains(got[0], "pending sectors: 8") || !strings.Contains(got[1], "pending sectors: 16") {
		t.Errorf("attached %q", got)
	}
}

func closes(t *testing.T, b Bed) {
	for _, resolved := range []bool{false, true} {
		key := map[bool]string{false: "open", true: "resolved"}[resolved]
		id := file(t, b, "k/"+key+"/ticket")
		if resolved {
			b.Answer(t, id, repairer.ResolutionDone)
		}
		for range 2 {
			check(t, b.Tracker.Close(t.Context(), "k/"+key+"/close", id, "thank you"))
		}
		if tk := read(t, b, id); tk.Status == repairer.TicketOpen || said(tk, "thank you") != 1 {
			t.Errorf("closed an %s ticket: %+v", key, tk)
		}
	}
}

// A call that is repeated late does not undo what came after it.
func repeats(t *testing.T, b Bed) {
	ctx, id := t.Context(), file(t, b, "k/c1/ticket")
	b.Answer(t, id, repairer.ResolutionDone)
	check(t, b.Tracker.Reopen(ctx, "k/c1/1", id, "the old disk is in the place"))
	b.Answer(t, id, repairer.ResolutionDone)
	if b.Restart != nil {
		b.Tracker = b.Restart(t)
	}
	check(t, b.Tracker.Reopen(ctx, "k/c1/1", id, "the old disk is in the place"))
	for range 2 {
		check(t, b.Tracker.Comment(ctx, "k/c1/10", id, "said once"))
		check(t, b.Tracker.Comment(ctx, "k/c1/100", id, "said also"))
	}
	tk := read(t, b, id)
	if tk.Status != repairer.TicketResolved || said(tk, "the old disk is in the place") != 1 || said(tk, "said once") != 1 || said(tk, "said also") != 1 {
		t.Errorf("ticket %+v", tk)
	}
}

func lostAnswers(t *testing.T, b Bed) {
	if b.Lose == nil {
		t.Skip("no call of this tracker can lose its answer")
	}
	ctx := t.Context()
	lost := func(method string, call func() error) {
		t.Helper()
		b.Lose(t, method)
		if err := call(); err == nil {
			t.Fatalf("%s succeeded although its answer was lost", method)
		}
		check(t, call())
	}
	var id string
	lost("File", func() (err error) {
		id, err = b.Tracker.File(ctx, "k/c1/ticket", repairer.Ticket{Case: "c1", Title: "t", Body: "b"})
		return err
	})
	if n := b.Count(t); n != 1 {
		t.Fatalf("%d tickets", n)
	}
	lost("Comment", func() error { return b.Tracker.Comment(ctx, "k/c1/1", id, "hello") })
	lost("Attach", func() error { return b.Tracker.Attach(ctx, "k/c1/2", id, "e.txt", []byte("evidence")) })
	lost("Update", func() error { return b.Tracker.Update(ctx, id, "t2", "b2") })
	b.Answer(t, id, repairer.ResolutionDone)
	lost("Reopen", func() error { return b.Tracker.Reopen(ctx, "k/c1/3", id, "empty") })
	if tk := read(t, b, id); tk.Status != repairer.TicketOpen || tk.Title != "t2" || said(tk, "hello") != 1 || said(tk, "empty") != 1 || len(b.Attached(t, id)) != 1 {
		t.Errorf("ticket %+v", tk)
	}
	lost("Close", func() error { return b.Tracker.Close(ctx, "k/c1/4", id, "bye") })
	if tk := read(t, b, id); tk.Status == repairer.TicketOpen || said(tk, "bye") != 1 {
		t.Errorf("closed ticket %+v", tk)
	}
}

func hasNot(t *testing.T, b Bed) {
	ctx := t.Context()
	file(t, b, "k/c1/ticket")
	for _, id := range []string{"t99", "GLIA-99"} {
		_, err := b.Tracker.Ticket(ctx, id)
		for call, err := range map[string]error{
			"Ticket": err, "Update": b.Tracker.Update(ctx, id, "t", "b"), "Comment": b.Tracker.Comment(ctx, "k/1", id, "x"),
			"Attach": b.Tracker.Attach(ctx, "k/2", id, "n", nil), "Reopen": b.Tracker.Reopen(ctx, "k/3", id, "x"), "Close": b.Tracker.Close(ctx, "k/4", id, "x"),
		} {
			if !errors.Is(err, glia.ErrNotFound) {
				t.Errorf("%s of %s: %v", call, id, err)
			}
		}
	}
}

func anyText(t *testing.T, b Bed) {
	ctx := t.Context()
	body := "a {noformat} *b* [c|d] \"e\" \\ 'f' <b>&amp; {{g}} {code} ü € 💾\n\tindented\n" + strings.Repeat("line of a long text\n", 1000)
	id, err := b.Tracker.File(ctx, `k/"c1" OR labels is not EMPTY/ticket`, repairer.Ticket{Case: "c1", Title: `Replace "S1" in {slot} ü`, Body: body})
	check(t, err)
	check(t, b.Tracker.Comment(ctx, "k/1", id, "{quote} ü\nsecond line"))
	tk := read(t, b, id)
	if tk.Title != `Replace "S1" in {slot} ü` || len(tk.Comments) != 1 || tk.Comments[0].Text != "{quote} ü\nsecond line" {
		t.Errorf("title %q, comments %+v", tk.Title, tk.Comments)
	}
	if got, want := strings.TrimSpace(tk.Body), strings.TrimSpace(body); got != want {
		t.Errorf("the body came back with %d of %d bytes: %.80q", len(got), len(want), got)
	}
}

func returns(t *testing.T, b Bed) {
	id := file(t, b, "k/c1/ticket")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begun := time.Now()
	if err := b.Tracker.Comment(ctx, "k/1", id, "x"); err == nil {
		t.Error("a call whose context had ended succeeded")
	}
	if _, err := b.Tracker.Ticket(ctx, id); err == nil {
		t.Error("a read whose context had ended succeeded")
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("they took %s", d)
	}
}
