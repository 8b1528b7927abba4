// Package secret is how configurations name secrets without holding them: by file:/path, env:NAME,
// credential:NAME (of systemd) or vault:PATH#KEY.
//
// What is read never shows itself, see Value. A file that everybody on the host may access is refused, each time it is
// read. A reference can be shown; a text that is none, and so may be a secret put there by mistake, is never quoted.
//
// Reading fails with what is wrong and what to do about it, and never with the text that was read.
package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// Ref says where a secret is. The zero value names none. It is safe for concurrent use.
type Ref struct {
	scheme string // one of those below; empty: no secret
	name   string // path, name of a variable or credential, or path in Vault
	key    string // with vault
	vault  Source // that Bind has set
}

// The schemes.
const (
	schemeFile       = "file"
	schemeEnv        = "env"
	schemeCredential = "credential"
	schemeVault      = "vault"
)

// CredentialsDirectory is the variable in which systemd tells a service where its credentials are (systemd.exec(5)).
const CredentialsDirectory = "CREDENTIALS_DIRECTORY"

// maxSize is beyond any key or password, in bytes.
const maxSize = 1 << 20

var (
	variables   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	credentials = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@:-]*$`)
	inVault     = regexp.MustCompile(`^([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.@ -]+)+)#([^#\s]+)$`)
)

// errNoRef does not quote the text.
var errNoRef = errors.New(`is no reference to a secret, which is never written here itself: want "file:/path", "env:NAME", "credential:NAME" or "vault:PATH#KEY"`)

// Parse reads a reference. An absolute path alone is that of a file, and an empty text names no secret.
func Parse(text string) (Ref, error) {
	if text == "" {
		return Ref{}, nil
	}
	if filepath.IsAbs(text) {
		return Ref{scheme: schemeFile, name: text}, nil
	}
	scheme, name, _ := strings.Cut(text, ":")
	switch scheme {
	case schemeFile:
		if !filepath.IsAbs(name) {
			return Ref{}, errors.New(`has no absolute path behind "file:"`)
		}
		return Ref{scheme: scheme, name: name}, nil
	case schemeEnv:
		if !variables.MatchString(name) {
			return Ref{}, errors.New(`has no name of a variable behind "env:", such as env:JIRA_PASSWORD`)
		}
		return Ref{scheme: scheme, name: name}, nil
	case schemeCredential:
		if !credentials.MatchString(name) {
			return Ref{}, errors.New(`has no name of a credential behind "credential:", as LoadCredential= of systemd has it`)
		}
		return Ref{scheme: scheme, name: name}, nil
	case schemeVault:
		m := inVault.FindStringSubmatch(name)
		if m == nil || slices.Contains(strings.Split(m[1], "/"), "..") {
			return Ref{}, errors.New(`has no path and key behind "vault:", such as vault:kv/data/glia#jira_password`)
		}
		return Ref{scheme: scheme, name: m[1], key: m[2]}, nil
	}
	return Ref{}, errNoRef
}

// MustParse is Parse of what is known to be a reference.
func MustParse(text string) Ref {
	r, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return r
}

// UnmarshalText is Parse.
func (r *Ref) UnmarshalText(text []byte) error {
	v, err := Parse(string(text))
	if err != nil {
		return err
	}
	*r = v
	return nil
}

// MarshalText is the reference.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String is the reference as it is configured; that of a file is its path.
func (r Ref) String() string {
	switch r.scheme {
	case "", schemeFile:
		return r.name
	case schemeVault:
		return r.scheme + ":" + r.name + "#" + r.key
	}
	return r.scheme + ":" + r.name
}

// IsZero says whether no secret is named.
func (r Ref) IsZero() bool { return r.scheme == "" }

// Vault is path and key in Vault of a secret that is there.
func (r Ref) Vault() (path, key string, ok bool) { return r.name, r.key, r.scheme == schemeVault }

// Path is the file that holds the secret, if one does: ok is false for a variable and for Vault, and for a credential
// where systemd has given none.
func (r Ref) Path() (path string, ok bool) {
	switch r.scheme {
	case schemeFile:
		return r.name, true
	case schemeCredential:
		dir := os.Getenv(CredentialsDirectory)
		return filepath.Join(dir, r.name), dir != ""
	}
	return "", false
}

// Source answers what is in Vault. It must be safe for concurrent use, and answer at once.
type Source interface {
	Secret(path, key string) (Value, error)
}

// Read reads the secret, without white space around it; the zero value when no secret is named. An empty one is an
// error. So is a file that others than its owner and group may access.
func (r Ref) Read() (Value, error) {
	text, err := r.read()
	if err != nil || r.IsZero() {
		return Value{}, err
	}
	v := Of(strings.TrimSpace(text))
	if v.IsZero() {
		return Value{}, fmt.Errorf("%s is empty", r)
	}
	return v, nil
}

func (r Ref) read() (string, error) {
	switch r.scheme {
	case "":
		return "", nil
	case schemeEnv:
		text, ok := variable(r.name)
		if !ok {
			return "", fmt.Errorf("the variable %s is not set in the environment", r.name)
		}
		return text, nil
	case schemeVault:
		if r.vault == nil {
			return "", fmt.Errorf("%s: no Vault is configured: set vault.address", r)
		}
		v, err := r.vault.Secret(r.name, r.key)
		if err != nil {
			return "", fmt.Errorf("%s: %w", r, err)
		}
		return v.Reveal(), nil
	}
	path, ok := r.Path()
	if !ok {
		return "", fmt.Errorf("%s: %s is not set: systemd sets it with LoadCredential=%s:/path in the unit", r, CredentialsDirectory, r.name)
	}
	b, err := ReadFile(path)
	return string(b), err
}

// ReadFile reads a small regular file with a secret in it. It refuses one that everybody on the host may access.
func ReadFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe does not hold us up
	if err != nil {
		return nil, brief(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, brief(path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is not a regular file", path)
	case info.Mode().Perm()&0o007 != 0:
		return nil, fmt.Errorf("everybody on this host may access %s, which holds a secret (mode %04o): run chmod 0600 %s", path, info.Mode().Perm(), path)
	case info.Size() > maxSize:
		return nil, fmt.Errorf("%s: is larger than 1 MiB, which no secret is", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, brief(path, err)
	}
	return b, nil
}

// brief says what became of a file, its path once.
func brief(path string, err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}
