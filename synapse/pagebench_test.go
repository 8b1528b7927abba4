package synapse_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/internal/figures"
	"glia/registry/memory"
	"glia/synapse"
)

const (
	pageHosts = 2_778 // with 36 disks each: 100,000
	pageDisks = 1_000
	pageTries = 20
)

// anyNerve is the nerve of whichever host it is called as.
type anyNerve struct {
	gliav1connect.UnimplementedHostServiceHandler
}

const calledAs = "X-Called-As"

func (anyNerve) ListDisks(ctx context.Context, r *connect.Request[gliav1.ListDisksRequest]) (*connect.Response[gliav1.ListDisksResponse], error) {
	return scaleNerve{r.Header().Get(calledAs), false}.ListDisks(ctx, r)
}

// plainServer serves HTTP/2 without TLS, and returns its address.
func plainServer(b *testing.B, h http.Handler) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.Serve(ln) }()
	b.Cleanup(func() { _ = s.Close() })
	return ln.Addr().String()
}

// plainClient speaks HTTP/2 without TLS to the address, whichever is asked for; empty for the one that is.
func plainClient(addr string) *http.Client {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: p, DialContext: func(ctx context.Context, network, asked string) (net.Conn, error) {
		if addr != "" {
			asked = addr
		}
		return new(net.Dialer).DialContext(ctx, network, asked)
	}}}
}

// BenchmarkService_ListOf100000Disks asks a synapse for all disks of 2,778 hosts in pages of a thousand, over HTTP, as it asks the
// nerves of the hosts, of which there is one that answers for all, each over a connection of its own. The first page is measured
// while the synapse has no connection to any of them.
func BenchmarkService_ListOf100000Disks(b *testing.B) {
	mux := http.NewServeMux()
	mux.Handle(gliav1connect.NewHostServiceHandler(anyNerve{}))
	nerves := plainServer(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(r.Host, ":")
		r.Header.Set(calledAs, name)
		mux.ServeHTTP(w, r)
	}))
	r := new(memory.Registry)
	for i := range pageHosts {
		n := scaleNerve{fmt.Sprintf("node-%05d", i), false}
		a := glia.NewAnnouncement(n.host, n.host+":7411", n.disks())
		a.Generation = 1
		if err := r.Announce(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
	toNerves := plainClient(nerves)
	f := synapse.New(synapse.Options{Watcher: r, Resync: time.Hour, HTTP: toNerves})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	changes := f.Changes(ctx)
	go func() { _ = f.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	for len(f.View().Hosts) < pageHosts {
		<-changes
	}
	fleet := http.NewServeMux()
	fleet.Handle(gliav1connect.NewFleetServiceHandler(synapse.NewService(f)))
	c := gliav1connect.NewFleetServiceClient(plainClient(""), "http://"+plainServer(b, fleet))
	page := func(token string) (disks int, next string) {
		res, err := c.ListFleetDisks(b.Context(), connect.NewRequest(&gliav1.ListFleetDisksRequest{PageSize: pageDisks, PageToken: token}))
		if err != nil {
			b.Fatal(err)
		}
		for _, h := range res.Msg.GetHosts() {
			if h.GetProblem() != "" {
				b.Fatal(h.GetProblem())
			}
			disks += len(h.GetDisks())
		}
		return disks, res.Msg.GetNextPageToken()
	}
	var first, whole []float64
	for b.Loop() {
		for range pageTries {
			toNerves.CloseIdleConnections()
			at := time.Now()
			if n, next := page(""); n < pageDisks*9/10 || next == "" {
				b.Fatalf("the first page has %d disks", n)
			}
			first = append(first, time.Since(at).Seconds()*1000)
		}
		at, disks := time.Now(), 0
		for token := ""; ; {
			n, next := page(token)
			disks += n
			if token = next; token == "" {
				break
			}
		}
		if disks != pageHosts*scaleDisks {
			b.Fatalf("all pages have %d disks", disks)
		}
		whole = append(whole, time.Since(at).Seconds())
	}
	slices.Sort(first)
	slices.Sort(whole)
	b.ReportMetric(first[len(first)/2], "ms/first-page")
	b.ReportMetric(50, "ms/first-page"+figures.AtMost)
	b.ReportMetric(whole[len(whole)/2], "s/100000-disks")
	b.ReportMetric(0, "ns/op")
}
