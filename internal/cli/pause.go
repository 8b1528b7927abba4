package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	gliav1 "glia/api/glia/v1"
)

// scope is what a pause covers.
type scope struct{ text string }

func (s *scope) addFlag(a *app, cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.text, "scope", "fleet", "`what`: fleet, domain:NAME, host:NAME or disk:SERIAL")
	_ = cmd.RegisterFlagCompletionFunc("scope", a.completeScope)
}

func (s *scope) check() error {
	kind, name, named := strings.Cut(s.text, ":")
	if s.text == "fleet" || (named && name != "" && (kind == "domain" || kind == "host" || kind == "disk")) {
		return nil
	}
	return usagef("--scope %s: want fleet, domain:NAME, host:NAME or disk:SERIAL", s.text)
}

type pauseCommand struct {
	*app
	person
	reason
	scope
	length time.Duration
}

func (c *pauseCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pause --reason WHY",
		Short: "Stop all new acts on the fleet, a host or a disk",
		Long: `Stop all new acts on the fleet, a failure domain, a host or a disk, at once. A step that has already begun is
finished. The pause lasts until glia resume, or as long as --for says.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	cmd.Flags().DurationVar(&c.length, "for", 0, "how long, such as 2h or 30m (default until resumed)")
	c.scope.addFlag(c.app, cmd)
	c.reason.addFlag(cmd)
	c.person.addFlag(cmd)
	return cmd
}

func (c *pauseCommand) run(cmd *cobra.Command) error {
	if err := c.check(); err != nil {
		return err
	}
	why, err := c.get(cmd)
	if err != nil {
		return err
	}
	who, err := c.name(c.env)
	if err != nil {
		return err
	}
	req := &gliav1.PauseRequest{Scope: c.scope.text, Owner: who, Reason: why}
	if cmd.Flags().Changed("for") {
		if c.length <= 0 {
			return usagef("--for %s: must be longer than zero", c.length)
		}
		req.Until = timestamppb.New(c.now().Add(c.length))
	}
	rc, s, err := c.repairClient()
	if err != nil {
		return err
	}
	res, err := call(cmd.Context(), s, rc.Pause, req)
	if err != nil {
		return err
	}
	return c.print(pauseDoc{pauseFrom(res.GetPause())})
}

// pauseDoc is the result of glia pause.
type pauseDoc struct {
	Pause pauseEntry `json:"pause"`
}

func (d pauseDoc) write(w io.Writer, now time.Time) { fmt.Fprintln(w, d.Pause.words(now)) }

type resumeCommand struct {
	*app
	person
	reason
	scope
}

func (c *resumeCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume --reason WHY",
		Short: "End the pauses of the fleet, a host or a disk",
		Long: `End the pauses of exactly one scope: those of the fleet, of one failure domain, of one host or of
one disk. Pauses of other scopes stay in force; glia status lists them.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.check(); err != nil {
				return err
			}
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
			res, err := call(cmd.Context(), s, rc.Resume, &gliav1.ResumeRequest{Scope: c.scope.text, Person: who, Reason: why})
			if err != nil {
				return err
			}
			return c.print(resumeDoc{Scope: c.scope.text, Ended: each(res.GetEnded(), pauseFrom)})
		},
	}
	c.scope.addFlag(c.app, cmd)
	c.reason.addFlag(cmd)
	c.person.addFlag(cmd)
	return cmd
}

// resumeDoc is the result of glia resume.
type resumeDoc struct {
	Scope string       `json:"scope"`
	Ended []pauseEntry `json:"ended"` // empty when nothing was paused in that scope
}

func (d resumeDoc) write(w io.Writer, now time.Time) {
	if len(d.Ended) == 0 {
		fmt.Fprintf(w, "no pause of %s was in force\n", clean(d.Scope))
	}
	for _, p := range d.Ended {
		fmt.Fprintf(w, "ended: %s\n", p.words(now))
	}
}
