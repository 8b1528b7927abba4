package secret_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"glia/config/secret"
)

func TestParse_KnowsEveryKindAndQuotesNoMistake(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                   "",
		"/etc/glia/jira":                     "",
		"file:/etc/glia/jira":                "",
		"env:JIRA_PASSWORD":                  "",
		"credential:jira":                    "",
		"credential:tls.key":                 "",
		"vault:kv/data/glia#jira_password":   "",
		"vault:secret/a/b/c.d#k":             "",
		canary:                               "is no reference to a secret",
		"etc/" + canary:                      "is no reference to a secret",
		"http:" + canary:                     "is no reference to a secret",
		"file:" + canary:                     "has no absolute path",
		"env:9" + canary:                     "has no name of a variable",
		"env:":                               "has no name of a variable",
		"credential:../" + canary:            "has no name of a credential",
		"credential:a/" + canary:             "has no name of a credential",
		"credential:":                        "has no name of a credential",
		"vault:" + canary:                    "has no path and key",
		"vault:kv/data/glia":                 "has no path and key",
		"vault:#" + canary:                   "has no path and key",
		"vault:../sys#" + canary:             "has no path and key",
		"vault:kv/../sys/" + canary + "#k":   "has no path and key",
		"vault:kv//" + canary + "#k":         "has no path and key",
		"vault:kv/data/" + canary + "?x=y#k": "has no path and key",
	} {
		r, err := secret.Parse(text)
		if want == "" {
			if err != nil || r.IsZero() != (text == "") || r.String() != strings.TrimPrefix(text, "file:") {
				t.Errorf("%q: %q, %v", text, r, err)
			}
			again, err := secret.Parse(r.String())
			if err != nil || again != r {
				t.Errorf("%q is %q, and that is %q, %v", text, r, again, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// vault is a source with one secret.
type vault struct{}

func (vault) Secret(path, key string) (secret.Value, error) {
	if path == "kv/data/glia" && key == "k" {
		return secret.Of(" from vault\n"), nil
	}
	return secret.Value{}, errors.New("there is no such secret")
}

func TestRef_Read(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	own, group, all := write("own", " in a file \n", 0o600), write("group", "for a group", 0o640), write("all", canary, 0o604)
	empty, big := write("empty", "\n", 0o600), write("big", strings.Repeat("x", 1<<20+1), 0o600)
	link, pipe := filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.Symlink(all, link), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GLIA_TEST_SECRET", "in the environment")
	t.Setenv(secret.CredentialsDirectory, dir)
	bound := struct {
		List []struct{ Known, Unknown secret.Ref }
	}{make([]struct{ Known, Unknown secret.Ref }, 1)}
	bound.List[0].Known, bound.List[0].Unknown = secret.MustParse("vault:kv/data/glia#k"), secret.MustParse("vault:kv/data/glia#other")
	if got := secret.Refs(&bound); len(got) != 2 {
		t.Fatalf("found %v", got)
	}
	secret.Bind(&bound, vault{})
	for _, tt := range []struct {
		ref          secret.Ref
		want, broken string
	}{
		{secret.Ref{}, "", ""},
		{secret.MustParse("file:" + own), "in a file", ""},
		{secret.MustParse(group), "for a group", ""},
		{secret.MustParse(all), "", "everybody on this host may access " + all},
		{secret.MustParse(link), "", "everybody on this host may access " + link},
		{secret.MustParse("credential:all"), "", "everybody on this host may access " + all},
		{secret.MustParse("credential:own"), "in a file", ""},
		{secret.MustParse("credential:absent"), "", filepath.Join(dir, "absent") + ": no such file or directory"},
		{secret.MustParse(empty), "", empty + " is empty"},
		{secret.MustParse(big), "", "is larger than 1 MiB"},
		{secret.MustParse(pipe), "", "is not a regular file"},
		{secret.MustParse(dir), "", "is not a regular file"},
		{secret.MustParse("env:GLIA_TEST_SECRET"), "in the environment", ""},
		{secret.MustParse("env:GLIA_TEST_ABSENT"), "", "GLIA_TEST_ABSENT is not set"},
		{secret.MustParse("vault:kv/data/glia#k"), "", "set vault.address"},
		{bound.List[0].Known, "from vault", ""},
		{bound.List[0].Unknown, "", "vault:kv/data/glia#other: there is no such secret"},
	} {
		v, err := tt.ref.Read()
		if tt.broken == "" && (err != nil || v.Reveal() != tt.want) {
			t.Errorf("%s: %q, %v; want %q", tt.ref, v.Reveal(), err, tt.want)
		}
		if tt.broken != "" && (err == nil || !strings.Contains(err.Error(), tt.broken) || strings.Contains(err.Error(), canary) || !v.IsZero()) {
			t.Errorf("%s: %q, %v; want %q", tt.ref, v.Reveal(), err, tt.broken)
		}
	}
	inherits := struct{ S secret.Ref }{secret.MustParse("env:GLIA_TEST_SECRET")}
	secret.TakeEnvironment(&inherits)
	if v, err := inherits.S.Read(); err != nil || v.Reveal() != "in the environment" {
		t.Errorf("taken out of the environment: %q, %v", v.Reveal(), err)
	}
	if _, left := os.LookupEnv("GLIA_TEST_SECRET"); left {
		t.Error("commands would inherit the secret")
	}
	t.Setenv(secret.CredentialsDirectory, "")
	if _, err := secret.MustParse("credential:own").Read(); err == nil || !strings.Contains(err.Error(), "LoadCredential=own") {
		t.Errorf("without systemd: %v", err)
	}
}
