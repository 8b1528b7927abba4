package cli

import (
	"context"
	"fmt"
	"time"

	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"

	"glia"
	"glia/nerve/history"
)

// nerveClient prepares the client of the nerve of a host, at the address that the host announces.
func (a *app) nerveClient(host, addr string) (gliav1connect.HostServiceClient, server, error) {
	s := server{name: "nerve of " + clean(host), flag: "--synapse", env: "GLIA_SYNAPSE", wait: a.conn.timeout}
	if addr == "" {
		return nil, s, fmt.Errorf("host %s announces no address of its nerve", clean(host))
	}
	h, err := a.httpClient(&s, addr, "")
	if err != nil {
		return nil, s, err
	}
	return gliav1connect.NewHostServiceClient(h, s.base), s, nil
}

// one finds the disk with a serial. A serial that two disks claim is no identity, so it is refused.
func (d disksDoc) one(serial string) (disk, error) {
	var found []disk
	for _, x := range d.Disks {
		if x.Disk.Serial() == serial {
			found = append(found, x)
		}
	}
	switch {
	case len(found) == 0 && len(d.Unanswered) > 0:
		return disk{}, fmt.Errorf("no host that answered has disk %s%s; %w", clean(serial), near(serial, d.Disks), d.incomplete())
	case len(found) == 0:
		return disk{}, fmt.Errorf("no host has disk %s%s", clean(serial), near(serial, d.Disks))
	case len(found) > 1:
		return disk{}, fmt.Errorf("%d disks say that they are %s", len(found), clean(serial))
	}
	return found[0], nil
}

// past asks the nerve of a host for the history of a disk.
func (a *app) past(ctx context.Context, d disksDoc, x disk, since time.Time) (past, error) {
	host := x.Disk.Location.Host
	c, s, err := a.nerveClient(host, d.addresses[host])
	if err != nil {
		return past{}, err
	}
	r, err := call(ctx, s, c.GetHistory, &gliav1.GetHistoryRequest{Serial: x.Disk.Serial(), Since: api.TimeToProto(since)})
	if err != nil {
		return past{}, err
	}
	var p past
	for _, m := range r.GetSeries() {
		out := history.Series{What: m.GetWhat(), Class: glia.EvidenceClass(m.GetClass())}
		for _, q := range m.GetPoints() {
			out.Points = append(out.Points, history.Point{At: api.TimeFromProto(q.GetAt()), Value: q.GetValue(), Unknown: q.GetUnknown()})
		}
		p.series = append(p.series, out)
	}
	for _, m := range r.GetAccepted() {
		p.accepted = append(p.accepted, acceptedFrom(m))
	}
	return p, nil
}

// past is what a nerve remembers of a disk.
type past struct {
	series   []history.Series
	accepted []acceptedDoc
}
