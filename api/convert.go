// Package api translates between the words of package glia and the protobuf messages of glia.v1.
// Every translation loses nothing: a value that went out and came back is equal to itself, but for
// the monotonic reading of its times.
package api

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// TimeToProto translates a time; the zero time is an absent message.
func TimeToProto(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// TimeFromProto translates a time to UTC; an absent message is the zero time.
func TimeFromProto(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func each[A, B any](in []A, f func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

// StateToProto translates a state. The numbers of both are the same by contract; a state that this
// version does not know becomes unknown.
func StateToProto(s glia.State) gliav1.State {
	if _, ok := gliav1.State_name[int32(s)]; !ok {
		return gliav1.State_STATE_UNKNOWN
	}
	return gliav1.State(s)
}

// StateFromProto translates a state; one that this version does not know becomes unknown.
func StateFromProto(s gliav1.State) glia.State {
	if _, ok := gliav1.State_name[int32(s)]; !ok {
		return glia.StateUnknown
	}
	return glia.State(s)
}

// DiskToProto translates a disk.
func DiskToProto(d glia.Disk) *gliav1.Disk {
	id, loc := d.Identity, d.Location
	return &gliav1.Disk{
		Identity: &gliav1.Identity{Serial: id.Serial, Wwn: id.WWN, Model: id.Model, Firmware: id.Firmware, Size: id.Size, Class: string(id.Class)},
		Location: &gliav1.Location{Host: loc.Host, Enclosure: loc.Enclosure, Slot: loc.Slot, ByPath: loc.ByPath, Device: loc.Device, Controller: controllerToProto(loc.Controller)},
		Partitions: each(d.Partitions, func(p glia.Partition) *gliav1.Partition {
			return &gliav1.Partition{Name: p.Name, Number: int32(p.Number), Start: p.Start, Size: p.Size}
		}),
		Holders: each(d.Holders, func(h glia.Holder) *gliav1.Holder {
			return &gliav1.Holder{Name: h.Name, Kind: h.Kind, On: h.On}
		}),
		Mounts:    each(d.Mounts, mountToProto),
		Swap:      d.Swap,
		Osds:      each(d.OSDs, OSDToProto),
		Protected: d.Protected,
	}
}

// DiskFromProto translates a disk; an absent message is the zero disk.
func DiskFromProto(d *gliav1.Disk) glia.Disk {
	id, loc := d.GetIdentity(), d.GetLocation()
	return glia.Disk{
		Identity: glia.Identity{Serial: id.GetSerial(), WWN: id.GetWwn(), Model: id.GetModel(), Firmware: id.GetFirmware(), Size: id.GetSize(), Class: glia.Class(id.GetClass())},
		Location: glia.Location{Host: loc.GetHost(), Enclosure: loc.GetEnclosure(), Slot: loc.GetSlot(), ByPath: loc.GetByPath(), Device: loc.GetDevice(), Controller: controllerFromProto(loc.GetController())},
		Partitions: each(d.GetPartitions(), func(p *gliav1.Partition) glia.Partition {
			return glia.Partition{Name: p.GetName(), Number: int(p.GetNumber()), Start: p.GetStart(), Size: p.GetSize()}
		}),
		Holders: each(d.GetHolders(), func(h *gliav1.Holder) glia.Holder {
			return glia.Holder{Name: h.GetName(), Kind: h.GetKind(), On: h.GetOn()}
		}),
		Mounts:    each(d.GetMounts(), mountFromProto),
		Swap:      d.GetSwap(),
		OSDs:      each(d.GetOsds(), OSDFromProto),
		Protected: d.GetProtected(),
	}
}

// OSDToProto translates what a disk is to an OSD.
func OSDToProto(o glia.OSD) *gliav1.Osd {
	return &gliav1.Osd{
		Id: int32(o.ID), Uuid: o.UUID, Cluster: o.Cluster, Role: string(o.Role), Mode: string(o.Mode), Device: o.Device, Class: o.Class,
		Encrypted: o.Encrypted, Db: o.DB, DbSerial: o.DBSerial, Wal: o.WAL, WalSerial: o.WALSerial, Unknown: o.Unknown,
		Partition: uint32(o.Partition), Size: o.Size, Block: o.Block, BlockSerial: o.BlockSerial,
	}
}

// OSDFromProto translates what a disk is to an OSD; an absent message is the zero value.
func OSDFromProto(o *gliav1.Osd) glia.OSD {
	return glia.OSD{
		ID: int(o.GetId()), UUID: o.GetUuid(), Cluster: o.GetCluster(), Role: glia.OSDRole(o.GetRole()), Mode: glia.OSDMode(o.GetMode()), Device: o.GetDevice(), Class: o.GetClass(),
		Encrypted: o.GetEncrypted(), DB: o.GetDb(), DBSerial: o.GetDbSerial(), WAL: o.GetWal(), WALSerial: o.GetWalSerial(), Unknown: o.GetUnknown(),
		Partition: int(o.GetPartition()), Size: o.GetSize(), Block: o.GetBlock(), BlockSerial: o.GetBlockSerial(),
	}
}

func controllerToProto(c glia.Controller) *gliav1.Controller {
	if c == (glia.Controller{}) {
		return nil
	}
	return &gliav1.Controller{Address: c.Address, Driver: c.Driver, Model: c.Model, Firmware: c.Firmware}
}

func controllerFromProto(c *gliav1.Controller) glia.Controller {
	return glia.Controller{Address: c.GetAddress(), Driver: c.GetDriver(), Model: c.GetModel(), Firmware: c.GetFirmware()}
}

func mountToProto(m glia.Mount) *gliav1.Mount {
	return &gliav1.Mount{Source: m.Source, Target: m.Target, FsType: m.FSType, Options: m.Options, Label: m.Label, Uuid: m.UUID}
}

func mountFromProto(m *gliav1.Mount) glia.Mount {
	return glia.Mount{Source: m.GetSource(), Target: m.GetTarget(), FSType: m.GetFsType(), Options: m.GetOptions(), Label: m.GetLabel(), UUID: m.GetUuid()}
}

// EvidenceToProto translates one piece of evidence.
func EvidenceToProto(e glia.Evidence) *gliav1.Evidence {
	return &gliav1.Evidence{Class: string(e.Class), Source: e.Source, What: e.What, Value: e.Value, Detail: e.Detail, Unknown: e.Unknown, At: TimeToProto(e.At)}
}

// EvidenceFromProto translates one piece of evidence.
func EvidenceFromProto(e *gliav1.Evidence) glia.Evidence {
	return glia.Evidence{Class: glia.EvidenceClass(e.GetClass()), Source: e.GetSource(), What: e.GetWhat(), Value: e.GetValue(), Detail: e.GetDetail(), Unknown: e.GetUnknown(), At: TimeFromProto(e.GetAt())}
}

// VerdictToProto translates a verdict.
func VerdictToProto(v glia.Verdict) *gliav1.Verdict {
	return &gliav1.Verdict{
		State: StateToProto(v.State),
		Reasons: each(v.Reasons, func(r glia.Reason) *gliav1.Reason {
			return &gliav1.Reason{Rule: r.Rule, Class: string(r.Class), State: StateToProto(r.State), Words: r.Words, Evidence: EvidenceToProto(r.Evidence), Since: TimeToProto(r.Since)}
		}),
		Why: v.Why, ObservedAt: TimeToProto(v.ObservedAt), ExpiresAt: TimeToProto(v.ExpiresAt), RuleSet: v.RuleSet, Prober: v.Prober, Kernel: v.Kernel,
	}
}

// VerdictFromProto translates a verdict; an absent message is an unknown verdict.
func VerdictFromProto(v *gliav1.Verdict) glia.Verdict {
	return glia.Verdict{
		State: StateFromProto(v.GetState()),
		Reasons: each(v.GetReasons(), func(r *gliav1.Reason) glia.Reason {
			return glia.Reason{Rule: r.GetRule(), Class: glia.EvidenceClass(r.GetClass()), State: StateFromProto(r.GetState()), Words: r.GetWords(), Evidence: EvidenceFromProto(r.GetEvidence()), Since: TimeFromProto(r.GetSince())}
		}),
		Why: v.GetWhy(), ObservedAt: TimeFromProto(v.GetObservedAt()), ExpiresAt: TimeFromProto(v.GetExpiresAt()), RuleSet: v.GetRuleSet(), Prober: v.GetProber(), Kernel: v.GetKernel(),
	}
}

// DiskStatusToProto translates a disk with its verdict and evidence.
func DiskStatusToProto(d glia.DiskStatus) *gliav1.DiskStatus {
	return &gliav1.DiskStatus{Disk: DiskToProto(d.Disk), Verdict: VerdictToProto(d.Verdict), Evidence: each(d.Evidence, EvidenceToProto)}
}

// DiskStatusFromProto translates a disk with its verdict and evidence.
func DiskStatusFromProto(d *gliav1.DiskStatus) glia.DiskStatus {
	return glia.DiskStatus{Disk: DiskFromProto(d.GetDisk()), Verdict: VerdictFromProto(d.GetVerdict()), Evidence: each(d.GetEvidence(), EvidenceFromProto)}
}

// DiskStatusesToProto translates a list of disks.
func DiskStatusesToProto(d []glia.DiskStatus) []*gliav1.DiskStatus { return each(d, DiskStatusToProto) }

// DiskStatusesFromProto translates a list of disks.
func DiskStatusesFromProto(d []*gliav1.DiskStatus) []glia.DiskStatus {
	return each(d, DiskStatusFromProto)
}

// AnnouncementToProto translates an announcement.
func AnnouncementToProto(a glia.Announcement) *gliav1.Announcement {
	return &gliav1.Announcement{
		Host: a.Host, Generation: a.Generation, Api: a.API, Fingerprint: a.Fingerprint, DiskCount: int32(a.DiskCount), Worst: StateToProto(a.Worst), More: int32(a.More), Finding: a.Finding,
		Bad: each(a.Bad, func(b glia.BadDisk) *gliav1.BadDisk {
			return &gliav1.BadDisk{Device: b.Device, State: StateToProto(b.State)}
		}),
	}
}

// AnnouncementFromProto translates an announcement.
func AnnouncementFromProto(a *gliav1.Announcement) glia.Announcement {
	return glia.Announcement{
		Host: a.GetHost(), Generation: a.GetGeneration(), API: a.GetApi(), Fingerprint: a.GetFingerprint(), DiskCount: int(a.GetDiskCount()), Worst: StateFromProto(a.GetWorst()), More: int(a.GetMore()), Finding: a.GetFinding(),
		Bad: each(a.GetBad(), func(b *gliav1.BadDisk) glia.BadDisk {
			return glia.BadDisk{Device: b.GetDevice(), State: StateFromProto(b.GetState())}
		}),
	}
}

// HostViewToProto translates the view of one host.
func HostViewToProto(h glia.HostView) *gliav1.HostView {
	return &gliav1.HostView{
		Announcement: AnnouncementToProto(h.Member.Announcement), Status: string(h.Member.Status), MemberProblem: h.Member.Problem,
		Disks: each(h.Disks, DiskStatusToProto), FetchedAt: TimeToProto(h.FetchedAt), Problem: h.Problem,
	}
}

// HostViewFromProto translates the view of one host.
func HostViewFromProto(h *gliav1.HostView) glia.HostView {
	return glia.HostView{
		Member: glia.Member{Announcement: AnnouncementFromProto(h.GetAnnouncement()), Status: glia.MemberStatus(h.GetStatus()), Problem: h.GetMemberProblem()},
		Disks:  each(h.GetDisks(), DiskStatusFromProto), FetchedAt: TimeFromProto(h.GetFetchedAt()), Problem: h.GetProblem(),
	}
}

// FleetViewToProto translates a fleet view.
func FleetViewToProto(v glia.FleetView) *gliav1.FleetView {
	return &gliav1.FleetView{At: TimeToProto(v.At), Hosts: each(v.Hosts, HostViewToProto)}
}

// FleetViewFromProto translates a fleet view.
func FleetViewFromProto(v *gliav1.FleetView) glia.FleetView {
	return glia.FleetView{At: TimeFromProto(v.GetAt()), Hosts: each(v.GetHosts(), HostViewFromProto)}
}
