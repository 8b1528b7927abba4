package source

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
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
	Settings   string   // key of the key-value store with settings of the service; empty for none
}

var _ Source = Consul{}

// consulWait is how long Consul holds a query back while nothing changes.
const consulWait = 30 * time.Second

// consulTimeout is when a query is given up, so that a connection whose other end is gone is noticed: Consul adds up to a sixteenth.
const consulTimeout = consulWait + consulWait/16 + 5*time.Second

// Run follows the service.
func (c Consul) Run(ctx context.Context, tell func(Observation)) {
	if c.Settings == "" {
		c.instances(ctx, tell)
		return
	}
	var mu sync.Mutex
	var now Observation
	listed, read := false, false
	update := func(change func()) {
		mu.Lock()
		defer mu.Unlock()
		if change(); listed && read {
			tell(now)
		}
	}
	var settings sync.WaitGroup
	defer settings.Wait()
	settings.Go(func() {
		c.settings(ctx, func(s Settings) { update(func() { now.Settings, read = s, true }) })
	})
	c.instances(ctx, func(o Observation) {
		update(func() { o.Settings = now.Settings; now, listed = o, true })
	})
}

// instances tells the instances.
func (c Consul) instances(ctx context.Context, tell func(Observation)) {
	query(ctx, c.Datacenter, func(q *api.QueryOptions) (uint64, error) {
		found, meta, err := c.Client.Health().ServiceMultipleTags(c.Service, c.Tags, true, q)
		if err != nil {
			return 0, err
		}
		if meta.LastIndex >= q.WaitIndex {
			tell(fromConsul(found))
		}
		return meta.LastIndex, nil
	}, func(err error) { tell(Observation{Err: fmt.Errorf("consul service %s: %w", c.Service, err)}) })
}

// settings tells what is in the key-value store.
func (c Consul) settings(ctx context.Context, tell func(Settings)) {
	query(ctx, c.Datacenter, func(q *api.QueryOptions) (uint64, error) {
		pair, meta, err := c.Client.KV().Get(c.Settings, q)
		if err != nil {
			return 0, err
		}
		switch {
		case meta.LastIndex < q.WaitIndex:
		case pair == nil:
			tell(Settings{})
		default:
			tell(Settings{Document: string(pair.Value)})
		}
		return meta.LastIndex, nil
	}, func(err error) { tell(Settings{Problem: fmt.Sprintf("consul key %s: %v", c.Settings, err)}) })
}

// query asks again and again, each time until something has changed since the index of the last answer. An answer with a lower one is not
// to be used: Consul wants to be asked anew then; see its documentation of blocking queries.
func query(ctx context.Context, datacenter string, ask func(*api.QueryOptions) (index uint64, err error), failed func(error)) {
	var index uint64
	for ctx.Err() == nil {
		once, cancel := context.WithTimeout(ctx, consulTimeout)
		q := (&api.QueryOptions{Datacenter: datacenter, WaitIndex: index, WaitTime: consulWait}).WithContext(once)
		last, err := ask(q)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			index = 0
			failed(err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second + rand.N(time.Second)):
			}
		case last < index:
			index = 0
		default:
			index = max(last, 1) // with 0 it would not wait
		}
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
