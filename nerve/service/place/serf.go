package place

import (
	"context"

	"glia/nerve/service"
	"glia/registry/serf"
)

// Serf is the place of a service among the tags of a member: under its name, with the address as value. Weight, options, labels and
// instance have no place there, and neither has draining: one that drains is shown no more, and HAProxy lets its connections end.
func Serf(member serf.Services, name, address string) service.Place {
	return serfTag{member, serf.ServiceTag(name), address}
}

// serfTag is one tag.
type serfTag struct {
	member     serf.Services
	tag, value string
}

// Keep is part of service.Place.
func (p serfTag) Keep(ctx context.Context, state service.State, _ string) error {
	if state != service.Up {
		return p.Leave(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.member.PutService(ctx, p.tag, p.value)
}

// Leave is part of service.Place.
func (p serfTag) Leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.member.RemoveService(ctx, p.tag)
}
