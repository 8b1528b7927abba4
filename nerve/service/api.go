package service

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"connectrpc.com/connect"

	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// API serves the services of a host.
type API struct {
	host     string
	services *Services
	book     *Book
	now      func() time.Time
	log      *slog.Logger
}

var _ gliav1connect.AnnouncerServiceHandler = (*API)(nil)

// NewAPI serves services with the book that they go by.
func NewAPI(host string, s *Services) *API {
	return &API{host: host, services: s, book: s.o.Book, now: s.o.Now, log: s.o.Log}
}

// ListServices is part of the API.
func (a *API) ListServices(context.Context, *connect.Request[gliav1.ListServicesRequest]) (*connect.Response[gliav1.ListServicesResponse], error) {
	out := &gliav1.ListServicesResponse{Host: a.host}
	for _, s := range a.services.Statuses() {
		one := &gliav1.AnnouncedService{
			Name: s.Name, Address: s.Address, Instance: s.Instance, State: string(s.State), Announced: string(s.Announced), Since: api.TimeToProto(s.Since),
			Reasons: s.Reasons, HeldBack: int64(s.HeldBack),
		}
		for _, c := range s.Checks {
			one.Checks = append(one.Checks, &gliav1.ServiceCheck{Name: c.Name, Up: c.Up, Problem: c.Problem})
		}
		for _, p := range s.Places {
			one.Places = append(one.Places, &gliav1.ServicePlace{Name: p.Name, Problem: p.Problem})
		}
		if s.Maintenance != nil {
			one.Maintenance = maintenanceToProto(*s.Maintenance)
		}
		out.Services = append(out.Services, one)
	}
	for _, m := range a.book.All(a.now()) {
		out.Maintenances = append(out.Maintenances, maintenanceToProto(m))
	}
	return connect.NewResponse(out), nil
}

// BeginMaintenance is part of the API.
func (a *API) BeginMaintenance(_ context.Context, r *connect.Request[gliav1.BeginMaintenanceRequest]) (*connect.Response[gliav1.BeginMaintenanceResponse], error) {
	m := r.Msg.GetMaintenance()
	if m.GetService() != "" && !a.known(m.GetService()) {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("%s has no service %s", a.host, m.GetService()))
	}
	one := Maintenance{
		Service: m.GetService(), Drain: m.GetDrain(), Person: m.GetPerson(), Reason: m.GetReason(), Since: a.now(), Until: api.TimeFromProto(m.GetUntil()),
	}
	if err := one.check(); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if err := a.book.Put(one); err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	a.log.Info("maintenance begins", "service", one.Service, "drain", one.Drain, "person", one.Person, "reason", one.Reason, "until", one.Until)
	return connect.NewResponse(&gliav1.BeginMaintenanceResponse{Maintenance: maintenanceToProto(one)}), nil
}

// EndMaintenance is part of the API.
func (a *API) EndMaintenance(_ context.Context, r *connect.Request[gliav1.EndMaintenanceRequest]) (*connect.Response[gliav1.EndMaintenanceResponse], error) {
	m, ok, err := a.book.End(r.Msg.GetService(), a.now())
	switch {
	case err != nil:
		return nil, connect.NewError(connect.CodeInternal, err)
	case !ok:
		return connect.NewResponse(&gliav1.EndMaintenanceResponse{}), nil
	}
	a.log.Info("maintenance ends", "service", m.Service, "person", r.Msg.GetPerson(), "reason", r.Msg.GetReason())
	return connect.NewResponse(&gliav1.EndMaintenanceResponse{Ended: maintenanceToProto(m)}), nil
}

func (a *API) known(service string) bool {
	for _, s := range a.services.Statuses() {
		if s.Name == service {
			return true
		}
	}
	return false
}

func maintenanceToProto(m Maintenance) *gliav1.Maintenance {
	return &gliav1.Maintenance{
		Service: m.Service, Drain: m.Drain, Person: m.Person, Reason: m.Reason, Since: api.TimeToProto(m.Since), Until: api.TimeToProto(m.Until),
	}
}
