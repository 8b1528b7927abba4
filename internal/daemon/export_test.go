package daemon

import (
	"fmt"
	"io"
	"strings"
)

// GiveBackPagesNow does it once.
var GiveBackPagesNow = giveBackPages

// CleanMappings are those of a file, in words.
func CleanMappings(smaps io.Reader, file string) string {
	all, err := cleanMappings(smaps, file)
	if err != nil {
		return "error"
	}
	var out []string
	for _, m := range all {
		out = append(out, fmt.Sprintf("%x-%x", m.from, m.to))
	}
	return strings.Join(out, " ")
}
