package serf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"glia"
)

// Services announces services of a host by tags of its member, as nerves of Smartstack for Serf do. Both methods are idempotent, and
// may be called again and again: what is shown already is not written.
type Services interface {
	// PutService shows the tag of ServiceTag with that value, a host:port. A tag for which there is no room is refused, and the error
	// tells the sizes: the digest of the disks comes first.
	PutService(ctx context.Context, tag, value string) error
	// RemoveService shows it no more.
	RemoveService(ctx context.Context, tag string) error
}

var (
	_ Services = (*Agent)(nil)
	_ Services = (*Remote)(nil)
)

const servicePrefix = "smart:"

// ServiceTag is the name of the tag that announces a service: its value is host:port. Readers of Smartstack take SERVICE and
// SERVICE_PORT for the service SERVICE.
func ServiceTag(service string) string { return servicePrefix + service }

// growth is how many bytes are left for a digest whose numbers and words become longer.
const growth = 32

// errNotYet says that the tags of the digest, which come first, are not known.
var errNotYet = errors.New("the host itself is not announced yet")

// fits says whether there is room for a tag beside the others and the digest without its list of bad disks, which is cut.
func fits(a *glia.Announcement, present map[string]string, tag, value string) error {
	if a == nil {
		return errNotYet
	}
	others := maps.Clone(present)
	delete(others, tag)
	least := *a
	least.Bad, least.More, least.Finding = nil, 0, ""
	taken := MaxTags
	if tags, err := EncodeDigest(least, others); err == nil {
		taken = Size(tags) + growth
	}
	left, before := max(0, MaxTags-taken), Size(others)
	others[tag] = value
	if takes := Size(others) - before; takes > left {
		return fmt.Errorf("no room for %s=%s: it takes %d bytes, and the tags of the disks and all others leave %d of the %d that Serf allows: announce fewer services in Serf, or by shorter names",
			tag, value, takes, left, MaxTags)
	}
	return nil
}

// PutService is part of Services.
func (a *Agent) PutService(ctx context.Context, tag, value string) error {
	return a.setService(ctx, tag, value, true)
}

// RemoveService is part of Services.
func (a *Agent) RemoveService(ctx context.Context, tag string) error {
	return a.setService(ctx, tag, "", false)
}

func (a *Agent) setService(ctx context.Context, tag, value string, show bool) error {
	select {
	case a.writing <- struct{}{}:
		defer func() { <-a.writing }()
	case <-ctx.Done():
		return fmt.Errorf("set tag %s: %w", tag, context.Cause(ctx))
	}
	if err := a.alive(); err != nil {
		return fmt.Errorf("set tag %s: %w", tag, err)
	}
	present := a.agent.Serf().LocalMember().Tags
	if was, shown := present[tag]; shown == show && was == value {
		return nil
	}
	want := maps.Clone(present)
	delete(want, tag)
	if show {
		if err := fits(a.announced.Load(), present, tag, value); err != nil {
			return err
		}
		want[tag] = value
		// What the digest took for its list of bad disks is the service's now.
		var err error
		if want, err = EncodeDigest(*a.announced.Load(), want); err != nil {
			return err
		}
	}
	if err := a.agent.SetTags(want); err != nil && !maps.Equal(a.agent.Serf().LocalMember().Tags, want) {
		return fmt.Errorf("set tag %s: %w", tag, err)
	}
	return nil
}

// claimWithin is how long tags of services from before a restart stay that nobody has claimed since.
const claimWithin = time.Minute

// ownServices are the tags of services that a Remote keeps.
type ownServices struct {
	want      map[string]string // to be shown
	gone      map[string]bool   // not to be shown any more
	unclaimed map[string]bool   // of want, from before a restart
	until     time.Time         // when those go that are unclaimed
}

// inherit takes over the services of a drop-in file: those of a life before, which may still run.
func inherit(dropIn string, claim time.Duration) ownServices {
	s := ownServices{want: map[string]string{}, gone: map[string]bool{}, unclaimed: map[string]bool{}, until: time.Now().Add(claim)}
	b, err := os.ReadFile(dropIn)
	var file struct {
		Tags map[string]string `json:"tags"`
	}
	if err != nil || json.Unmarshal(b, &file) != nil {
		return s // there is none, or it is written anew
	}
	for tag, value := range file.Tags {
		if strings.HasPrefix(tag, servicePrefix) {
			s.want[tag], s.unclaimed[tag] = value, true
		}
	}
	return s
}

// set notes what is to be with a tag, which is claimed with it.
func (s *ownServices) set(tag, value string, show bool) {
	delete(s.unclaimed, tag)
	delete(s.want, tag)
	delete(s.gone, tag)
	if show {
		s.want[tag] = value
	} else {
		s.gone[tag] = true
	}
}

// forget lets go what nobody has claimed in time.
func (s *ownServices) forget(now time.Time) {
	if now.Before(s.until) {
		return
	}
	for tag := range s.unclaimed {
		s.set(tag, "", false)
	}
}

// over lays them over the tags that are present.
func (s *ownServices) over(present map[string]string) map[string]string {
	out := maps.Clone(present)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, s.want)
	maps.DeleteFunc(out, func(tag, _ string) bool { return s.gone[tag] })
	return out
}

// PutService is part of Services.
func (r *Remote) PutService(ctx context.Context, tag, value string) error {
	return r.setService(ctx, tag, value, true)
}

// RemoveService is part of Services.
func (r *Remote) RemoveService(ctx context.Context, tag string) error {
	return r.setService(ctx, tag, "", false)
}

func (r *Remote) setService(ctx context.Context, tag, value string, show bool) error {
	r.mu.Lock()
	was, shown := r.settled[tag]
	bad := r.err
	r.mu.Unlock()
	if shown && was == (setting{value, show}) {
		return bad // the looks keep it so, or say why they can not
	}
	var refused error
	err := r.talk(ctx, func(c *rpcConn) error {
		r.unsettle(tag)
		a := r.want.Load()
		switch {
		case a == nil && show:
			refused = errNotYet
			return nil
		case a == nil:
			r.services.set(tag, value, show) // the announcement of the host takes it away
			return nil
		}
		present, err := r.present(ctx, c)
		if err != nil {
			return err
		}
		if show {
			if refused = fits(a, r.services.over(present), tag, value); refused != nil {
				return nil
			}
		}
		r.services.set(tag, value, show)
		_, err = r.apply(ctx, c, *a)
		return err
	})
	if err = errors.Join(err, refused); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settled[tag] = setting{value, show}
	return nil
}

// unsettle notes that nobody knows what is made of a tag: an attempt that fails, or whose answer is lost, may have changed it.
func (r *Remote) unsettle(tag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.settled, tag)
}

// setting is what was made of the tag of a service.
type setting struct {
	value string
	shown bool
}
