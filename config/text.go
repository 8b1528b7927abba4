package config

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Duration is a time.Duration that is written as in Go: "60s", "10m", "1h30m".
type Duration time.Duration

// String writes whole minutes and hours without the parts that are zero.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes the duration as String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not %s", text, d.want())
	}
	*d = Duration(v)
	return nil
}

func (*Duration) want() string { return `a duration such as "60s"` }

// Level is the least severe level that is logged. It is a slog.Leveler.
type Level string

// The log levels.
const (
	LevelDebug Level = "debug"
	LevelInfo  Level = "info"
	LevelWarn  Level = "warn"
	LevelError Level = "error"
)

var levels = []Level{LevelDebug, LevelInfo, LevelWarn, LevelError}

// Level is the level in the terms of log/slog; info for the zero value.
func (l Level) Level() slog.Level {
	switch l {
	case LevelDebug:
		return slog.LevelDebug
	case LevelWarn:
		return slog.LevelWarn
	case LevelError:
		return slog.LevelError
	}
	return slog.LevelInfo
}

// UnmarshalText accepts the levels above and nothing else.
func (l *Level) UnmarshalText(text []byte) error { return choose(l, text, levels) }
func (*Level) want() string                      { return wantOneOf(levels) }

// Format is how log lines are written.
type Format string

// The log formats.
const (
	FormatText Format = "text"
	FormatJSON Format = "json"
)

var formats = []Format{FormatText, FormatJSON}

// UnmarshalText accepts the formats above and nothing else.
func (f *Format) UnmarshalText(text []byte) error { return choose(f, text, formats) }
func (*Format) want() string                      { return wantOneOf(formats) }

// Profile is one of Serf's sets of timeouts, by the kind of network between the members.
type Profile string

// The profiles of Serf.
const (
	ProfileLAN   Profile = "lan"
	ProfileWAN   Profile = "wan"
	ProfileLocal Profile = "local"
)

var profiles = []Profile{ProfileLAN, ProfileWAN, ProfileLocal}

// UnmarshalText accepts the profiles above and nothing else.
func (p *Profile) UnmarshalText(text []byte) error { return choose(p, text, profiles) }
func (*Profile) want() string                      { return wantOneOf(profiles) }

// Mode says how much a repairer may do by itself.
type Mode string

// The modes, from the most careful one.
const (
	ModeObserve Mode = "observe" // records what it would do
	ModePropose Mode = "propose" // waits for a person to approve the plan
	ModeAuto    Mode = "auto"
)

var modes = []Mode{ModeObserve, ModePropose, ModeAuto}

// UnmarshalText accepts the modes above and nothing else.
func (m *Mode) UnmarshalText(text []byte) error { return choose(m, text, modes) }
func (*Mode) want() string                      { return wantOneOf(modes) }

// Driver is the storage system that a pool's disks belong to.
type Driver string

// The drivers.
const (
	DriverFilesystem Driver = "filesystem" // for disks that are mounted one by one
	DriverCeph       Driver = "ceph"       // for disks that carry an OSD
)

var drivers = []Driver{DriverFilesystem, DriverCeph}

// UnmarshalText accepts the drivers above and nothing else.
func (d *Driver) UnmarshalText(text []byte) error { return choose(d, text, drivers) }
func (*Driver) want() string                      { return wantOneOf(drivers) }

// choose sets into to the one of allowed that text names.
func choose[T ~string](into *T, text []byte, allowed []T) error {
	for _, a := range allowed {
		if string(text) == string(a) {
			*into = a
			return nil
		}
	}
	msg := fmt.Sprintf("%q is not %s", text, wantOneOf(allowed))
	if near := nearest(string(text), words(allowed)); near != "" {
		msg += fmt.Sprintf("; did you mean %q?", near)
	}
	return errors.New(msg)
}

func wantOneOf[T ~string](allowed []T) string {
	if len(allowed) == 1 {
		return fmt.Sprintf("%q", allowed[0])
	}
	last := len(allowed) - 1
	return fmt.Sprintf(`one of "%s" or "%s"`, strings.Join(words(allowed[:last]), `", "`), allowed[last])
}

func words[T ~string](in []T) []string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = string(v)
	}
	return out
}
