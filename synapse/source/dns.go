package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"glia/synapse/service"
)

// DNSServer is one name that is asked for. A port of 0 asks for SRV records, which tell ports and weights.
type DNSServer struct {
	Name string // of the backend
	Host string // a name, or an address that is taken as it is
	Port int
}

// DNS resolves names to backends: one for each address, sorted.
type DNS struct {
	Servers   []DNSServer
	Interval  time.Duration // 0 is 30 s
	Timeout   time.Duration // for one name; 0 is 5 s
	Resolvers []string      // name servers as host:port, asked in turn; empty are those of the host
}

var _ Source = DNS{}

// Run asks at each interval. A name that does not exist has no backends; when a name server does not answer for one of the names,
// nothing is known.
func (d DNS) Run(ctx context.Context, tell func(Observation)) {
	r := net.DefaultResolver
	if len(d.Resolvers) > 0 {
		var turn atomic.Uint64
		r = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, d.Resolvers[(turn.Add(1)-1)%uint64(len(d.Resolvers))])
		}}
	}
	poll(ctx, cmp.Or(d.Interval, 30*time.Second), tell, func(ctx context.Context) Observation {
		var o Observation
		for _, s := range d.Servers {
			found, err := d.resolve(ctx, r, s)
			if err != nil {
				return Observation{Err: fmt.Errorf("resolve %s: %w", s.Host, err)}
			}
			o.Backends = append(o.Backends, found...)
		}
		return o
	})
}

func (d DNS) resolve(ctx context.Context, r *net.Resolver, s DNSServer) (out []service.Backend, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.Timeout, 5*time.Second))
	defer cancel()
	if _, err := netip.ParseAddr(s.Host); err == nil {
		return []service.Backend{{Name: s.Name, Host: s.Host, Port: s.Port}}, nil
	}
	if s.Port != 0 {
		addrs, err := r.LookupHost(ctx, s.Host)
		slices.Sort(addrs)
		for _, a := range addrs {
			out = append(out, service.Backend{Name: s.Name, Host: a, Port: s.Port})
		}
		return out, known(err)
	}
	_, records, err := r.LookupSRV(ctx, "", "", s.Host)
	for _, rec := range records {
		addrs, aerr := r.LookupHost(ctx, rec.Target)
		if known(aerr) != nil {
			return nil, aerr
		}
		for _, a := range addrs {
			weight := int(rec.Weight)
			out = append(out, service.Backend{Name: strings.TrimSuffix(rec.Target, "."), Host: a, Port: int(rec.Port), Weight: &weight})
		}
	}
	slices.SortFunc(out, func(a, b service.Backend) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
	})
	return out, known(err)
}

// known is nil when the answer is that there is no such name.
func known(err error) error {
	if e := (*net.DNSError)(nil); errors.As(err, &e) && e.IsNotFound {
		return nil
	}
	return err
}
