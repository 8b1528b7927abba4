package synapse

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/synapse/haproxy"
	"glia/synapse/service"
)

// BackendAPI serves what a synapse knows of services.
type BackendAPI struct {
	Host string
	Now  func() (*Services, *haproxy.Output) // what there is now; nil where it follows none and there is none
}

var _ gliav1connect.BackendServiceHandler = BackendAPI{}

// ListFollowed is part of the API.
func (a BackendAPI) ListFollowed(ctx context.Context, r *connect.Request[gliav1.ListFollowedRequest]) (*connect.Response[gliav1.ListFollowedResponse], error) {
	out := &gliav1.ListFollowedResponse{Host: a.Host}
	services, proxy := a.Now()
	if services == nil {
		return connect.NewResponse(out), nil
	}
	for _, f := range services.Followed() {
		if want := r.Msg.GetService(); want != "" && want != f.Name {
			continue
		}
		one := &gliav1.FollowedService{Name: f.Name, Reason: string(f.Why), FoundAt: api.TimeToProto(f.Found), Settings: f.Settings, SettingsProblem: f.SettingsProblem}
		for _, s := range f.Sources {
			t := &gliav1.FollowedSource{Name: s.Name, Problem: s.Problem}
			for _, b := range s.Backends {
				t.Backends = append(t.Backends, strings.TrimSpace(b.Name+" "+addressOf(b)))
			}
			one.Sources = append(one.Sources, t)
		}
		var seen haproxy.Seen
		proxied := false
		if proxy != nil {
			one.Bind = proxy.Bind(f.Name)
			if r.Msg.GetDetail() {
				seen, proxied = proxy.Look(ctx, f.Name)
				one.FileProblem = seen.Problem
			}
		}
		for _, b := range f.Backends {
			x := &gliav1.FollowedBackend{Name: b.Name, Address: addressOf(b), Draining: b.Draining}
			if proxied {
				x.Server = haproxy.ServerName(b)
				x.Line = seen.Lines[x.Server]
			}
			one.Backends = append(one.Backends, x)
		}
		for _, p := range seen.Processes {
			one.Processes = append(one.Processes, processToProto(p))
		}
		out.Services = append(out.Services, one)
	}
	if len(out.Services) == 0 && r.Msg.GetService() != "" {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("%s follows no service %s", a.Host, r.Msg.GetService()))
	}
	if err := services.Ready(); err != nil {
		out.Problem = err.Error()
	}
	return connect.NewResponse(out), nil
}

func processToProto(p haproxy.SeenProcess) *gliav1.ProxyProcess {
	out := &gliav1.ProxyProcess{Socket: p.Socket, Problem: p.Problem, Pid: int32(p.PID)} //nolint:gosec // a pid is less than 2^22
	for name, s := range p.Servers {
		out.Servers = append(out.Servers, &gliav1.ProxyServer{Server: name, Status: s.Status, Weight: int32(s.Weight), Check: s.Check}) //nolint:gosec // at most 256
	}
	slices.SortFunc(out.Servers, func(a, b *gliav1.ProxyServer) int { return strings.Compare(a.GetServer(), b.GetServer()) })
	return out
}

func addressOf(b service.Backend) string { return net.JoinHostPort(b.Host, strconv.Itoa(b.Port)) }
