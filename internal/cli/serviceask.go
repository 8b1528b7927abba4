package cli

import (
	"cmp"
	"context"
	"fmt"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// announcerClient prepares the client of the nerve of this host, or with a host of the one that announces itself in the fleet.
func (a *app) announcerClient(ctx context.Context, host string) (gliav1connect.AnnouncerServiceClient, server, error) {
	s := server{name: "nerve", flag: "--nerve", env: "GLIA_NERVE", wait: a.conn.timeout}
	addr := a.conn.nerve
	if host != "" {
		d, err := a.fleetDisks(ctx, host)
		if err != nil {
			return nil, s, err
		}
		if addr = d.addresses[host]; addr == "" {
			return nil, s, fmt.Errorf("no nerve of a host %s is known to the synapse", clean(host))
		}
		s.name = "nerve of " + clean(host)
	}
	h, err := a.httpClient(&s, addr, defaultNerve)
	if err != nil {
		return nil, s, err
	}
	return gliav1connect.NewAnnouncerServiceClient(h, s.base), s, nil
}

// announced asks a nerve for its services.
func (a *app) announced(ctx context.Context, host string) (*gliav1.ListServicesResponse, error) {
	c, s, err := a.announcerClient(ctx, host)
	if err != nil {
		return nil, err
	}
	return call(ctx, s, c.ListServices, &gliav1.ListServicesRequest{})
}

// followed asks the synapse for services; with an empty name for all.
func (a *app) followed(ctx context.Context, name string, detail bool) (*gliav1.ListFollowedResponse, error) {
	s := server{name: "synapse", flag: "--synapse", env: "GLIA_SYNAPSE", wait: a.conn.timeout}
	h, err := a.httpClient(&s, a.conn.synapse, defaultSynapse)
	if err != nil {
		return nil, err
	}
	return call(ctx, s, gliav1connect.NewBackendServiceClient(h, s.base).ListFollowed, &gliav1.ListFollowedRequest{Service: name, Detail: detail})
}

// namesNerve says whether somebody said which nerve is meant; else it may well be that there is none.
func (a *app) namesNerve() bool { return cmp.Or(a.conn.nerve, a.env("GLIA_NERVE")) != "" }

// namesSynapse is namesNerve for the synapse.
func (a *app) namesSynapse() bool { return cmp.Or(a.conn.synapse, a.env("GLIA_SYNAPSE")) != "" }
