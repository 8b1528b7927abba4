package haproxy_test

import (
	"strings"
	"testing"

	"glia/synapse/haproxy"
	"glia/synapse/service"
)

// with are the options of the bed with other services.
func (b *bed) with(services ...haproxy.Service) haproxy.Options {
	o := b.o
	o.Services = services
	return o
}

func (b *bed) apply(o haproxy.Options) {
	b.t.Helper()
	if err := b.out.Try(b.t.Context(), o); err != nil {
		b.t.Error(err)
	}
	if err := b.out.Apply(o); err != nil {
		b.t.Error(err)
	}
}

func TestOutput_AppliesOtherOptions(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	web1, one, two := b.o.Services[0], web(t, "one"), web(t, "two")
	b.out.Set("web", []service.Backend{one})
	b.until("the first server serves", b.reaches("one"))
	b.until("all is written", func() bool { return strings.Contains(b.file(), "server one_") })
	pid := b.pid()

	// The same again, and an order that is that of the file alone, reload nothing.
	b.apply(b.with(web1))
	ordered := web1
	ordered.Order = haproxy.Ascending
	b.apply(b.with(ordered))
	// Until the new service has backends, the old goes on as it was, and can change.
	other := haproxy.Service{Name: "other", Listen: []string{"mode tcp"}}
	b.apply(b.with(ordered, other))
	b.out.Set("web", []service.Backend{one, two})
	b.until("both serve", b.reaches("one", "two"))
	b.until("the file says so", func() bool { return strings.Contains(b.file(), "server two_") })
	if strings.Contains(b.file(), "backend other") || b.pid() != pid {
		t.Errorf("HAProxy was reloaded, or told of a service without backends\n%s\n%s", b.file(), b.log)
	}
	b.out.Set("other", []service.Backend{two})
	b.until("HAProxy has the other service", func() bool { return b.pid() != pid && strings.Contains(b.runtime("show servers state other"), " two_") })
	if !b.reaches("one", "two")() {
		t.Error("the first service has lost a server")
	}

	// What others get is another line of each server; who keeps his place keeps his id.
	slow := ordered
	slow.ServerOptions = "check inter 200ms rise 1 fall 1"
	b.apply(b.with(other, slow))
	b.until("the servers have other options", func() bool { return strings.Count(b.file(), "inter 200ms") == 2 })
	pid = b.pid()
	b.apply(b.with(slow))
	b.until("the other service is gone", func() bool {
		now := b.pid()
		return now != "" && now != pid && strings.Contains(b.runtime("show servers state other"), "Can't find backend")
	})
	b.until("both serve", b.reaches("one", "two"))
	if got := b.file(); !strings.Contains(got, " id 1 cookie one_") || !strings.Contains(got, " id 2 cookie two_") {
		t.Errorf("ids have changed\n%s", got)
	}
	if b.out.Bind("other") != "" || b.out.Bind("web") == "" {
		t.Errorf("binds: %q, %q", b.out.Bind("other"), b.out.Bind("web"))
	}

	// It comes back as something new.
	b.apply(b.with(slow, other))
	pid = b.pid()
	b.out.Set("other", []service.Backend{one})
	b.until("it is back", func() bool { return b.pid() != pid && strings.Contains(b.runtime("show servers state other"), " one_") })
	if err := b.out.Problem(); err != nil {
		t.Error(err)
	}
}

func TestOutput_TriesOptionsWithoutChange(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	one := web(t, "one")
	b.out.Set("web", []service.Backend{one})
	b.until("it serves", b.reaches("one"))
	b.until("all is written", func() bool { return strings.Contains(b.file(), "server one_") })
	good, pid := b.file(), b.pid()
	for line, want := range map[string]string{"timeout connect never": "HAProxy's check refuses it: unexpected character 'n' in 'timeout connect'", "modehttp": "no directive whose place is known"} {
		bad := b.o.Services[0]
		bad.Listen = append(bad.Listen[:1:1], line)
		if err := b.out.Try(t.Context(), b.with(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
	moved := b.o
	moved.File.Path += "2"
	if err := b.out.Apply(moved); err == nil {
		t.Error("the file has become another one")
	}
	if b.file() != good || b.pid() != pid || !b.reaches("one")() || b.out.Problem() != nil {
		t.Errorf("something has changed: %v\n%s", b.out.Problem(), b.file())
	}
}
