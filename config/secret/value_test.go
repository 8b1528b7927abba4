package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"glia/config/secret"
)

const canary = "hunter2-canary"

// options is a struct as those are that hold secrets, with one where fmt can call no method.
type options struct {
	Shown  secret.Value
	hidden secret.Value
	Many   map[string]secret.Value
}

func TestValue_IsNeverSeen(t *testing.T) {
	t.Parallel()
	v := secret.Of(canary)
	o := options{v, v, map[string]secret.Value{"k": v}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%10.3s", "%t"} {
		for _, arg := range []any{v, &v, o, &o, []secret.Value{v}} {
			fmt.Fprintf(&out, verb, arg)
		}
	}
	fmt.Fprintln(&out, v, o)
	fmt.Fprintln(&out, fmt.Errorf("login with %v: %s", v, v))
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("m", "secret", v, "options", o, "pointer", &v, slog.Group("g", "s", v))
	}
	b, err := json.Marshal(o)
	if err != nil || !strings.Contains(string(b), `"Shown":"(secret)"`) {
		t.Errorf("JSON: %s %v", b, err)
	}
	out.Write(b)
	if err := toml.NewEncoder(&out).Encode(map[string]any{"o": v}); err != nil {
		t.Error(err)
	}
	hex := fmt.Sprintf("%x", canary)
	for _, form := range []string{canary, hex, strings.ToUpper(hex)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret is seen as %s in:\n%s", form, out.String())
		}
	}
	if v.Reveal() != canary || o.hidden.Reveal() != canary || !v.Is(canary) || v.Is("x") || v.IsZero() || !secret.Of("").IsZero() || secret.Of("").String() != "" {
		t.Error("a value does not know what it is")
	}
	if got := v.Hide("you sent " + canary + "!"); got != "you sent (secret)!" {
		t.Errorf("hidden as %q", got)
	}
	if got := secret.Of("").Hide("as it is"); got != "as it is" {
		t.Errorf("nothing hidden as %q", got)
	}
}
