package repairer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"glia/repairer"
)

func TestCommandHook_Answers(t *testing.T) {
	t.Parallel()
	c, _ := good()
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	for _, tc := range []struct {
		name string
		argv []string
		want string // empty: it agrees
	}{
		{"agrees", sh("exit 0"), ""},
		{"gets the plan", sh(`grep -q '"hash":"` + c.Plan.Hash() + `".*"driver":"filesystem"'`), ""},
		{"refuses with its last line", sh("echo looking; echo 'the rack moves today' >&2; exit 1"), "the rack moves today"},
		{"refuses in silence", sh("exit 7"), "/bin/sh: exit status 7"},
		{"is no program", []string{"/nonexistent"}, "no such file"},
		{"reads nothing", sh("exec <&-; exit 0"), ""},
		{"no shell in between", []string{"/bin/echo", "$HOME; exit 1"}, ""},
	} {
		got := repairer.CommandHook(tc.argv)(t.Context(), *c.Plan)
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if got := repairer.CommandHook(sh("sleep 60 & sleep 60"))(ctx, *c.Plan); !strings.Contains(got, "gave no answer") || time.Since(start) > 30*time.Second {
		t.Errorf("one that hangs: %q after %s", got, time.Since(start))
	}
	if repairer.CommandHook(nil) != nil {
		t.Error("no command is a hook")
	}
}
