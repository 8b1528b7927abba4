package glia

import (
	"cmp"
	"slices"
	"time"
)

// Announcement is what a nerve publishes about its host. It is state, not an event: whoever reads the
// newest one knows all that older ones said.
type Announcement struct {
	Host        string    `json:"host"`
	Generation  uint64    `json:"generation"`            // grows by one with each change of what is announced
	API         string    `json:"api"`                   // host:port of the nerve's API
	Fingerprint string    `json:"fingerprint,omitempty"` // SHA-256 of its API certificate, hex; empty without TLS
	DiskCount   int       `json:"disk_count"`
	Worst       State     `json:"worst"` // the most pressing state of any disk
	Bad         []BadDisk `json:"bad,omitempty"`
	More        int       `json:"more,omitempty"`    // bad disks beside those in Bad, which the registry had no room to name
	Finding     string    `json:"finding,omitempty"` // a fault of the host that its disks are unknown for, in one line
}

// BadDisk is one entry of the digest: enough to know where to look, not enough to act on.
type BadDisk struct {
	Device string `json:"device"` // kernel name, or the serial of a disk that has none any more
	State  State  `json:"state"`
}

// NewAnnouncement digests the disks of one host. Disks are listed worst first, then by kernel name.
// The host's own state is the worst of its disks; healthy needs every disk to be healthy, and a host
// with no disk at all, or with one that nobody looked at yet, is unknown unless another one is bad.
func NewAnnouncement(host, api string, disks []DiskStatus) Announcement {
	a := Announcement{Host: host, API: api, DiskCount: len(disks)}
	unknown := len(disks) == 0
	for _, d := range disks {
		s := d.Verdict.State
		unknown = unknown || s == StateUnknown
		a.Worst = max(a.Worst, s)
		if s.Bad() {
			name := d.Disk.Location.Device
			if name == "" {
				name = d.Disk.Serial()
			}
			a.Bad = append(a.Bad, BadDisk{Device: name, State: s})
		}
	}
	if unknown && !a.Worst.Bad() {
		a.Worst = StateUnknown
	}
	slices.SortFunc(a.Bad, func(x, y BadDisk) int {
		return cmp.Or(cmp.Compare(y.State, x.State), cmp.Compare(x.Device, y.Device))
	})
	return a
}

// SameDigest says whether two announcements tell the same, whatever their generation.
func (a Announcement) SameDigest(b Announcement) bool {
	return a.Host == b.Host && a.API == b.API && a.Fingerprint == b.Fingerprint &&
		a.DiskCount == b.DiskCount && a.Worst == b.Worst && a.More == b.More && a.Finding == b.Finding && slices.Equal(a.Bad, b.Bad)
}

// MemberStatus is what the registry knows about the announcer itself.
type MemberStatus string

// The member statuses. Left means that it said goodbye; Gone that it stopped answering.
const (
	MemberAlive MemberStatus = "alive"
	MemberLeft  MemberStatus = "left"
	MemberGone  MemberStatus = "gone"
)

// Member is one announcer as a registry shows it.
type Member struct {
	Announcement Announcement `json:"announcement"`
	Status       MemberStatus `json:"status"`
	Problem      string       `json:"problem,omitempty"` // what could not be read in its announcement
}

// HostView is what a synapse knows of one host.
type HostView struct {
	Member    Member       `json:"member"`
	Disks     []DiskStatus `json:"disks,omitempty"`   // detail, without Evidence; only of hosts whose digest says something is wrong
	FetchedAt time.Time    `json:"fetched_at"`        // when Disks was read from the nerve; zero if never
	Problem   string       `json:"problem,omitempty"` // why the detail could not be read
}

// FleetView is the whole state that one synapse sees.
type FleetView struct {
	At    time.Time  `json:"at"`    // when the registry last confirmed it
	Hosts []HostView `json:"hosts"` // sorted by host name
}
