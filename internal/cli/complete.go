package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	gliav1 "glia/api/glia/v1"
)

// completionWait is how long a person who pressed TAB waits for a server, at most. When nothing came
// by then, nothing is offered, and no error is shown in the middle of the command line.
const completionWait = time.Second

type completion = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// complete offers fixed values for a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// offer asks for candidates, within completionWait, and keeps those that begin with what was typed.
func (a *app) offer(cmd *cobra.Command, typed string, ask func(context.Context) []cobra.Completion) ([]cobra.Completion, cobra.ShellCompDirective) {
	a.conn.timeout = completionWait
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	var out []cobra.Completion
	for _, c := range ask(ctx) {
		if strings.HasPrefix(c, typed) {
			out = append(out, c)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeSerials(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.offer(cmd, typed, a.serials)
}

// serials are those of the disks that the fleet tells of now.
func (a *app) serials(ctx context.Context) []cobra.Completion {
	d, err := a.fleetDisks(ctx, "")
	if err != nil {
		return nil
	}
	var out []cobra.Completion
	for _, x := range d.Disks {
		if s := clean(x.Disk.Serial()); s != "" {
			out = append(out, cobra.CompletionWithDesc(s, x.Verdict.State.String()+", "+clean(x.Disk.Location.Host)))
		}
	}
	return out
}

// hosts are those that the repairer sees.
func (a *app) hosts(ctx context.Context) []cobra.Completion {
	rc, s, err := a.repairClient()
	if err != nil {
		return nil
	}
	res, err := call(ctx, s, rc.GetStatus, &gliav1.GetStatusRequest{})
	if err != nil {
		return nil
	}
	return each(res.GetHosts(), func(h *gliav1.HostSummary) cobra.Completion { return clean(h.GetHost()) })
}

func (a *app) completeHosts(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.offer(cmd, typed, a.hosts)
}

func (a *app) completeScope(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ask := func(context.Context) []cobra.Completion { return []cobra.Completion{"fleet", "host:", "disk:"} }
	directive := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	switch kind, _, _ := strings.Cut(typed, ":"); {
	case !strings.Contains(typed, ":"):
	case kind == "host":
		ask, directive = prefixed("host:", a.hosts), cobra.ShellCompDirectiveNoFileComp
	case kind == "disk":
		ask, directive = prefixed("disk:", a.serials), cobra.ShellCompDirectiveNoFileComp
	}
	out, _ := a.offer(cmd, typed, ask)
	return out, directive
}

func prefixed(prefix string, ask func(context.Context) []cobra.Completion) func(context.Context) []cobra.Completion {
	return func(ctx context.Context) []cobra.Completion {
		return each(ask(ctx), func(c cobra.Completion) cobra.Completion { return prefix + c })
	}
}

func (a *app) completeCases(all bool) completion {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.offer(cmd, typed, func(ctx context.Context) []cobra.Completion {
			rc, s, err := a.repairClient()
			if err != nil {
				return nil
			}
			res, err := call(ctx, s, rc.ListCases, &gliav1.ListCasesRequest{All: all})
			if err != nil {
				return nil
			}
			return each(res.GetCases(), func(c *gliav1.Case) cobra.Completion {
				return cobra.CompletionWithDesc(clean(c.GetId()), clean(c.GetSerial()+", "+c.GetPhase()))
			})
		})
	}
}

func (a *app) completeTickets(all bool) completion {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.offer(cmd, typed, func(ctx context.Context) []cobra.Completion {
			rc, s, err := a.repairClient()
			if err != nil {
				return nil
			}
			res, err := call(ctx, s, rc.ListTickets, &gliav1.ListTicketsRequest{All: all})
			if err != nil {
				return nil
			}
			return each(res.GetTickets(), func(t *gliav1.Ticket) cobra.Completion {
				return cobra.CompletionWithDesc(clean(t.GetId()), clean(t.GetTitle()))
			})
		})
	}
}
