package source

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"glia/synapse/service"
)

// Consul follows a service of Consul's catalog, by blocking queries.
type Consul struct {
	Client     *api.Client
	Service    string
	Datacenter string   // empty is that of the agent
	Tags       []string // all of them must be there
}

var _ Source = Consul{}

// consulWait is how long Consul holds a query back while nothing changes.
const consulWait = 30 * time.Second

// consulTimeout is when a query is given up, so that a connection whose other end is gone is noticed: Consul adds up to a sixteenth.
const consulTimeout = consulWait + consulWait/16 + 5*time.Second

// Run follows the service.
func (c Consul) Run(ctx context.Context, tell func(Observation)) {
	var index uint64
	for ctx.Err() == nil {
		once, cancel := context.WithTimeout(ctx, consulTimeout)
		q := (&api.QueryOptions{Datacenter: c.Datacenter, WaitIndex: index, WaitTime: consulWait}).WithContext(once)
		found, meta, err := c.Client.Health().ServiceMultipleTags(c.Service, c.Tags, true, q)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			index = 0
			tell(Observation{Err: fmt.Errorf("consul service %s: %w", c.Service, err)})
			select {
			case <-ctx.Done():
			case <-time.After(time.Second + rand.N(time.Second)):
			}
			continue
		case meta.LastIndex < index:
			index = 0 // Consul wants to be asked anew then; see its documentation of blocking queries
			continue
		}
		index = max(meta.LastIndex, 1) // with 0 it would not wait
		tell(fromConsul(found))
	}
}

// fromConsul reads the instances, in the order of their ids. The index at which an instance was registered elects its leader.
func fromConsul(found []*api.ServiceEntry) (o Observation) {
	for _, e := range found {
		b := service.Backend{Name: e.Service.ID, Host: e.Service.Address, Port: e.Service.Port, Labels: e.Service.Meta, Options: e.Service.Meta["haproxy_server_options"]}
		if b.Host == "" {
			b.Host = e.Node.Address
		}
		if b.Host == "" || b.Port < 1 || b.Port > 65535 {
			o.Skipped = append(o.Skipped, fmt.Sprintf("instance %s: host %q and port %d can not be connected to", b.Name, b.Host, b.Port))
			continue
		}
		b.Draining = b.Labels["draining"] == "true" // what nerve says of one that takes no new clients
		id := e.Service.CreateIndex
		b.ID = &id
		if w := e.Service.Weights.Passing; w > 1 { // 1 is what Consul says where nobody set a weight
			b.Weight = &w
		}
		o.Backends = append(o.Backends, b)
	}
	slices.SortFunc(o.Backends, func(a, b service.Backend) int { return strings.Compare(a.Name, b.Name) })
	return o
}
