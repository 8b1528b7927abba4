package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

type entrypointCommand struct {
	*app
	straight func(ctx context.Context, config string) (*gliav1.GetEntrypointResponse, error)
	config   string
}

func (c *entrypointCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "entrypoint",
		Short: "Show which repairer is the active one, and whether what it needs answers",
		Long: `Show which repairer is the active one, since when and under which epoch, and whether the database, what
elects, and the registries of the synapse answer; where they need a quorum, whether they have it.

Any repairer can be asked, also one that stands by. When the one asked does not answer, the answer
comes straight from what the repairer's configuration on this host names.

Exits with 1 when nobody leads or it can not be told, and with 4 when somebody leads but something
that it needs does not answer.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	cmd.Flags().StringVar(&c.config, "config", "/etc/glia/repairer.toml", "configuration `file` of the repairer, for when none answers")
	return cmd
}

func (c *entrypointCommand) run(ctx context.Context) error {
	d, err := c.ask(ctx)
	if err != nil {
		return err
	}
	if err := c.print(d); err != nil {
		return err
	}
	switch d.Leading {
	case leadingSomebody:
		if ill := d.ill(); ill > 0 {
			return degradedError{[]string{plural(ill, "need") + " of the repairer without a good answer"}}
		}
		return nil
	case leadingNobody:
		return errors.New("nobody is the active repairer, so nothing is repaired: " + clean(d.Why))
	}
	return errors.New("it can not be told who is the active repairer: " + clean(d.Why))
}

// ask asks the repairer, or what its configuration names.
func (c *entrypointCommand) ask(ctx context.Context) (entrypointDoc, error) {
	s := server{name: "repairer", flag: "--repairer", env: "GLIA_REPAIRER", wait: c.conn.timeout}
	h, err := c.httpClient(&s, c.conn.repairer, defaultRepairer)
	if err != nil {
		return entrypointDoc{}, err
	}
	client := gliav1connect.NewEntrypointServiceClient(h, s.base)
	res, err := call(ctx, s, client.GetEntrypoint, &gliav1.GetEntrypointRequest{})
	if err == nil {
		return entrypointFrom(res, "the repairer at "+s.url), nil
	}
	if c.straight == nil || interrupted(ctx) {
		return entrypointDoc{}, err
	}
	c.note("%s", clean(err.Error()))
	res, configErr := c.straight(ctx, c.config)
	if configErr != nil {
		return entrypointDoc{}, fmt.Errorf("the configuration of the repairer does not help: %w; ask another repairer with --repairer, or run this on a repair host", configErr)
	}
	return entrypointFrom(res, "what "+c.config+" names"), nil
}

// The values of Leading.
const (
	leadingSomebody = "somebody"
	leadingNobody   = "nobody"
	leadingUnknown  = "unknown"
)

// entrypointDoc is the result of glia entrypoint.
type entrypointDoc struct {
	Leading   string    `json:"leading"`          // somebody, nobody or unknown
	Holder    string    `json:"holder,omitempty"` // who leads, or led last
	Epoch     uint64    `json:"epoch,omitempty"`  // of holder; absent: not known
	Since     time.Time `json:"since,omitzero"`   // when its term began; absent: not known
	Why       string    `json:"why,omitempty"`    // why nobody leads, or why it is not known
	ElectedBy string    `json:"elected_by"`       // database, zookeeper or consul
	AskedOf   string    `json:"asked_of"`
	Needs     []needDoc `json:"needs"`
}

// needDoc is something that repairers work with.
type needDoc struct {
	Name    string `json:"name"`
	Problem string `json:"problem,omitempty"` // absent: it answers, by a quorum where it needs one
}

func (d entrypointDoc) ill() (n int) {
	for _, need := range d.Needs {
		if need.Problem != "" {
			n++
		}
	}
	return n
}

func entrypointFrom(res *gliav1.GetEntrypointResponse, askedOf string) entrypointDoc {
	d := entrypointDoc{
		Leading: leadingUnknown, Holder: res.GetHolder(), Epoch: res.GetEpoch(), Since: api.TimeFromProto(res.GetSince()),
		Why: res.GetWhy(), ElectedBy: res.GetElectedBy(), AskedOf: askedOf,
		Needs: each(res.GetNeeds(), func(n *gliav1.Need) needDoc { return needDoc{n.GetName(), n.GetProblem()} }),
	}
	switch res.GetLeading() {
	case gliav1.Leading_LEADING_SOMEBODY:
		d.Leading = leadingSomebody
	case gliav1.Leading_LEADING_NOBODY:
		d.Leading = leadingNobody
	}
	return d
}

func (d entrypointDoc) write(w io.Writer, now time.Time) {
	term := ""
	if d.Holder != "" {
		term = fmt.Sprintf("%s, epoch %d, since %s", d.Holder, d.Epoch, d.since(now))
	}
	switch d.Leading {
	case leadingSomebody:
		facts(w, [2]string{"active", term})
	case leadingNobody:
		facts(w, [2]string{"active", "NOBODY: " + d.Why}, [2]string{"last", term})
	default:
		facts(w, [2]string{"active", "UNKNOWN: " + d.Why}, [2]string{"last known", term})
	}
	facts(w, [2]string{"elected by", d.ElectedBy}, [2]string{"asked", d.AskedOf})
	fmt.Fprintln(w)
	table(w, "NEED ANSWER", each(d.Needs, func(n needDoc) []string { return []string{n.Name, cmp.Or(n.Problem, "ok")} }))
}

func (d entrypointDoc) since(now time.Time) string {
	if d.Since.IsZero() {
		return "an unknown time"
	}
	return stamp(d.Since) + " (" + ago(now, d.Since) + ")"
}
