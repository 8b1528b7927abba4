package serf

import (
	"log/slog"
	"regexp"
)

// logWriter passes Serf's own log on at debug level, whatever Serf thinks of it: a member that does
// not answer is news to Serf several times a second, and to us once, by its status.
type logWriter struct {
	log *slog.Logger
}

// A line reads "2026/01/02 15:04:05 [WARN] memberlist: text".
var logLine = regexp.MustCompile(`^(?:[\d/]+ [\d:.]+ )?(?:\[(\w+)\] )?([^\n]*)`)

func (w *logWriter) Write(line []byte) (int, error) {
	m := logLine.FindSubmatch(line)
	w.log.Debug("serf says", "severity", string(m[1]), "text", string(m[2]))
	return len(line), nil
}
