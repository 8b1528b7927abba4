package ticket

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// Mark is what a key leaves in ticket systems that know no keys: 12 hex digits, because keys may hold anything.
func Mark(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:6])
}

// Sign is the text, cut to most characters in all, with the mark of the key in its last line.
func Sign(text, key string, most int) string {
	tail := "\n\n(glia " + Mark(key) + ")"
	return Cut(text, most-len(tail)) + tail
}

// signed is the last line that Sign writes.
var signed = regexp.MustCompile(`\n+\(glia ([0-9a-f]{12})\)\s*$`)

// Unsign is a text without its last line, and the mark that was in it; empty when there is none.
func Unsign(text string) (rest, mark string) {
	text = Normal(text)
	m := signed.FindStringSubmatchIndex(text)
	if m == nil {
		return text, ""
	}
	return text[:m[0]], text[m[2]:m[3]]
}

// Cut shortens text to most characters.
func Cut(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// Line is text for a field of one line with most characters.
func Line(text string, most int) string { return Cut(strings.Join(strings.Fields(text), " "), most) }

// Normal undoes what ticket systems do to the ends of lines.
func Normal(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }
