package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
	"strings"
)

// Value is a secret that was read. However it is printed, logged or encoded, what is seen is "(secret)", or
// nothing for the zero value; Reveal alone gives it away. The text is behind a pointer, so that it does not show
// either where fmt prints a struct that keeps a Value in an unexported field.
type Value struct{ text *string }

// hidden is what is seen of a value.
const hidden = "(secret)"

// Of is the value with that text. An empty text is the zero value.
func Of(text string) Value {
	if text == "" {
		return Value{}
	}
	return Value{&text}
}

// Reveal is the secret itself, for whoever asks for it.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// IsZero says whether there is no secret.
func (v Value) IsZero() bool { return v.text == nil }

// Is says whether the secret is this text, in a time that tells nothing of it but its length.
func (v Value) Is(text string) bool {
	return subtle.ConstantTimeCompare([]byte(v.Reveal()), []byte(text)) == 1
}

// Hide is the text without the secret, for what comes from servers that may repeat what they were told.
func (v Value) Hide(text string) string {
	if v.IsZero() {
		return text
	}
	return strings.ReplaceAll(text, v.Reveal(), hidden)
}

// String is part of fmt.Stringer.
func (v Value) String() string {
	if v.IsZero() {
		return ""
	}
	return hidden
}

// GoString is part of fmt.GoStringer.
func (v Value) GoString() string { return v.String() }

// Format is part of fmt.Formatter, for every verb.
func (v Value) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(v.String())) }

// MarshalText is part of encoding.TextMarshaler, which JSON and TOML use.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// LogValue is part of slog.LogValuer.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }
