package program_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/config"
	"glia/internal/testbed"
	"glia/repairer/store/storetest"
)

// electionLease is that of an election in tests. A repairer gives its database a quarter of it for an answer, and a busy machine takes a second.
const electionLease = 6 * time.Second

func TestRepairer_ElectedByARegistry(t *testing.T) {
	t.Parallel()
	srv, err := storetest.StartPostgres(t.Context(), "fsync=off")
	if errors.Is(err, storetest.ErrNoServer) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	zk, consul := testbed.ZooKeeper(t), testbed.Consul(t, "")
	for by, server := range map[config.Elect]*testbed.Server{config.ElectZooKeeper: zk, config.ElectConsul: consul} {
		t.Run(string(by), func(t *testing.T) {
			name, err := srv.NewDatabase(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			elect := func(c *config.Repairer) {
				c.Election.By = by
				c.ZooKeeper.Servers, c.ZooKeeper.SessionTimeout = []string{server.Addr}, config.Duration(electionLease)
				c.Consul.Address, c.Consul.TTL = server.Addr, config.Duration(electionLease)
			}
			a := start(t, srv.URL(name), elect)
			var first, second, third uint64
			a.until(t, "leading", leads(&first))
			b := start(t, srv.URL(name), elect)
			b.until(t, "standing by", waits)

			a.stop() // hands over at once
			b.until(t, "leading", leads(&second))
			if second <= first {
				t.Errorf("epoch %d follows %d", second, first)
			}

			// Without the registry nobody leads; with it somebody does again, under a higher epoch.
			server.Kill(t)
			b.until(t, "standing by", waits)
			server.Start(t)
			b.until(t, "leading", leads(&third))
			if third <= second {
				t.Errorf("epoch %d follows %d", third, second)
			}
			b.stop()
		})
	}
}

// waits is standsBy for whatever reason.
func waits(_ *gliav1.GetStatusResponse, err error) bool {
	var ce *connect.Error
	return errors.As(err, &ce) && strings.HasPrefix(ce.Message(), "this repairer stands by: ")
}
