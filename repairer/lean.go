package repairer

import (
	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
)

// leanView translates a view that has arrived, and takes it apart meanwhile. What has not been read anew since
// the view before is taken from there. Words that many disks share are kept once: the detail of 100,000 disks is
// the largest thing in memory.
func leanView(m *gliav1.FleetView, before glia.FleetView) glia.FleetView {
	known := make(map[string]*glia.HostView, len(before.Hosts))
	for i := range before.Hosts {
		known[before.Hosts[i].Member.Announcement.Host] = &before.Hosts[i]
	}
	words := once{}
	v := glia.FleetView{At: api.TimeFromProto(m.GetAt()), Hosts: make([]glia.HostView, 0, len(m.GetHosts()))}
	for i, h := range m.GetHosts() {
		was := known[h.GetAnnouncement().GetHost()]
		at := api.TimeFromProto(h.GetFetchedAt())
		if was != nil && !at.IsZero() && at.Equal(was.FetchedAt) && len(was.Disks) == len(h.GetDisks()) {
			h.Disks = nil
		} else {
			was = nil
		}
		host := api.HostViewFromProto(h)
		if was != nil {
			host.Disks = was.Disks
		} else {
			for j := range host.Disks {
				words.disk(&host.Disks[j])
			}
		}
		v.Hosts = append(v.Hosts, host)
		m.Hosts[i] = nil
	}
	return v
}

// once holds each text that it was given.
type once map[string]string

func (o once) keep(texts ...*string) {
	for _, t := range texts {
		if same, has := o[*t]; has {
			*t = same
		} else {
			o[*t] = *t
		}
	}
}

// disk keeps what disks have in common.
func (o once) disk(s *glia.DiskStatus) {
	id, at, v := &s.Disk.Identity, &s.Disk.Location, &s.Verdict
	o.keep(&id.Model, &id.Firmware, (*string)(&id.Class), &at.Host, &at.Enclosure, &at.Slot, &at.Device)
	o.keep(&at.Controller.Address, &at.Controller.Driver, &at.Controller.Model, &at.Controller.Firmware, &v.RuleSet, &v.Prober, &v.Kernel)
	for i := range s.Disk.Mounts {
		m := &s.Disk.Mounts[i]
		o.keep(&m.FSType, &m.Options)
	}
	for i := range v.Reasons {
		r := &v.Reasons[i]
		o.keep(&r.Rule, (*string)(&r.Class), &r.Words)
	}
}
