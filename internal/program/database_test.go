package program_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/program/repairerd"
	"glia/internal/testbed"
	"glia/repairer/store/storetest"
)

// patience is how long a test waits for what must happen. A take-over takes up to 15 seconds, and a start on a busy machine a minute.
const patience = 3 * time.Minute

// one is a repairer of the test with its API.
type one struct {
	api   gliav1connect.RepairServiceClient
	entry gliav1connect.EntrypointServiceClient
	url   string
	stop  func()
}

func start(t *testing.T, database string, change ...func(*config.Repairer)) one {
	t.Helper()
	addr := testbed.Addr(t)
	c := config.DefaultRepairer()
	c.Database, c.API.Listen, c.Access.Loopback = database, addr, config.RoleDestroy
	c.Gates.StopFile = filepath.Join(t.TempDir(), "STOP")
	for _, f := range change {
		f(&c)
	}
	c.Resolve("")
	ctx, cancel := context.WithCancel(t.Context())
	ended, started := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		if err := repairerd.Run(ctx, c, func() { close(started) }, slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("repairer on %s: %v", addr, err)
		}
	}()
	stop := sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	select {
	case <-started:
	case <-ended:
		t.FailNow()
	}
	return one{gliav1connect.NewRepairServiceClient(http.DefaultClient, "http://"+addr), gliav1connect.NewEntrypointServiceClient(http.DefaultClient, "http://"+addr), "http://" + addr, stop}
}

// until asks for the status until the answer is as wanted.
func (o one) until(t *testing.T, words string, ok func(*gliav1.GetStatusResponse, error) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		r, err := o.api.GetStatus(ctx, connect.NewRequest(&gliav1.GetStatusRequest{}))
		var m *gliav1.GetStatusResponse
		if err == nil {
			m = r.Msg
		}
		if ok(m, err) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not %s within %s: %v, %v", words, patience, m, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// leads also notes the epoch.
func leads(epoch *uint64) func(*gliav1.GetStatusResponse, error) bool {
	return func(m *gliav1.GetStatusResponse, err error) bool { *epoch = m.GetEpoch(); return err == nil }
}

func standsBy(_ *gliav1.GetStatusResponse, err error) bool {
	var ce *connect.Error
	return errors.As(err, &ce) && strings.HasPrefix(ce.Message(), "this repairer stands by: ") && strings.Contains(ce.Message(), " leads under epoch ")
}

func TestRepairer_TwoOnOnePostgreSQL(t *testing.T) {
	t.Parallel()
	srv, err := storetest.StartPostgres(t.Context(), "fsync=off")
	if errors.Is(err, storetest.ErrNoServer) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	name, err := srv.NewDatabase(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	a := start(t, srv.URL(name))
	var first, last uint64
	a.until(t, "leading", leads(&first))
	b := start(t, srv.URL(name))
	b.until(t, "standing by", standsBy)

	// Somebody takes the lease away, as happens to one that was paused: it stands by, and one of them leads anew.
	if err := srv.Exec(t.Context(), name, `UPDATE lease SET epoch = epoch + 1, holder = 'test', expires = clock_timestamp() + interval '3 seconds'`); err != nil {
		t.Fatal(err)
	}
	a.until(t, "standing by", standsBy)
	a.stop()
	b.until(t, "leading", leads(&last))
	if last != first+2 {
		t.Errorf("epoch %d after %d and the one that was taken away", last, first)
	}
}
