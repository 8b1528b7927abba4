package repairer

import (
	"errors"
	"io/fs"
	"os"
)

// StopFile says why a stop file stops everything; empty when it does not. A file that can not be
// looked for stops as one that is there. An empty path is no stop file.
func StopFile(path string) string {
	if path == "" {
		return ""
	}
	switch _, err := os.Lstat(path); {
	case err == nil:
		return path + " exists"
	case errors.Is(err, fs.ErrNotExist):
		return ""
	default:
		return "whether it exists can not be told: " + err.Error()
	}
}

func gateStop(_ Case, f Facts) *Refusal {
	if f.Stop == "" {
		return nil
	}
	return &Refusal{Gate: GateStop, Value: f.Stop, Limit: "no stop file", Until: "somebody removes it"}
}
