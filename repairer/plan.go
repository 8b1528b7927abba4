package repairer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// Stage groups the steps that a storage driver contributes to a plan.
type Stage string

// The stages. Restore undoes drain and release when a case is cancelled.
const (
	StageDrain   Stage = "drain"
	StageRelease Stage = "release"
	StageRejoin  Stage = "rejoin"
	StageRestore Stage = "restore"
)

// The steps that belong to the repairer itself. The names of a driver's steps must differ from them.
const (
	StepConfirm = "confirm"
	StepTicket  = "ticket"
	StepInspect = "inspect"
	StepSettle  = "settle"
	StepClose   = "close"
)

// Order is the part of a hand order that the plan binds. Serial, place, epoch and key are added when
// it is sent.
type Order struct {
	Verb       gliav1.Verb `json:"verb"`
	New        bool        `json:"new,omitempty"` // acts on the replacement, not on the old disk
	Filesystem *Filesystem `json:"filesystem,omitempty"`
	MinSize    uint64      `json:"min_size,omitempty"`

	OSDs        []glia.OSD `json:"osds,omitempty"`         // as the old disk had them
	ClusterName string     `json:"cluster_name,omitempty"` // of the Ceph cluster's configuration on the host
}

// Filesystem is what an order unmounts, makes or mounts.
type Filesystem struct {
	Type    string `json:"type"`
	Label   string `json:"label,omitempty"`
	UUID    string `json:"uuid"`
	Target  string `json:"target"`
	Options string `json:"options,omitempty"`
}

// PlanStep is one act of a plan.
type PlanStep struct {
	Name       string   `json:"name"`
	Stage      Stage    `json:"stage"`
	Owner      string   `json:"owner"` // hand, storage, tracker, person, repairer
	Text       string   `json:"text"`
	Commands   []string `json:"commands,omitempty"`
	Reversible bool     `json:"reversible"`
	Order      *Order   `json:"order,omitempty"`
}

// Plan is the exact way in which a case will go, with everything that it binds.
type Plan struct {
	Driver    string     `json:"driver"`
	Mode      Mode       `json:"mode"`
	ModeWhy   string     `json:"mode_why,omitempty"` // what the mode comes from
	Disk      glia.Disk  `json:"disk"`
	Steps     []PlanStep `json:"steps"`
	Warnings  []string   `json:"warnings,omitempty"`
	Approvals int        `json:"approvals,omitempty"` // persons whom an approval of it takes; 0 counts as 1
	Obstacle  string     `json:"obstacle,omitempty"`  // why no repair is possible; empty otherwise
	Units     int        `json:"units,omitempty"`     // storage units that are out of use meanwhile; 0 counts as 1

	hash string // of a plan of which the rest was left out; see Case.brief
}

// Hash names the plan and all that it binds, 12 hex digits of a SHA-256. Kernel names are not bound,
// because they may change without any meaning, nor is the controller, whose firmware may; nor are the mode
// and the number of approvals, which say who may start the plan, not what it does.
func (p Plan) Hash() string {
	if p.hash != "" {
		return p.hash
	}
	p.Mode, p.ModeWhy, p.Approvals = "", "", 0
	p.Disk.Location.Device, p.Disk.Location.Controller = "", glia.Controller{}
	p.Disk.Mounts = append([]glia.Mount(nil), p.Disk.Mounts...)
	for i := range p.Disk.Mounts {
		p.Disk.Mounts[i].Source, p.Disk.Mounts[i].Options = "", ""
	}
	p.Disk.Partitions = append([]glia.Partition(nil), p.Disk.Partitions...)
	for i := range p.Disk.Partitions {
		p.Disk.Partitions[i].Name = ""
	}
	p.Disk.OSDs = unnamed(p.Disk.OSDs)
	p.Steps = slices.Clone(p.Steps)
	for i, s := range p.Steps {
		if s.Order != nil && s.Order.OSDs != nil {
			o := *s.Order
			o.OSDs = unnamed(o.OSDs)
			p.Steps[i].Order = &o
		}
	}
	b, err := json.Marshal(p)
	if err != nil {
		panic("a plan is plain data: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}

// unnamed are the OSDs without kernel names.
func unnamed(osds []glia.OSD) []glia.OSD {
	out := slices.Clone(osds)
	for i := range out {
		if out[i].Mode == glia.ModeRaw {
			out[i].Device = ""
		}
	}
	return out
}

// stage is the steps of one stage, in order.
func (p Plan) stage(stage Stage) []PlanStep {
	var out []PlanStep
	for _, s := range p.Steps {
		if s.Stage == stage {
			out = append(out, s)
		}
	}
	return out
}
