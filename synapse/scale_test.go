package synapse_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/internal/figures"
	"glia/registry/memory"
	"glia/synapse"
)

const (
	scaleHosts = 10_000
	scaleDisks = 36
	scaleBad   = 10 // each tenth host has a bad disk, a hundred times as many as a fleet has that is well
	scaleTries = 20
)

// scaleNerve tells of the disks of a host, of which one is failing where bad is set. Each answer has texts of its own, as those
// from a network.
type scaleNerve struct {
	host string
	bad  bool
}

func (n scaleNerve) ListDisks(context.Context, *connect.Request[gliav1.ListDisksRequest]) (*connect.Response[gliav1.ListDisksResponse], error) {
	return connect.NewResponse(&gliav1.ListDisksResponse{Host: n.host, Generation: 1, Disks: api.DiskStatusesToProto(n.disks())}), nil
}

func (n scaleNerve) disks() []glia.DiskStatus {
	now := time.Now()
	var out []glia.DiskStatus
	for d := range scaleDisks {
		device := fmt.Sprintf("sd%c%c", 'a'+d/26, 'a'+d%26)
		s := glia.DiskStatus{
			Disk: glia.Disk{
				Identity: glia.Identity{Serial: fmt.Sprintf("%s-%02d", n.host, d), WWN: fmt.Sprintf("0x5000c500%08x", d), Model: "ST16000NM001G", Firmware: "SN03", Size: 16e12, Class: glia.ClassHDD},
				Location: glia.Location{Host: n.host, Enclosure: "0:0:0:0", Slot: fmt.Sprint(d), ByPath: "pci-0000:3b:00.0-sas-phy" + fmt.Sprint(d) + "-lun-0", Device: device},
				Mounts:   []glia.Mount{{Source: device, Target: "/data/" + device, FSType: "xfs", Options: "rw,noatime", UUID: fmt.Sprint(d)}},
			},
			Verdict: glia.Verdict{State: glia.StateHealthy, ObservedAt: now, ExpiresAt: now.Add(time.Hour), RuleSet: "9f86d081884c7d65", Prober: "1.0", Kernel: "6.1.0-18-amd64"},
		}
		if d == 0 && n.bad {
			s.Verdict.State = glia.StateFailing
			s.Verdict.Reasons = []glia.Reason{{Rule: "media", Words: "the disk reports errors that it can not correct", Class: glia.Media, State: glia.StateFailing, Since: now}}
		}
		out = append(out, s)
	}
	return out
}

// BenchmarkFleet_TenThousandHosts has 10,000 hosts with 36 disks each in the registry. The view holds all hosts, and the detail of
// all disks of those that have a bad one. A change is measured from the registry until the view shows it, without the list of all
// hosts that is made for whoever asks for it, which is measured by itself. A resync is measured until a synapse that knew nothing
// shows all hosts.
func BenchmarkFleet_TenThousandHosts(b *testing.B) {
	r := new(memory.Registry)
	for i := range scaleHosts {
		n := scaleNerve{fmt.Sprintf("node-%05d", i), i%scaleBad == 0}
		a := glia.NewAnnouncement(n.host, n.host+":7411", n.disks())
		a.Generation = 1
		if err := r.Announce(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
	fleet := func(view func(glia.FleetView) bool) (*synapse.Fleet, <-chan struct{}, func()) {
		f := synapse.New(synapse.Options{Watcher: r, Resync: time.Hour, Nerves: func(a glia.Announcement) (synapse.HostClient, error) { return scaleNerve{a.Host, true}, nil }})
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan struct{})
		changes := f.Changes(ctx)
		go func() { _ = f.Run(ctx); close(done) }()
		for !view(f.View()) {
			<-changes
		}
		return f, changes, func() { cancel(); <-done }
	}
	var resync, change, whole []float64
	var memory float64
	for b.Loop() {
		before := used()
		began := time.Now()
		_, _, end := fleet(func(v glia.FleetView) bool { return len(v.Hosts) == scaleHosts })
		resync = append(resync, time.Since(began).Seconds())
		end()
		f, changes, end := fleet(func(v glia.FleetView) bool {
			detailed := 0
			for _, h := range v.Hosts {
				if len(h.Disks) == scaleDisks {
					detailed++
				}
			}
			return detailed == scaleHosts/scaleBad
		})
		memory = max(memory, (used()-before)/(1<<20))
		for i := range scaleTries {
			time.Sleep(250 * time.Millisecond) // so that the change does not wait because of the one before it
			host := fmt.Sprintf("node-%05d", i*(scaleHosts/scaleTries))
			at := time.Now()
			r.SetStatus(host, glia.MemberGone)
			for status(f, host) != glia.MemberGone {
				<-changes
			}
			change = append(change, time.Since(at).Seconds()*1000)
			at = time.Now()
			if v := f.View(); of(v, host).Member.Status != glia.MemberGone {
				b.Fatal("the whole view differs from what it says of a host")
			}
			whole = append(whole, time.Since(at).Seconds()*1000)
			r.SetStatus(host, glia.MemberAlive)
		}
		runtime.KeepAlive(f)
		end()
	}
	slices.Sort(resync)
	slices.Sort(change)
	slices.Sort(whole)
	b.ReportMetric(memory, "MB/view")
	b.ReportMetric(400, "MB/view"+figures.AtMost)
	b.ReportMetric(change[len(change)/2], "ms/change")
	b.ReportMetric(1, "ms/change"+figures.AtMost)
	b.ReportMetric(whole[len(whole)/2], "ms/whole-view")
	b.ReportMetric(resync[len(resync)/2], "s/resync")
	b.ReportMetric(1, "s/resync"+figures.AtMost)
	b.ReportMetric(0, "ns/op")
}

// status is what the newest view says of a host.
func status(f *synapse.Fleet, host string) glia.MemberStatus {
	h, _ := f.Host(host)
	return h.Member.Status
}

// used is how much memory is reachable, in bytes.
func used() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
