package haproxy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"glia/internal/testbed"
	"glia/synapse/service"
)

// What HAProxy was told may be done although its answer never came.
func TestOutput_TakesBackWhatWasToldWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	one, two := web(t, "one"), web(t, "two")
	heavy := one
	heavy.Options = "weight 7"
	maintained := func(servers string) bool { return regexp.MustCompile(` one_\S+ \S+ \d+ 1 `).MatchString(servers) }
	for _, c := range []struct {
		name string
		told string // the command whose answer is lost
		want []service.Backend
		done func(servers string) bool
	}{
		{"a server that is gone", "state maint", []service.Backend{two}, maintained},
		{"a weight", "weight 7", []service.Backend{heavy, two}, func(servers string) bool { return regexp.MustCompile(` one_\S+ \S+ \d+ \d+ 7 `).MatchString(servers) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, nil)
			b.stop()
			b.o.Services[0].Backend = []string{"cookie SRV insert"} // no server is deleted then
			path := filepath.Join(filepath.Dir(b.socket), "proxy")
			proxy := testbed.NewSocketProxy(t, path, b.socket)
			b.o.Sockets[0].Path, b.o.Sockets[0].Timeout = path, 2*time.Second
			b.start()
			servers := func() string { return b.runtime("show servers state web") }
			b.out.Set("web", []service.Backend{one, two})
			b.until("both serve", b.reaches("one", "two"))
			pid := b.pid()
			proxy.HangAfter(c.told)
			b.out.Set("web", c.want)
			b.until("it is done", func() bool { return c.done(servers()) })
			b.until("the answer is lost", func() bool {
				err := b.out.Problem()
				return err != nil && strings.Contains(err.Error(), os.ErrDeadlineExceeded.Error())
			})
			b.out.Set("web", []service.Backend{one, two})
			proxy.Cut()
			proxy.Heal()
			b.until("all is as it was", func() bool { return b.out.Problem() == nil && !c.done(servers()) && b.reaches("one", "two")() })
			if b.pid() != pid {
				t.Errorf("HAProxy was reloaded\n%s", b.log)
			}
		})
	}
}
