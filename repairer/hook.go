package repairer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// hookTime bounds one run of the site's gate hook.
const hookTime = 10 * time.Second

// hookPause is how long a veto counts before the hook is asked again.
const hookPause = time.Minute

// Answer is what the site's gate hook said about a case.
type Answer struct {
	Needed bool   // there is a hook
	Asked  bool   // it was asked about this very plan
	Veto   string // why not; empty: it agrees

	hash string    // of the plan
	at   time.Time // when it was asked
}

// CommandHook makes a hook of a command. It gets the plan as JSON on its standard input and no shell.
// Exit code 0 agrees; anything else, and more than ten seconds, is a veto with its last line as reason.
// Without a command there is no hook.
func CommandHook(argv []string) func(context.Context, Plan) string {
	if len(argv) == 0 {
		return nil
	}
	return func(ctx context.Context, p Plan) string { return runHook(ctx, argv, p, hookTime) }
}

// hookInput is what the hook reads: the plan and its hash.
func hookInput(p Plan) ([]byte, error) {
	return json.Marshal(struct {
		Hash string `json:"hash"`
		Plan
	}{p.Hash(), p})
}

// hookWords says what the hook will be asked about a case that has not started, and what it said last.
// It does not ask.
func (e *Engine) hookWords(c Case) string {
	if e.Hook == nil {
		return ""
	}
	e.vetoes.mu.Lock()
	last := e.vetoes.last[c.ID]
	e.vetoes.mu.Unlock()
	words := "The site's hook " + strings.Join(e.HookCommand, " ") + " is asked last, when all gates agree; it was not asked now."
	if c.Plan != nil && last.Veto != "" && last.hash == c.Plan.Hash() {
		words += " At " + last.at.UTC().Format(time.RFC3339) + " it refused: " + last.Veto + "."
	}
	return words
}

func runHook(ctx context.Context, argv []string, p Plan, limit time.Duration) string {
	in, err := hookInput(p)
	if err != nil {
		return "the plan can not be written: " + err.Error()
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = bytes.NewReader(in)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with its children
	cmd.WaitDelay = time.Second                                                          // a child that keeps the pipe open does not hold it up
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return fmt.Sprintf("%s gave no answer within %s", argv[0], limit)
	case errors.Is(err, exec.ErrWaitDelay), err == nil:
		return ""
	}
	said := strings.ToValidUTF8(lastLine(string(out)), "?")
	if said == "" {
		return argv[0] + ": " + err.Error()
	}
	return brief(errors.New(said))
}

// vetoes remembers what the hook has refused, by case. It is safe for concurrent use.
type vetoes struct {
	mu   sync.Mutex
	last map[string]Answer
}

// ask asks the site's hook, which is run only when all else agrees. Its consent is never remembered.
func (e *Engine) ask(ctx context.Context, c Case) Answer {
	if e.Hook == nil {
		return Answer{}
	}
	v, now, hash := &e.vetoes, e.Now(), c.Plan.Hash()
	v.mu.Lock()
	last, ok := v.last[c.ID]
	v.mu.Unlock()
	if age := now.Sub(last.at); ok && last.hash == hash && age >= 0 && age < hookPause {
		return last
	}
	a := Answer{Needed: true, Asked: true, Veto: e.Hook(ctx, *c.Plan), hash: hash, at: now}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last == nil {
		v.last = map[string]Answer{}
	}
	delete(v.last, c.ID)
	if a.Veto != "" {
		v.last[c.ID] = a
	}
	return a
}

func gateHook(_ Case, f Facts) *Refusal {
	switch {
	case !f.Hook.Needed:
		return nil
	case !f.Hook.Asked:
		return &Refusal{Gate: GateHook, Value: "the site's hook was not asked", Limit: "its consent", Until: "it is asked"}
	case f.Hook.Veto != "":
		return &Refusal{Gate: GateHook, Value: f.Hook.Veto, Limit: "the consent of the site's hook", Until: "the hook agrees; it is asked again every " + hookPause.String()}
	}
	return nil
}
