package glia

import "time"

// EvidenceClass says what kind of fault a piece of evidence speaks of. Only media, wear, filesystem,
// storage and presence speak about the disk itself: interface asks for a cable, thermal for cooling.
type EvidenceClass string

// The classes of evidence.
const (
	Media      EvidenceClass = "media"
	Interface  EvidenceClass = "interface"
	Wear       EvidenceClass = "wear"
	Thermal    EvidenceClass = "thermal"
	Filesystem EvidenceClass = "filesystem"
	Latency    EvidenceClass = "latency"
	Presence   EvidenceClass = "presence"
	Storage    EvidenceClass = "storage"
)

// Evidence is one observation of one disk by one source. A source that could not look says so with
// Unknown set, which never counts for or against the disk.
type Evidence struct {
	Class  EvidenceClass `json:"class"`
	Source string        `json:"source"` // what looked: read, write, filesystem, smart, kernel, inventory
	What   string        `json:"what"`   // the observed quantity, such as read.errors or nvme.critical_warning
	Value  float64       `json:"value"`
	Detail string        `json:"detail,omitempty"` // for people: "EIO at byte 1073741824"

	// Unknown says why the source could not observe: asleep, permission denied, timed out. Value is
	// then meaningless.
	Unknown string `json:"unknown,omitempty"`

	At time.Time `json:"at"`
}
