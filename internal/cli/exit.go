package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes of glia. They are part of its interface and do not change their meaning.
const (
	ExitDone     = 0 // what was asked for happened
	ExitError    = 1 // it did not
	ExitUsage    = 2 // the command line was not understood; nothing was asked
	ExitRefused  = 3 // a gate or a check of the repairer said no; nothing was changed
	ExitDegraded = 4 // the answer is incomplete, or glia needs a person
)

// usageError says that the command line was not understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// refusedError says that the repairer's rules forbid what was asked.
type refusedError struct {
	message  string
	refusals []refusal
}

func (e refusedError) Error() string { return "refused: " + e.message }

// degradedError says that a result was printed, but is incomplete or shows that a person is needed.
type degradedError struct{ reasons []string }

func (e degradedError) Error() string { return "degraded: " + strings.Join(e.reasons, "; ") }

// report prints the error on standard error and returns the exit code that stands for it.
func (a *app) report(cmd *cobra.Command, err error) int {
	if err == nil {
		return ExitDone
	}
	fmt.Fprintf(a.err, "glia: %s\n", strings.TrimSpace(err.Error()))
	var usage usageError
	var refused refusedError
	var degraded degradedError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(a.err, "See %q.\n", cmd.CommandPath()+" --help")
		return ExitUsage
	case errors.As(err, &refused):
		writeRefusals(a.err, refused.refusals)
		return ExitRefused
	case errors.As(err, &degraded):
		return ExitDegraded
	}
	return ExitError
}

// argument accepts exactly one argument and names it when it is absent.
func argument(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usagef("%s needs %s", cmd.CommandPath(), name)
		case len(args) > 1:
			return usagef("%s takes one %s, not %d: %s", cmd.CommandPath(), name, len(args), strings.Join(args, " "))
		case strings.TrimSpace(args[0]) == "":
			return usagef("%s needs %s, which is empty", cmd.CommandPath(), name)
		}
		return nil
	}
}

// noArguments is cobra.NoArgs in plainer words: a command without subcommands does not speak of any.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument, but got %s", cmd.CommandPath(), strings.Join(args, " "))
	}
	return nil
}

// group is the Args of a command that only holds subcommands. Without it cobra prints the help of
// the group and exits with 0 when a subcommand is mistyped.
func group(cmd *cobra.Command, args []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	if len(args) == 0 {
		return usagef("%s needs one of %s", cmd.CommandPath(), strings.Join(names, ", "))
	}
	hint := "known are " + strings.Join(names, ", ")
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("%s has no command %q; %s", cmd.CommandPath(), args[0], hint)
}

// interrupted says whether the person ended the command.
func interrupted(ctx context.Context) bool {
	return errors.Is(ctx.Err(), context.Canceled)
}

// writeRefusals prints what each gate says, and what would change its mind.
func writeRefusals(w io.Writer, refusals []refusal) {
	for _, r := range refusals {
		fmt.Fprintf(w, "  %s\n", r.words())
		if r.Until != "" {
			fmt.Fprintf(w, "      until %s\n", clean(r.Until))
		}
	}
}
