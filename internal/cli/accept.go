package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/judge"
)

type acceptCommand struct {
	*app
	person
	reason
	value  float64
	length string
}

func (c *acceptCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accept SERIAL RULE",
		Short: "Accept a value of a disk, so that only growth beyond it counts",
		Long: `Accept the value that a rule holds against a disk, for a time and with a reason: until it ends, only growth
beyond the value counts. Without --value it is the value that is observed now. The nerve of the disk's host
keeps it, logs it and ends it by itself; glia disk shows it, and the names of the rules that speak against
the disk. Accepting again replaces what was accepted for the rule.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s needs SERIAL and RULE", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return c.completeSerials(cmd, args, typed)
			}
			return c.offer(cmd, typed, func(context.Context) (out []cobra.Completion) {
				for _, r := range judge.Default().Rules {
					out = append(out, r.Name)
				}
				return out
			})
		},
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0], args[1]) },
	}
	c.person.addFlag(cmd)
	c.reason.addFlag(cmd)
	cmd.Flags().Float64Var(&c.value, "value", 0, "the `value` to accept (default what is observed now)")
	cmd.Flags().StringVar(&c.length, "for", "90d", "how `long`, such as 90d or 12h, a year at most")
	return cmd
}

func (c *acceptCommand) run(cmd *cobra.Command, serial, rule string) error {
	why, err := c.get(cmd)
	if err != nil {
		return err
	}
	who, err := c.name(c.env)
	if err != nil {
		return err
	}
	length, err := days(c.length)
	if err != nil || length <= 0 || length > judge.MaxAccepted {
		return usagef("--for %s: want a time such as 90d or 12h, a year at most", c.length)
	}
	d, err := c.fleetDisks(cmd.Context(), "")
	if err != nil {
		return err
	}
	x, err := d.one(serial)
	if err != nil {
		return err
	}
	host := x.Disk.Location.Host
	n, s, err := c.nerveClient(host, d.addresses[host])
	if err != nil {
		return err
	}
	m := &gliav1.AcceptValueRequest{Serial: serial, Rule: rule, Reason: why, Person: who, Until: api.TimeToProto(c.now().Add(length))}
	if cmd.Flags().Changed("value") {
		m.Value = &c.value
	}
	r, err := call(cmd.Context(), s, n.AcceptValue, m)
	if err != nil {
		return err
	}
	doc := acceptedFrom(r.GetAccepted())
	doc.Serial, doc.Host = serial, host
	return c.print(doc)
}

// days is time.ParseDuration that also knows whole days.
func days(text string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(text, "d"); ok {
		v, err := strconv.ParseUint(n, 10, 16)
		return time.Duration(v) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

// acceptedDoc is a value that is accepted, and the result of glia accept.
type acceptedDoc struct {
	Serial string    `json:"serial,omitempty"`
	Host   string    `json:"host,omitempty"`
	Rule   string    `json:"rule"`
	Value  float64   `json:"value"`
	Reason string    `json:"reason"`
	Person string    `json:"person"`
	At     time.Time `json:"at,omitzero"`
	Until  time.Time `json:"until,omitzero"`
}

func acceptedFrom(m *gliav1.AcceptedValue) acceptedDoc {
	return acceptedDoc{Rule: m.GetRule(), Value: m.GetValue(), Reason: m.GetReason(), Person: m.GetPerson(), At: api.TimeFromProto(m.GetAt()), Until: api.TimeFromProto(m.GetUntil())}
}

func (a acceptedDoc) write(w io.Writer, _ time.Time) {
	fmt.Fprintf(w, "accepted for %s of %s: %s\n", clean(a.Serial), clean(a.Host), clean(a.words()))
}
