package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

func queueCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "Show the repairer's events and timers, and see to dead events",
		Args:  group,
		RunE:  group,
	}
	cmd.AddCommand((&queueListCommand{app: a}).command(), queueReplayCommand(a), queueDropCommand(a))
	return cmd
}

// queueClient prepares the client of the repairer's queue; it does not connect yet.
func (a *app) queueClient() (gliav1connect.QueueServiceClient, server, error) {
	s := server{name: "repairer", flag: "--repairer", env: "GLIA_REPAIRER", wait: a.conn.timeout}
	h, err := a.httpClient(&s, a.conn.repairer, defaultRepairer)
	if err != nil {
		return nil, s, err
	}
	return gliav1connect.NewQueueServiceClient(h, s.base), s, nil
}

type queueListCommand struct {
	*app
	all bool
}

func (c *queueListCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the events that are not done, and the timers that have not fired",
		Long: `List the events that are not done, and the timers that have not fired.

An event that has failed too often, or that nothing can handle, is dead. It holds up no other one, and
stays until you replay or drop it. Exits with 4 while there is one.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, s, err := c.queueClient()
			if err != nil {
				return err
			}
			res, err := call(cmd.Context(), s, client.ListQueue, &gliav1.ListQueueRequest{All: c.all})
			if err != nil {
				return err
			}
			d := queueFrom(res)
			if err := c.print(d); err != nil {
				return err
			}
			if n := d.dead(); n > 0 {
				return degradedError{[]string{plural(n, "dead event")}}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&c.all, "all", false, "also those that are done, as far as they are kept")
	return cmd
}

// queueDoc is the result of glia queue list.
type queueDoc struct {
	Events []queuedEvent `json:"events"`
	Timers []queueTimer  `json:"timers"`
}

type queuedEvent struct {
	ID       uint64    `json:"id"`
	Key      string    `json:"key"`
	Type     string    `json:"type"`
	Payload  string    `json:"payload,omitempty"`
	At       time.Time `json:"at"`
	State    string    `json:"state"` // waiting, claimed, done or dead
	Attempts int       `json:"attempts"`
	Next     time.Time `json:"next,omitzero"`     // while waiting: not before
	Problem  string    `json:"problem,omitempty"` // of the last attempt
}

type queueTimer struct {
	Key     string    `json:"key"`
	Due     time.Time `json:"due"`
	Type    string    `json:"type"`
	Payload string    `json:"payload,omitempty"`
}

const eventDead = "dead"

func (d queueDoc) dead() (n int) {
	for _, e := range d.Events {
		if e.State == eventDead {
			n++
		}
	}
	return n
}

func queueFrom(res *gliav1.ListQueueResponse) queueDoc {
	return queueDoc{
		Events: each(res.GetEvents(), func(e *gliav1.QueuedEvent) queuedEvent {
			return queuedEvent{
				ID: e.GetId(), Key: e.GetKey(), Type: e.GetType(), Payload: e.GetPayload(), At: api.TimeFromProto(e.GetAt()), State: e.GetState(),
				Attempts: int(e.GetAttempts()), Next: api.TimeFromProto(e.GetNext()), Problem: e.GetProblem(),
			}
		}),
		Timers: each(res.GetTimers(), func(t *gliav1.QueueTimer) queueTimer {
			return queueTimer{Key: t.GetKey(), Due: api.TimeFromProto(t.GetDue()), Type: t.GetType(), Payload: t.GetPayload()}
		}),
	}
}

func (d queueDoc) write(w io.Writer, now time.Time) {
	if len(d.Events) == 0 {
		fmt.Fprintln(w, "no event waits")
	} else {
		table(w, "EVENT TYPE FOR STATE AGE ATTEMPTS NEXT PROBLEM", each(d.Events, func(e queuedEvent) []string {
			return []string{strconv.FormatUint(e.ID, 10), e.Type, e.Payload, e.State, age(now, e.At), strconv.Itoa(e.Attempts), stamp(e.Next), e.Problem}
		}))
	}
	if len(d.Timers) > 0 {
		fmt.Fprintln(w)
		table(w, "TIMER TYPE DUE", each(d.Timers, func(t queueTimer) []string {
			return []string{t.Key, t.Type, stamp(t.Due)}
		}))
	}
}

func queueReplayCommand(a *app) *cobra.Command {
	return (&deadCommand{app: a, done: "replayed", ask: func(ctx context.Context, client gliav1connect.QueueServiceClient, s server, id uint64, person, reason string) error {
		_, err := call(ctx, s, client.ReplayEvent, &gliav1.ReplayEventRequest{Id: id, Person: person, Reason: reason})
		return err
	}}).command("replay EVENT --reason WHY", "Have a dead event handled again, after you have mended what was in its way")
}

func queueDropCommand(a *app) *cobra.Command {
	return (&deadCommand{app: a, done: "dropped", ask: func(ctx context.Context, client gliav1connect.QueueServiceClient, s server, id uint64, person, reason string) error {
		_, err := call(ctx, s, client.DropEvent, &gliav1.DropEventRequest{Id: id, Person: person, Reason: reason})
		return err
	}}).command("drop EVENT --reason WHY", "Take a dead event for done, because it needs no handling any more")
}

// deadCommand does one thing to a dead event.
type deadCommand struct {
	*app
	person
	reason
	done string // word
	ask  func(ctx context.Context, client gliav1connect.QueueServiceClient, s server, id uint64, person, reason string) error
}

func (c *deadCommand) command(use, short string) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: argument("the number of an event"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return usagef("%q is not the number of an event; see glia queue list", args[0])
			}
			why, err := c.get(cmd)
			if err != nil {
				return err
			}
			who, err := c.name(c.env)
			if err != nil {
				return err
			}
			client, s, err := c.queueClient()
			if err != nil {
				return err
			}
			if err := c.ask(cmd.Context(), client, s, id, who, why); err != nil {
				return err
			}
			return c.print(deadDoc{Event: id, Done: c.done, Person: who})
		},
	}
	c.reason.addFlag(cmd)
	c.person.addFlag(cmd)
	return cmd
}

// deadDoc is the result of glia queue replay and drop.
type deadDoc struct {
	Event  uint64 `json:"event"`
	Done   string `json:"done"` // replayed or dropped
	Person string `json:"person"`
}

func (d deadDoc) write(w io.Writer, _ time.Time) {
	fmt.Fprintf(w, "event %d is %s by %s\n", d.Event, d.Done, clean(d.Person))
}
