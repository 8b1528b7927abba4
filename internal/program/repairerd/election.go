package repairerd

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"glia/config"
	"glia/internal/program"
	"glia/registry"
	"glia/registry/consul"
	"glia/registry/zookeeper"
	"glia/repairer"
)

// elected lets a registry elect the repairer.
type elected struct{ registry.Elector }

var _ repairer.Elector = elected{}

// Lead is part of repairer.Elector.
func (e elected) Lead(ctx context.Context, above uint64) (repairer.Term, error) {
	return e.Elector.Lead(ctx, above)
}

// elector is what the configuration says elects; nil is the database itself. waiting may be nil.
func elector(c config.Repairer, waiting func(string), log *slog.Logger) (repairer.Elector, error) {
	host, _ := os.Hostname() // for people
	holder := fmt.Sprintf("process %d on %s", os.Getpid(), host)
	switch c.Election.By {
	case config.ElectZooKeeper:
		o, err := program.ZooKeeperOptions(c.ZooKeeper, log)
		if err != nil {
			return nil, err
		}
		o.Waiting = waiting
		e, err := zookeeper.NewElector(o, c.Election.Name, holder)
		return elected{e}, err
	case config.ElectConsul:
		o, err := program.ConsulOptions(c.Consul, log)
		if err != nil {
			return nil, err
		}
		o.Waiting = waiting
		e, err := consul.NewElector(o, c.Election.Name, holder)
		return elected{e}, err
	}
	return nil, nil
}
