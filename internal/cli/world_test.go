package cli_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	gliav1 "glia/api/glia/v1"
)

// world is what the fake servers know. The mutex guards everything; changed is closed and replaced
// whenever anything changes.
type world struct {
	mu       sync.Mutex
	changed  chan struct{}
	status   *gliav1.GetStatusResponse
	hosts    []*gliav1.HostView
	cases    map[string]*gliav1.Case
	events   map[string][]*gliav1.Event
	tickets  []*gliav1.Ticket
	pauses   []*gliav1.PauseEntry
	hook     *gliav1.Hook
	entry    *gliav1.GetEntrypointResponse
	queue    *gliav1.ListQueueResponse
	watchers int
	asked    string
	api      string // where the nerves are

	services     []*gliav1.AnnouncedService // of node-1
	maintenances []*gliav1.Maintenance
	web          *gliav1.FollowedService
	fellows      *gliav1.FollowedService // synapses that that of node-1 follows; nil for none
	accepted     bool                    // a value of a disk
}

func (w *world) update(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

// until waits for a condition, which is evaluated under the mutex.
func (w *world) until(ctx context.Context, cond func() bool) error {
	for {
		w.mu.Lock()
		ok, changed := cond(), w.changed
		w.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// at is a time relative to now.
func at(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(d)) }

const (
	healthy = gliav1.State_STATE_HEALTHY
	suspect = gliav1.State_STATE_SUSPECT
	failing = gliav1.State_STATE_FAILING
)

func status(host, slot, device, serial, model, class string, size uint64, s gliav1.State) *gliav1.DiskStatus {
	return &gliav1.DiskStatus{
		Disk: &gliav1.Disk{
			Identity: &gliav1.Identity{Serial: serial, Model: model, Firmware: "F1", Size: size, Class: class},
			Location: &gliav1.Location{Host: host, Enclosure: "enc0", Slot: slot, Device: device},
		},
		Verdict: &gliav1.Verdict{State: s, ObservedAt: at(-12 * time.Second), ExpiresAt: at(time.Minute), RuleSet: "r1", Prober: "0.1"},
	}
}

func newWorld() *world {
	bad := status("node-2", "3", "sdk", "WD-F00D", "WDC WUH721818ALE6L4", "hdd", 18000207937536, failing)
	bad.Disk.Identity.Wwn = "0x5000cca2b0d1e2f3"
	bad.Disk.Location.ByPath = "pci-0000:03:00.0-sas-phy3-lun-0"
	bad.Disk.Partitions = []*gliav1.Partition{{Name: "sdk1", Number: 1, Start: 1 << 20, Size: 18000206888960}}
	bad.Disk.Holders = []*gliav1.Holder{{Name: "dm-3", Kind: "crypt", On: "sdk1"}}
	bad.Disk.Mounts = []*gliav1.Mount{{Source: "dm-3", Target: "/data/3", FsType: "xfs", Options: "rw,noatime", Label: "data3", Uuid: "u-3"}}
	eio := &gliav1.Evidence{Class: "media", Source: "read", What: "read.errors", Value: 3, Detail: "EIO at byte 1073741824", At: at(-12 * time.Second)}
	bad.Evidence = []*gliav1.Evidence{eio, {Class: "media", Source: "smart", What: "smart.health", Unknown: "permission denied", At: at(-5 * time.Minute)}}
	bad.Verdict.Reasons = []*gliav1.Reason{{Rule: "read-errors", Class: "media", State: failing, Words: "sectors cannot be read", Evidence: eio, Since: at(-20 * time.Minute)}}

	stale := status("node-2", "4", "sdl", "WD-0LD", "WDC WUH721818ALE6L4", "hdd", 18000207937536, healthy)
	stale.Verdict.ObservedAt, stale.Verdict.ExpiresAt = at(-3*time.Hour), at(-2*time.Hour)
	boot := status("node-1", "", "nvme0n1", "S3EV", "SAMSUNG\x1b[31m PM983", "nvme", 3840755982336, healthy)
	boot.Disk.Location.Enclosure, boot.Disk.Location.ByPath = "", "pci-0000:01:00.0-nvme-1"
	boot.Disk.Protected, boot.Disk.Swap = "it carries /", []string{"nvme0n1p3"}

	w := &world{services: newServices(), web: newFollowed(), changed: make(chan struct{}), cases: map[string]*gliav1.Case{}, events: map[string][]*gliav1.Event{}}
	w.hosts = []*gliav1.HostView{
		view("node-2", bad, stale),
		view("node-1", boot, status("node-1", "1", "sda", "ZL2-1", "ST16000NM001G", "hdd", 16000900661248, suspect)),
	}
	plan := &gliav1.Plan{
		Hash: "c0ffee123456", Driver: "filesystem", Mode: "propose", Disk: bad.Disk,
		Steps: []*gliav1.PlanStep{
			{Name: "drain", Owner: "hand", Text: "move the data away", Commands: []string{"nodetool decommission"}, Reversible: true},
			{Name: "unmount", Owner: "hand", Text: "unmount /data/3", Commands: []string{"umount /data/3"}, Reversible: true},
			{Name: "format", Owner: "hand", Text: "make a filesystem on the new disk", Commands: []string{"mkfs.xfs -L data3 NEW"}},
		},
		Warnings: []string{"no drain hook is configured for node-2"},
	}
	w.cases["C-7"] = &gliav1.Case{
		Id: "C-7", Phase: "awaiting approval", Mode: "propose", Serial: "WD-F00D", Host: "node-2", Place: "enc0 slot 3",
		WaitingFor: "approval of plan c0ffee123456", Disk: bad.Disk, Verdict: proto.CloneOf(bad.Verdict), Plan: plan, OpenedAt: at(-20 * time.Minute), UpdatedAt: at(-18 * time.Minute),
		Refusals: []*gliav1.Refusal{{Gate: "approval", Value: "nobody approved", Limit: "one person", Until: "glia approve C-7 --hash c0ffee123456"}},
	}
	w.cases["C-7"].Verdict.ObservedAt, w.cases["C-7"].Verdict.ExpiresAt = at(-18*time.Minute), at(-17*time.Minute)
	w.cases["C-3"] = &gliav1.Case{
		Id: "C-3", Phase: "closed", Mode: "auto", Serial: "WD-DEAD", Host: "node-1", Place: "enc0 slot 1", Replacement: "ZL2-1",
		Ticket: "T-1", OpenedAt: at(-72 * time.Hour), UpdatedAt: at(-70 * time.Hour), ClosedAt: at(-70 * time.Hour),
	}
	w.event("C-7", "opened", "-", "WD-F00D is failing: sectors cannot be read")
	w.event("C-7", "begun", "drain", "drain: begun")
	w.event("C-7", "done", "drain", "drain: done")
	w.tickets = []*gliav1.Ticket{{
		Id: "T-2", CaseId: "C-7", Title: "Replace disk WD-F00D in enc0 slot 3 of node-2", Body: "SAFE TO PULL.\n\nSerial:  WD-F00D\n", Status: "open", CreatedAt: at(-10 * time.Minute), UpdatedAt: at(-10 * time.Minute),
		Comments: []*gliav1.TicketComment{{At: at(-9 * time.Minute), Author: "glia", Text: "the slot blinks"}},
	}, {Id: "T-1", CaseId: "C-3", Title: "Replace disk WD-DEAD", Status: "closed", Resolution: "done", CreatedAt: at(-72 * time.Hour)}}
	w.queue = newQueue()
	w.entry = &gliav1.GetEntrypointResponse{
		Leading: gliav1.Leading_LEADING_SOMEBODY, Holder: "process 7 on repair-1", Epoch: 3, Since: at(-26 * time.Hour), ElectedBy: "zookeeper",
		Needs: []*gliav1.Need{{Name: "database"}, {Name: "election (zookeeper)"}, {Name: "serf (of the synapse)"}},
	}
	w.status = &gliav1.GetStatusResponse{
		Mode: "propose", Epoch: 3, ViewAt: at(-4 * time.Second),
		Hosts: []*gliav1.HostSummary{
			{Host: "node-1", Status: "alive", Worst: healthy, DiskCount: 2},
			{Host: "node-2", Status: "alive", Worst: failing, DiskCount: 2, Bad: []string{"WD-F00D:failing"}},
			{Host: "node-0", Status: "left", DiskCount: 2},
		},
		Budgets: []*gliav1.Budget{{Scope: "fleet", Used: 1, Limit: 2}, {Scope: "domain:rack-7", Limit: 1}, {Scope: "host:node-2", Used: 1, Limit: 1}},
		Breaker: &gliav1.Breaker{}, Storm: "normal",
	}
	return w
}

func view(host string, disks ...*gliav1.DiskStatus) *gliav1.HostView {
	return &gliav1.HostView{Announcement: &gliav1.Announcement{Host: host}, Status: "alive", Disks: disks}
}

// scene changes the data to what one script is about.
func (w *world) scene(name string) {
	switch name {
	case "empty":
		w.cases, w.tickets, w.hosts, w.status.Hosts = map[string]*gliav1.Case{}, nil, nil, nil
		w.queue = &gliav1.ListQueueResponse{}
	case "dead":
		w.queue = newQueue()
	case "aside":
		w.web.Settings, w.web.SettingsProblem = "haproxy.listen", "settings of web: haproxy.port: no registry may set it"
	case "unwatched":
		w.web.Sources[0].Backends = nil
	case "unanswered":
		w.web.Sources[0].Problem = "no session with any of its servers"
	case "filtered":
		w.web.Backends, w.web.Reason = nil, "nothing was discovered"
	case "unrendered":
		w.web.Backends[0].Line = ""
	case "down":
		w.web.Processes[0].Servers[0].Status, w.web.Processes[0].Servers[0].Check = "DOWN", "L4CON Connection refused"
	case "served":
		w.services, w.maintenances, w.web = newServices(), nil, newFollowed()
	case "accepted": // on node-1, where node-2 does not answer
		w.accepted, w.hosts[1].Announcement.Api, w.hosts[0].Announcement.Api = true, w.api, "127.0.0.1:1"
	case "fellows": // one at the same address, and one where nobody listens
		w.fellows = &gliav1.FollowedService{Name: "synapse", Backends: []*gliav1.FollowedBackend{{Name: "node-1", Address: w.api}, {Name: "node-9", Address: "127.0.0.1:1"}}}
	case "drained":
		w.fellows.Backends = w.fellows.Backends[:1]
		w.web.Backends[0].Draining, w.web.Processes[0].Servers[0].Weight = true, 0
	case "nerves":
		for _, h := range w.hosts {
			h.Announcement.Api = w.api
		}
	case "gone":
		w.hosts = append(w.hosts, &gliav1.HostView{Announcement: &gliav1.Announcement{Host: "node-3"}, Status: "gone", Problem: "no answer for 4m"})
		w.status.Hosts = append(w.status.Hosts, &gliav1.HostSummary{Host: "node-3", Status: "gone", DiskCount: 2, Problem: "no answer for 4m"})
	case "no quorum":
		w.entry.Needs[1].Problem = "no session with any of its servers"
	case "leaderless":
		w.entry.Leading, w.entry.Why = gliav1.Leading_LEADING_NOBODY, "the last one has died"
	case "cut":
		w.status.Hosts[1].Bad, w.status.Hosts[1].More, w.status.Hosts[1].Problem = []string{"sdk:failing", "sdq:suspect"}, 7, "its nerve does not answer"
	case "stale":
		w.status.ViewAt = at(-121 * time.Second)
	case "blind":
		w.status.ViewAt, w.status.ViewProblem = nil, "the synapse does not answer"
	case "alarm":
		w.cases["C-7"].Alarm = "WD-F00D was ordered, but ZL2-9 was pulled"
	case "told": // as the repairer does: the alarm of the case is a finding, too
		w.status.Findings = append(w.status.Findings, "C-7: "+w.cases["C-7"].Alarm)
	case "finding":
		w.status.Findings = []string{"5 disks of node-2 fail together: suspect its controller"}
	case "two": // persons; one has approved
		c := w.cases["C-7"]
		c.Plan.Approvals, c.Plan.ModeWhy, c.ApprovalsMissing = 2, "rule ata-pending", 1
		c.Approvals = []*gliav1.Approval{{Person: "bob", Identity: "user bob", At: at(-5 * time.Minute)}}
		w.hook = &gliav1.Hook{Command: []string{"/usr/local/sbin/veto", "--strict"}, Input: `{"hash":"c0ffee123456"}`}
	case "tripped":
		w.status.Breaker = &gliav1.Breaker{Tripped: true, Why: "21 cases started within 24h0m0s, the limit is 20", Since: at(-time.Hour)}
	case "storm":
		w.status.Storm, w.status.Findings = "storm", []string{"storm: 40 of 42 hosts are gone or can not be read: suspect power or the network"}
		for i := range 40 {
			w.status.Hosts = append(w.status.Hosts, &gliav1.HostSummary{Host: fmt.Sprintf("rack-7-%02d", i), Status: "gone", DiskCount: 36})
		}
	case "paused":
		w.pauses = []*gliav1.PauseEntry{{Id: "P-1", Scope: "host:node-2", Owner: "bob", Reason: "firmware update", Since: at(-time.Hour), Until: at(time.Hour)}}
	case "twins":
		w.hosts[1].Disks = append(w.hosts[1].Disks, proto.CloneOf(w.hosts[0].Disks[0]))
		w.hosts[1].Disks[2].Disk.Location.Host = "node-1"
	default:
		panic(fmt.Sprintf("no scene %q", name))
	}
}

// sortedCases are the cases, newest first.
func (w *world) sortedCases(all bool) []*gliav1.Case {
	var out []*gliav1.Case
	for _, c := range w.cases {
		if all || c.ClosedAt == nil {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *gliav1.Case) int { return b.OpenedAt.AsTime().Compare(a.OpenedAt.AsTime()) })
	return out
}
