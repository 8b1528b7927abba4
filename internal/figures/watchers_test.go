package figures_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/config/secret"
	"glia/internal/daemon"
	"glia/internal/figures"
	"glia/internal/pki"
)

// keysIn is the certificate of everybody in one benchmark.
func keysIn(dir string) config.TLS {
	return config.TLS{Cert: filepath.Join(dir, "all.pem"), Key: secret.MustParse(filepath.Join(dir, "all.key")), CA: filepath.Join(dir, pki.CertFile)}
}

func newKeys(b *testing.B) (dir string, creds *daemon.TLS) {
	b.Helper()
	dir = b.TempDir()
	now := time.Now()
	ca, err := pki.Create(dir, "figures", now, now.Add(time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	all, err := ca.Issue(pki.Request{Name: "127.0.0.1", Until: now.Add(time.Hour)}, now)
	if err == nil {
		err = all.Save(filepath.Join(dir, "all.pem"), filepath.Join(dir, "all.key"))
	}
	if err != nil {
		b.Fatal(err)
	}
	c := keysIn(dir)
	if creds, err = daemon.LoadTLS(c.Cert, c.Key, c.CA, slog.New(slog.DiscardHandler)); err != nil {
		b.Fatal(err)
	}
	return dir, creds
}

// BenchmarkRepairer_1000Watchers lets a thousand clients, each with a connection of its own over mutual TLS, follow one case of
// a repairer that runs as a process. The memory is the most that the process ever had until all of them were told of some
// changes, with what it had before the first of them came, and the difference, which is what they take.
func BenchmarkRepairer_1000Watchers(b *testing.B) {
	const watchers, changes = 1000, 5
	keys, creds := newKeys(b)
	view := fleet(1, 1, time.Now())
	view.Hosts = view.Hosts[:1]
	mux := http.NewServeMux()
	mux.Handle(gliav1connect.NewFleetServiceHandler(synapse{view: api.FleetViewToProto(view), sent: make(chan struct{}, 1)}))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = daemon.Server{Handler: mux, TLS: creds.Server(), Log: slog.New(slog.DiscardHandler), Grace: time.Second}.Serve(ctx, ln)
	}()
	defer func() { cancel(); <-served }()

	var alone, peak, took, told float64
	for b.Loop() {
		database := filepath.Join(b.TempDir(), "glia.db") // another one each time: the case ends
		if err := fill(b.Context(), database, view); err != nil {
			b.Fatal(err)
		}
		p := start(b, database, "https://"+ln.Addr().String(), envKeys+"="+keys)
		p.url = "https" + p.url[len("http"):]
		one := daemon.HTTPClient(creds)
		c := gliav1connect.NewRepairServiceClient(one, p.url)
		id := awaitCase(b, c)
		before := p.memory(b, "VmRSS:")

		var all sync.WaitGroup
		first, second := make(chan struct{}, watchers), make(chan struct{}, watchers)
		watching, hangUp := context.WithCancel(b.Context())
		door := make(chan struct{}, 20) // so many come at a time
		for range watchers {
			door <- struct{}{}
			all.Go(func() {
				come := sync.OnceFunc(func() { <-door })
				defer come()
				mine := daemon.HTTPClient(creds)
				defer mine.CloseIdleConnections()
				stream, err := gliav1connect.NewRepairServiceClient(mine, p.url).WatchCase(watching, connect.NewRequest(&gliav1.WatchCaseRequest{Id: id}))
				if err != nil {
					b.Error(err)
					return
				}
				defer func() { _ = stream.Close() }()
				for n := 0; stream.Receive(); n++ {
					if n == 0 {
						come()
						first <- struct{}{}
					} else {
						second <- struct{}{}
					}
				}
				if err := stream.Err(); err != nil && watching.Err() == nil {
					b.Error(err)
				}
			})
		}
		await(b, first, watchers)
		at := time.Now()
		for range changes { // each wakes all of them, and changes nothing of the case
			if _, err := c.Pause(b.Context(), connect.NewRequest(&gliav1.PauseRequest{Scope: "host:elsewhere", Owner: "b", Reason: "b"})); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := c.Cancel(b.Context(), connect.NewRequest(&gliav1.CancelRequest{CaseId: id, Person: "b", Reason: "b"})); err != nil {
			b.Fatal(err)
		}
		await(b, second, watchers)
		told = max(told, float64(time.Since(at).Milliseconds()))
		most := p.memory(b, "VmHWM:")
		alone, peak, took = max(alone, before), max(peak, most), max(took, most-before)
		hangUp()
		all.Wait()
		one.CloseIdleConnections()
		p.stop(b)
	}
	b.ReportMetric(alone, "MB-without-watchers")
	b.ReportMetric(peak, "MB-with-watchers")
	b.ReportMetric(took, "MB-for-watchers")
	b.ReportMetric(100, "MB-for-watchers"+figures.AtMost)
	b.ReportMetric(told, "ms-until-all-are-told")
	b.ReportMetric(0, "ns/op")
}

// awaitCase waits until the repairer serves, and returns its only case.
func awaitCase(b *testing.B, c gliav1connect.RepairServiceClient) string {
	b.Helper()
	for range 3000 {
		r, err := c.ListCases(b.Context(), connect.NewRequest(&gliav1.ListCasesRequest{}))
		if err == nil && len(r.Msg.GetCases()) == 1 {
			return r.Msg.GetCases()[0].GetId()
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.Fatal("the repairer has not answered")
	return ""
}

func await(b *testing.B, c <-chan struct{}, n int) {
	b.Helper()
	limit := time.After(time.Minute)
	for range n {
		select {
		case <-c:
		case <-limit:
			b.Fatal("not all watchers were told within a minute")
		}
	}
}
