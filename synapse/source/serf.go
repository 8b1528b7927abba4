package source

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/serf/client"

	"glia/synapse/service"
)

// Serf follows a service by the tags of Serf's members, as nerves of Smartstack for Serf write them: smart:SERVICE or smart:SERVICE_PORT with
// the value host:port, and smart:serverweight. It asks an agent at each event and at each interval, as an event can be lost.
type Serf struct {
	Agent    string // host:port of its RPC
	AuthKey  string // that it wants; empty for none
	Service  string
	Interval time.Duration
}

var _ Source = Serf{}

// serfTimeout bounds one question.
const serfTimeout = 10 * time.Second

// Run follows the service.
func (s Serf) Run(ctx context.Context, tell func(Observation)) {
	for ctx.Err() == nil {
		err := s.follow(ctx, tell)
		if ctx.Err() != nil {
			return
		}
		tell(Observation{Err: fmt.Errorf("serf agent %s: %w", s.Agent, err)})
		select {
		case <-ctx.Done():
		case <-time.After(time.Second + rand.N(time.Second)):
		}
	}
}

// follow tells over one connection, until that ends.
func (s Serf) follow(ctx context.Context, tell func(Observation)) error {
	c, err := client.ClientFromConfig(&client.Config{Addr: s.Agent, AuthKey: s.AuthKey, Timeout: serfTimeout})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	events := make(chan map[string]any, 64) // what does not fit is dropped, and made good by the next look
	if _, err := c.Stream("member-join,member-leave,member-failed,member-update,member-reap", events); err != nil {
		return err
	}
	tick := time.NewTicker(s.Interval)
	defer tick.Stop()
	for {
		members, err := c.Members()
		if err != nil {
			return err
		}
		tell(FromMembers(members, s.Service))
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-events:
			if !ok {
				return fmt.Errorf("it has ended the connection")
			}
		case <-tick.C:
		}
		for len(events) > 0 { // one look is enough for all of them
			<-events
		}
	}
}

// weightTag is the tag of the member's weight.
const weightTag = "smart:serverweight"

// FromMembers reads the backends of a service out of the members that are alive, in the order of their names and addresses.
func FromMembers(members []client.Member, name string) (o Observation) {
	tag := regexp.MustCompile(`^smart:` + regexp.QuoteMeta(name) + `(|_[0-9]+)$`)
	for _, m := range members {
		if m.Status != "alive" {
			continue
		}
		for key, value := range m.Tags {
			if !tag.MatchString(key) || key == weightTag {
				continue
			}
			host, digits, err := net.SplitHostPort(value)
			if i := strings.LastIndexByte(value, ':'); err != nil && i > 0 { // an address of IPv6 without brackets, as old nerves write it
				host, digits, err = value[:i], value[i+1:], nil
			}
			port, perr := strconv.ParseUint(digits, 10, 16)
			if err != nil || perr != nil || port == 0 || host == "" || strings.ContainsAny(host, " \t\r\n") {
				o.Skipped = append(o.Skipped, fmt.Sprintf("member %s: tag %s is %q, and not host:port", m.Name, key, value))
				continue
			}
			b := service.Backend{Name: m.Name, Host: host, Port: int(port)}
			if w, err := strconv.ParseUint(m.Tags[weightTag], 10, 16); err == nil {
				n := int(w)
				b.Weight = &n
			}
			o.Backends = append(o.Backends, b)
		}
	}
	slices.Sort(o.Skipped)
	slices.SortFunc(o.Backends, func(a, b service.Backend) int {
		return strings.Compare(fmt.Sprintf("%s\x00%s\x00%05d", a.Name, a.Host, a.Port), fmt.Sprintf("%s\x00%s\x00%05d", b.Name, b.Host, b.Port))
	})
	return o
}
