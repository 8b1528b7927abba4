package cli_test

import (
	"context"
	"errors"
	"slices"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// announcerService is the nerve of node-1, with the services web and db.
type announcerService struct {
	gliav1connect.UnimplementedAnnouncerServiceHandler
	*world
}

func newServices() []*gliav1.AnnouncedService {
	place := []*gliav1.ServicePlace{{Name: "zookeeper zk-1:2181/web"}}
	return []*gliav1.AnnouncedService{
		{Name: "db", Address: "10.0.0.1:3306", Instance: "node-1", State: "down", Announced: "down", Since: at(0), Reasons: []string{"mysql 10.0.0.1:3306: its lag is not known"},
			Checks: []*gliav1.ServiceCheck{{Name: "mysql 10.0.0.1:3306", Problem: "its lag is not known"}}, Places: []*gliav1.ServicePlace{{Name: "consul db"}}},
		{Name: "web_80", Address: "10.0.0.1:80", Instance: "node-1", State: "up", Announced: "up", Since: at(0),
			Checks: []*gliav1.ServiceCheck{{Name: "http 10.0.0.1:80/", Up: true}}, Places: place},
	}
}

func (s announcerService) ListServices(context.Context, *connect.Request[gliav1.ListServicesRequest]) (*connect.Response[gliav1.ListServicesResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return connect.NewResponse(&gliav1.ListServicesResponse{Host: "node-1", Services: s.services, Maintenances: s.maintenances}), nil
}

func (s announcerService) BeginMaintenance(_ context.Context, r *connect.Request[gliav1.BeginMaintenanceRequest]) (*connect.Response[gliav1.BeginMaintenanceResponse], error) {
	m := r.Msg.GetMaintenance()
	if m.GetUntil().AsTime().Sub(now).Hours() > 720 {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("a maintenance of 721h0m0s is too long: want 720h0m0s at most"))
	}
	m.Since = at(0)
	s.update(func() {
		s.maintenances = append(s.maintenances, m)
		s.ask("maintenance of %q drain %v by %s: %s", m.GetService(), m.GetDrain(), m.GetPerson(), m.GetReason())
		for _, x := range s.services {
			if m.GetService() == "" || x.GetName() == m.GetService() {
				if x.Maintenance, x.Announced = m, "down"; m.GetDrain() {
					x.Announced = "draining"
				}
			}
		}
	})
	return connect.NewResponse(&gliav1.BeginMaintenanceResponse{Maintenance: m}), nil
}

func (s announcerService) EndMaintenance(_ context.Context, r *connect.Request[gliav1.EndMaintenanceRequest]) (*connect.Response[gliav1.EndMaintenanceResponse], error) {
	out := &gliav1.EndMaintenanceResponse{}
	s.update(func() {
		i := slices.IndexFunc(s.maintenances, func(m *gliav1.Maintenance) bool { return m.GetService() == r.Msg.GetService() })
		if i >= 0 {
			out.Ended = s.maintenances[i]
			s.maintenances = slices.Delete(s.maintenances, i, i+1)
		}
	})
	return connect.NewResponse(out), nil
}

// backendService is the synapse of node-1, which follows web.
type backendService struct {
	gliav1connect.UnimplementedBackendServiceHandler
	*world
}

func newFollowed() *gliav1.FollowedService {
	const server = "node-1_10.0.0.1:80"
	return &gliav1.FollowedService{
		Name: "web", Bind: "localhost:3210", Reason: "discovered",
		Sources:   []*gliav1.FollowedSource{{Name: "zookeeper /web", Backends: []string{"node-1 10.0.0.1:80"}}},
		Backends:  []*gliav1.FollowedBackend{{Name: "node-1", Address: "10.0.0.1:80", Server: server, Line: "server " + server + " 10.0.0.1:80 id 1 check"}},
		Processes: []*gliav1.ProxyProcess{{Socket: "/run/haproxy.sock", Pid: 7, Servers: []*gliav1.ProxyServer{{Server: server, Status: "UP", Weight: 1, Check: "L4OK"}}}},
	}
}

func (s backendService) ListFollowed(_ context.Context, r *connect.Request[gliav1.ListFollowedRequest]) (*connect.Response[gliav1.ListFollowedResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, all := r.Msg.GetService(), []*gliav1.FollowedService{s.web}
	switch {
	case n != "" && n != "web":
		return nil, connect.NewError(connect.CodeNotFound, errors.New("node-1 follows no service "+n))
	case n == "" && s.fellows != nil:
		all = append(all, s.fellows)
	}
	return answer(&gliav1.ListFollowedResponse{Host: "node-1", Services: all}), nil
}
