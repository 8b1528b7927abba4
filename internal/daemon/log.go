package daemon

import (
	"io"
	"log/slog"

	"glia/config"
)

// NewLogger writes log lines to w. The level may be a *slog.LevelVar, to be changed while running; a
// config.Level is one that stays. A format that is not json is text.
func NewLogger(w io.Writer, level slog.Leveler, format config.Format) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == config.FormatJSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
