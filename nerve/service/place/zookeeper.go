package place

import (
	"context"

	"glia/nerve/service"
	"glia/registry/smartstack"
	"glia/registry/zookeeper"
)

// Node is how a service is announced in ZooKeeper.
type Node struct {
	Folder   string // such as /nerve/services/web/services; made if missing
	Numbered bool   // the node is sequential, and named after the instance with an underscore
	Encode   bool   // put the announcement into the name, so that readers need not ask for each node
	Announce smartstack.Service
}

func (n Node) node(draining bool) (zookeeper.Node, error) {
	a := n.Announce
	a.Draining = draining
	data, err := smartstack.Encode(a)
	out := zookeeper.Node{Folder: n.Folder, Name: a.Name, Data: data, Numbered: n.Numbered}
	if n.Numbered {
		out.Name = smartstack.NodeName(a.Name, data, n.Encode)
	}
	return out, err
}

// ZooKeeper is the place of a service among the nodes of a session, under a key that no other service has.
func ZooKeeper(nodes *zookeeper.Nodes, key string, n Node) (service.Place, error) {
	up, err := n.node(false)
	if err != nil {
		return nil, err
	}
	draining, err := n.node(true)
	return &zooKeeper{nodes: nodes, key: key, up: up, draining: draining}, err
}

// zooKeeper tells the nodes what has changed. They put right by themselves whatever happens to what they were told.
type zooKeeper struct {
	nodes        *zookeeper.Nodes
	key          string
	up, draining zookeeper.Node
	told         service.State // empty when the last time failed
}

// Keep is part of service.Place.
func (p *zooKeeper) Keep(ctx context.Context, state service.State, _ string) error {
	if p.told == state {
		return p.nodes.Problem(p.key)
	}
	limit := patience
	if p.nodes.Problem(p.key) != nil {
		limit = impatience
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p.told = ""
	var err error
	switch state {
	case service.Up:
		err = p.nodes.Put(ctx, p.key, p.up)
	case service.Draining:
		err = p.nodes.Put(ctx, p.key, p.draining)
	default:
		err = p.nodes.Remove(ctx, p.key)
	}
	if err == nil {
		p.told = state
	}
	return err
}

// Leave is part of service.Place.
func (p *zooKeeper) Leave(ctx context.Context) error {
	p.told = ""
	return p.nodes.Remove(ctx, p.key)
}
