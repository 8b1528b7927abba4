package ceph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Command is one command for the monitors or managers, with the fields that `ceph --format json
// get_command_descriptions` lists; "prefix" is its name.
type Command map[string]any

// Weight is a CRUSH weight or a reweight. The monitors refuse a number without a decimal point, so it is
// always written with one, and with every digit that it has.
type Weight float64

// MarshalJSON writes the weight as the monitors want it.
func (w Weight) MarshalJSON() ([]byte, error) { return []byte(w.String()), nil }

func (w Weight) String() string {
	s := strconv.FormatFloat(float64(w), 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func parseWeight(s string) (Weight, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("weight %q: not a number", s)
	}
	return Weight(f), nil
}

// JSON is the command as it is sent; it asks for a JSON answer.
func (c Command) JSON() ([]byte, error) {
	out := make(map[string]any, len(c)+1)
	for k, v := range c {
		out[k] = v
	}
	out["format"] = "json"
	return json.Marshal(out)
}

// String is the command as a person types it.
func (c Command) String() string {
	words := []string{"ceph", fmt.Sprint(c["prefix"])}
	for _, k := range []string{"key", "pool", "id", "osd", "name", "ids", "weight", "class", "args", "flags", "who", "entity", "uuid"} {
		switch v := c[k].(type) {
		case nil:
		case []string:
			words = append(words, v...)
		default:
			words = append(words, fmt.Sprint(v))
		}
	}
	return strings.Join(words, " ")
}

// ErrSilent says that the cluster, or its manager, gave no answer.
var ErrSilent = errors.New("the cluster does not answer")

// Cluster is the way to the monitors and managers of one cluster. Each call ends by its context or by the
// cluster's own timeouts, whichever is first. An answer that says no is a *CommandError; no answer at all
// wraps ErrSilent. Implementations are safe for concurrent use.
type Cluster interface {
	// Mon sends a command to the monitors; input may be nil.
	Mon(ctx context.Context, c Command, input []byte) ([]byte, error)
	// Mgr sends a command to the active manager.
	Mgr(ctx context.Context, c Command) ([]byte, error)
}

// CommandError is the cluster's own answer that a command did not succeed.
type CommandError struct {
	Command string
	Errno   int // positive, as of errno(3)
	Status  string
}

func (e *CommandError) Error() string {
	if e.Status == "" {
		return fmt.Sprintf("%s: errno %d", e.Command, e.Errno)
	}
	return fmt.Sprintf("%s: %s (errno %d)", e.Command, strings.TrimSpace(e.Status), e.Errno)
}

// words writes OSD ids as commands on several OSDs want them.
func words(ids []int) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = strconv.Itoa(id)
	}
	return out
}

// name is the name of an OSD.
func name(id int) string { return "osd." + strconv.Itoa(id) }

// names are the names of OSDs, in words.
func names(ids []int) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = name(id)
	}
	return strings.Join(out, ", ")
}
