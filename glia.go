// Package glia holds the words that nerve, synapse, repairer and the command-line tool share: disks,
// evidence, verdicts, announcements and the fleet view. It does no I/O and reads no clock.
//
// Everything here is a plain value. Values are safe for concurrent reading; none may be changed after
// it was handed to another goroutine.
package glia

import "errors"

// Errors that cross package borders. Callers match them with errors.Is.
var (
	// ErrStaleEpoch is returned by the store and by every hand when a deposed repairer tries to act.
	ErrStaleEpoch = errors.New("epoch is older than the newest one seen")

	// ErrProtected is returned when an act names a disk that carries the running system.
	ErrProtected = errors.New("disk is protected")

	// ErrIdentityMismatch is returned when the disk found is not the disk that was ordered.
	ErrIdentityMismatch = errors.New("the disk found is not the disk ordered")

	// ErrNotBlank is returned when a disk carries any signature, holder or data.
	ErrNotBlank = errors.New("disk is not blank")

	// ErrUnreachable is returned when a host could not be asked. Nothing is known then, and waiting for
	// it is no failed attempt.
	ErrUnreachable = errors.New("host does not answer")

	// ErrNotFound is returned when a disk, case or ticket is not known.
	ErrNotFound = errors.New("not found")
)

// Version is the version of all programs, set by the linker. It is part of every verdict, so that
// verdicts of one faulty release can be told from the others.
var Version = "dev"
