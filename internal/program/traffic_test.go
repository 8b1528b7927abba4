package program_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"glia/internal/testbed"
	"glia/registry/smartstack"
)

const chunk = "0123456789abcdef"

// TestSmartstack_TrafficFeelsNoChange sends requests through HAProxy, and one long download, while backends come and go and HAProxy is
// reloaded twice for its structure: none of them may fail. make test-services plays it in full.
func TestSmartstack_TrafficFeelsNoChange(t *testing.T) {
	t.Parallel()
	memberChanges, requestRate := 20, time.Duration(100) // each second, as far as the machine keeps up
	if os.Getenv("GLIA_TEST_TRAFFIC") == "full" {
		memberChanges, requestRate = 200, 500
	}
	server := testbed.ZooKeeper(t, "maxSessionTimeout=60000")
	conn := testbed.ZooKeeperClient(t, server, time.Minute)
	create := func(path, data string) {
		t.Helper()
		insist(t, func() error {
			_, err := conn.Create(path, []byte(data), 0, zk.WorldACL(zk.PermAll))
			if errors.Is(err, zk.ErrNodeExists) { // the answer to the try before was lost
				err = nil
			}
			return err
		})
	}
	create("/web", "")
	create("/other", "")

	over := make(chan struct{}) // the download is to end
	var sent atomic.Int64       // bytes of it
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/long" {
			_, _ = io.WriteString(w, "served")
			return
		}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			n, _ := io.WriteString(w, chunk)
			w.(http.Flusher).Flush()
			sent.Add(int64(n))
			select {
			case <-over:
				return
			case <-tick.C:
			}
		}
	})
	var nodes []string
	for i := range 8 {
		s := httptest.NewServer(handler)
		t.Cleanup(s.Close)
		a := s.Listener.Addr().(*net.TCPAddr)
		data, err := smartstack.Encode(smartstack.Service{Host: a.IP.String(), Port: a.Port, Name: fmt.Sprint("b", i)})
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, string(data))
	}
	for i, data := range nodes[:3] { // these stay
		create(fmt.Sprint("/web/b", i), data)
	}
	s := newStack(t, server.Addr)
	s.until("they serve", func() bool { _, err := s.get(); return err == nil })
	has := func(name string) bool { return strings.Contains(s.runtime("show servers state web"), " "+name+"_") }
	s.until("all of them are there", func() bool { return has("b0") && has("b1") && has("b2") })

	var all sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	got := make(chan error, 1)
	all.Go(func() {
		r, err := client.Get("http://127.0.0.1:" + s.port + "/long")
		if err == nil {
			var n int64
			n, err = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
			if err == nil && n != sent.Load() {
				err = fmt.Errorf("%d bytes came, %d were sent", n, sent.Load())
			}
		}
		got <- err
	})
	var asked, failed atomic.Int64
	stop := make(chan struct{})
	for range 20 {
		all.Go(func() {
			tick := time.NewTicker(20 * time.Second / requestRate)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				asked.Add(1)
				r, err := client.Get("http://127.0.0.1:" + s.port + "/")
				if err == nil {
					var b []byte
					b, err = io.ReadAll(r.Body)
					_ = r.Body.Close()
					if string(b) != "served" {
						err = fmt.Errorf("%s: %q, %w", r.Status, b, err)
					}
				}
				if err != nil && failed.Add(1) < 10 {
					t.Errorf("after %d requests: %v", asked.Load(), err)
				}
			}
		})
	}
	began := time.Now()
	first := s.pid()
	for i := range memberChanges {
		n := 3 + i%5
		path := fmt.Sprint("/web/b", n)
		come := i/5%2 == 0
		if come {
			create(path, nodes[n])
		} else {
			insist(t, func() error {
				err := conn.Delete(path, -1)
				if errors.Is(err, zk.ErrNoNode) {
					err = nil
				}
				return err
			})
		}
		if i%10 == 9 {
			s.until("the last change is in HAProxy", func() bool { return has(fmt.Sprint("b", n)) == come })
		}
		if i == memberChanges/3 || i == 2*memberChanges/3 {
			before := s.pid()
			s.stop()
			s.c.HAProxy.Defaults = append(s.c.HAProxy.Defaults, "option dontlognull")
			s.start()
			s.until("it is reloaded", func() bool { now := s.pid(); return now != "" && now != before })
		}
	}
	took := time.Since(began)
	close(stop)
	if last := s.pid(); last == first {
		t.Error("HAProxy was never reloaded")
	}
	close(over)
	if err := <-got; err != nil {
		t.Errorf("the download: %v", err)
	}
	all.Wait()
	t.Logf("%d requests in %v, %.0f/s, with %d changes of members and two reloads: %d failed; the download had %d bytes", asked.Load(), took.Round(time.Millisecond),
		float64(asked.Load())/took.Seconds(), memberChanges, failed.Load(), sent.Load())
}
