// Package order is what the host of a machine in the lab and the machine's init say to each other, as JSON over
// HTTP. It has no version: both ends are built from one tree.
package order

// Where the machine's init listens, in the machine. The other two ports lead on to nerve's own, on loopback.
const (
	Address  = "10.0.2.15" // that QEMU's user network gives its first guest
	Port     = 80
	APIPort  = 7411
	SerfPort = 7373
)

// Ready is what init says on the console when it listens.
const Ready = "init: ready"

// Ended is what init says in front of the name of a program of the background that has ended.
const Ended = "init: ended: "

// The requests. The files take and give bodies as they are, with the path in the query.
const (
	RunPath  = "/run"  // a Command, answered by its Result when it has ended
	FilePath = "/file" // PUT writes a file, GET reads one
)

// Command is one program to run.
type Command struct {
	Argv   []string `json:"argv"`
	Detach bool     `json:"detach,omitempty"` // do not wait; what it prints goes to the console
}

// Result is how a program has ended.
type Result struct {
	Code   int    `json:"code"` // -1: by a signal
	Output string `json:"output,omitempty"`
	Error  string `json:"error,omitempty"` // why it could not be run
	PID    int    `json:"pid,omitempty"`
}
