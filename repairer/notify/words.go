package notify

import (
	"fmt"
	"strings"
)

// text is several notices in one message, one a line, and what was left out before them.
func text(notices []Notice, skipped int) string {
	lines := leftOut(skipped)
	for _, n := range notices {
		if n.Title == "" {
			lines = append(lines, n.Text)
		} else {
			lines = append(lines, n.Title+": "+n.Text)
		}
	}
	return strings.Join(lines, "\n")
}

// said is text where it is known which case is meant.
func said(notices []Notice, skipped int) string {
	lines := leftOut(skipped)
	for _, n := range notices {
		lines = append(lines, n.Text)
	}
	return strings.Join(lines, "\n")
}

func leftOut(skipped int) []string {
	if skipped == 0 {
		return nil
	}
	return []string{fmt.Sprintf("(%d older notices are left out; glia cases has everything)", skipped)}
}

// worst is the most severe notice, of several the first.
func worst(notices []Notice) Notice {
	w := notices[0]
	for _, n := range notices {
		if n.Severity > w.Severity {
			w = n
		}
	}
	return w
}

// title is the subject of a message.
func title(notices []Notice) string {
	w := worst(notices)
	out := "glia: " + w.Event
	if w.Title != "" {
		out += ": " + w.Title
	}
	if len(notices) > 1 {
		out += fmt.Sprintf(" (and %d more)", len(notices)-1)
	}
	return out
}
