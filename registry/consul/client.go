package consul

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"glia/config/secret"
)

// Options configure a Registry or an Elector.
type Options struct {
	Address    string        // host:port of an agent, or unix:// and a path; empty is 127.0.0.1:8500
	Datacenter string        // empty is the agent's
	Token      string        // of the ACL; empty is the anonymous one
	Path       string        // prefix of all keys, without slashes around it; empty is glia
	TTL        time.Duration // of a session; a crashed announcer is gone after one to two of them; 0 is 15 s; the server wants 10 s or more
	TLS        *tls.Config   // nil is plain HTTP
	Forget     time.Duration // how long watchers show a host that is not alive; 0 is 24 h
	Log        *slog.Logger  // nil discards

	// Waiting is told what an Elector waits for, at each look until it leads. It may be nil.
	Waiting func(reason string)
}

func (o Options) withDefaults() Options {
	o.Address, o.Path = cmp.Or(o.Address, "127.0.0.1:8500"), cmp.Or(o.Path, "glia")
	o.TTL, o.Forget = cmp.Or(o.TTL, 15*time.Second), cmp.Or(o.Forget, 24*time.Hour)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Waiting == nil {
		o.Waiting = func(string) {}
	}
	return o
}

// What a call may take. A blocking query waits at the server for so long, and is given up a while later, so that a
// connection whose other end is gone is noticed.
const (
	callTimeout = 5 * time.Second
	waitTime    = 30 * time.Second
	waitTimeout = waitTime + waitTime/16 + callTimeout // the server adds up to a sixteenth of the wait
)

// client is the API with bounds on every call. It is safe for concurrent use.
type client struct {
	api  *api.Client
	o    Options
	name string // what a session is called, for people
}

func dial(o Options, name string) (*client, error) {
	if strings.Trim(o.Path, "/") != o.Path || strings.Contains(o.Path, "//") {
		return nil, fmt.Errorf("path %q: must not begin or end with a slash, such as glia", o.Path)
	}
	network, addr := "tcp", o.Address
	if p, ok := strings.CutPrefix(o.Address, "unix://"); ok {
		network, addr = "unix", p
	} else if _, _, err := net.SplitHostPort(o.Address); err != nil {
		return nil, fmt.Errorf("address %q: must be host:port, or unix:// and a path", o.Address)
	}
	d := net.Dialer{Timeout: callTimeout}
	conf := &api.Config{Address: "consul.unix", Scheme: "http", Datacenter: o.Datacenter, Token: o.Token, HttpClient: &http.Client{Transport: secret.Quiet{Secret: secret.Of(o.Token), Base: &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, network, addr) },
		TLSClientConfig: o.TLS, TLSHandshakeTimeout: callTimeout, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
	}}}}
	if network == "tcp" {
		conf.Address = addr
	}
	if o.TLS != nil {
		conf.Scheme = "https"
	}
	c, err := api.NewClient(conf)
	if err != nil {
		return nil, err
	}
	return &client{api: c, o: o, name: name}, nil
}

func (c *client) key(parts ...string) string { return c.o.Path + "/" + strings.Join(parts, "/") }

// read makes the options of a read that the leader has vouched for.
func (c *client) read(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
}

// wait makes the options of a read that returns once there is something newer than the index.
func (c *client) wait(ctx context.Context, index uint64) *api.QueryOptions {
	return (&api.QueryOptions{WaitIndex: index, WaitTime: waitTime}).WithContext(ctx)
}

func (c *client) write(ctx context.Context) *api.WriteOptions {
	return (&api.WriteOptions{}).WithContext(ctx)
}

// newSession makes a session that lasts for its TTL, whatever becomes of the node of the agent. Its keys stay when
// it ends.
func (c *client) newSession(ctx context.Context, delay time.Duration) (string, error) {
	id, _, err := c.api.Session().CreateNoChecks(&api.SessionEntry{
		Name: c.name, TTL: c.o.TTL.String(), Behavior: api.SessionBehaviorRelease, LockDelay: delay,
	}, c.write(ctx))
	if err != nil {
		return "", fmt.Errorf("make a session: %w", err)
	}
	return id, nil
}

// errNoSession says that the session is over, by its TTL or by somebody.
var errNoSession = errors.New("session is over")

func (c *client) renew(ctx context.Context, id string) error {
	s, _, err := c.api.Session().Renew(id, c.write(ctx))
	if err == nil && s == nil {
		err = errNoSession
	}
	return err
}

// destroy ends a session, if it can, soon; else its TTL does.
func (c *client) destroy(ctx context.Context, id string) error {
	if id == "" {
		return nil
	}
	_, err := c.api.Session().Destroy(id, c.write(ctx))
	return err
}

// explain adds what can be done about an error of Consul.
func (c *client) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case forbidden(err):
		return fmt.Errorf("%w: the token needs key_prefix %q and session_prefix \"\" with policy write, or read for watching only", err, c.o.Path+"/")
	case strings.Contains(err.Error(), "Invalid Session TTL"):
		return fmt.Errorf("%w: raise the TTL, or lower session_ttl_min of the servers", err)
	}
	return err
}

// forbidden says whether the ACL refused a request. Not every call of the library has a typed error.
func forbidden(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusForbidden || strings.HasSuffix(err.Error(), "response code: 403")
}

// backoff is a random wait before the next attempt after so many failures in a row: up to 0.2 s, then double, up to 5 s.
func backoff(failures int) time.Duration {
	longest := min(200*time.Millisecond<<min(failures, 10), 5*time.Second)
	return longest/2 + rand.N(longest/2)
}

// pause waits, and says whether ctx is still wanted.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// problems keeps what is wrong, by what was attempted.
type problems struct {
	mu   sync.Mutex
	open map[string]error
}

// set notes the outcome of an attempt, and says whether it differs from the one before in being an error.
func (p *problems) set(what string, err error) (turned bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	turned = (p.open[what] != nil) != (err != nil)
	if p.open == nil {
		p.open = map[string]error{}
	}
	p.open[what] = err
	return turned
}

func (p *problems) all() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for what, err := range p.open {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	return errors.Join(errs...)
}
