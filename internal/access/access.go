// Package access stands before the APIs of nerve, synapse and repairer: it knows who calls, decides who may
// call what, bounds how much and how long, and keeps account of every call that changes something.
//
// It guarantees that no verb is served that is not in its one table, that the body of a request is not looked
// at before its sender may make it, and that a call that changed something has one line in the log with who,
// what and how it ended.
//
// It fails closed: an identity that nothing names has the role that the configuration gives to others, a verb
// that is not known is refused, and so is a service that was mounted past the guard. Every refusal is counted
// by verb and reason, and says what would change it.
package access

import (
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"glia/config"
)

const (
	// mostBytes is the size of the largest request, as it is sent and unpacked. The largest that is made by
	// glia, an order with all OSDs of a shared disk, has some 20 kB.
	mostBytes = 1 << 20

	// receiveWithin is how long a request may take to arrive, sendWithin how long the next message of a stream
	// may take to be taken by who asked for it.
	receiveWithin = 30 * time.Second
	sendWithin    = time.Minute
)

// Options are what a guard works with. Access, Program, Log and Registry are needed.
type Options struct {
	Access    config.Access
	Repairers []string // patterns of who may order the hand; empty: whoever has the role destroy
	Program   string   // nerve, synapse or repairer

	Receive time.Duration // 0: 30 seconds
	Send    time.Duration // 0: one minute

	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Guard stands before one API. It is safe for concurrent use.
type Guard struct {
	policy
	Options
	clients clients
	refused *prometheus.CounterVec
	writer  *connect.ErrorWriter
}

// New makes the guard of one program.
func New(o Options) *Guard {
	if o.Receive == 0 {
		o.Receive = receiveWithin
	}
	if o.Send == 0 {
		o.Send = sendWithin
	}
	g := &Guard{
		policy: policy{o.Access, o.Repairers, o.Program}, Options: o, writer: connect.NewErrorWriter(),
		clients: clients{limit: o.Access.Requests, known: map[string]*client{}},
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "glia_api_refused_total",
			Help: "Calls that were refused, by verb (empty where none was understood) and reason.",
		}, []string{"verb", "reason"}),
	}
	o.Registry.MustRegister(g.refused)
	return g
}

// Refused counts what was refused before there was a call.
func (g *Guard) Refused(reason string) { g.refused.WithLabelValues("", reason).Inc() }

// HandlerOptions are for every service behind the guard; one without them is not served.
func (g *Guard) HandlerOptions() []connect.HandlerOption {
	return []connect.HandlerOption{connect.WithInterceptors(interceptor{g}), connect.WithReadMaxBytes(mostBytes)}
}

// Handler puts the guard before the services. What is no call of a service passes, with its sender known.
func (g *Guard) Handler(services http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{id: requestID(r), who: identify(r), from: r.RemoteAddr}
		w.Header().Set(RequestID, c.id)
		r = r.WithContext(with(r.Context(), c))
		if !isCall(r.URL.Path) {
			services.ServeHTTP(w, r)
			return
		}
		c.verb, c.known = verbs[r.URL.Path]
		c.procedure = r.URL.Path
		if refusal := g.admit(c, r); refusal != nil {
			g.turnAway(w, r, c, refusal)
			return
		}
		if c.verb.stream {
			defer c.client.streams.Add(-1)
		}
		g.bound(w, r, c)
		services.ServeHTTP(w, r)
		if why := c.broken(); why != "" {
			g.refused.WithLabelValues(c.label(), why).Inc()
		}
	})
}

// admit decides, by the head of the request alone, whether the call is made. The order of the questions keeps
// a flood of calls cheap.
func (g *Guard) admit(c *call, r *http.Request) *refusal {
	c.client = g.clients.of(c.who)
	switch {
	case !c.client.limiter.Allow():
		return g.tooMany(c)
	case !c.known:
		return unknownVerb(c)
	case r.Method != http.MethodPost:
		return wrongMethod(c, r.Method)
	case !g.writer.IsSupported(r):
		return wrongType(c, r.Header.Get("Content-Type"))
	case r.ContentLength > mostBytes:
		return tooLarge(c, r.ContentLength)
	}
	if refusal := g.authorise(c.who, c.verb, c.name()); refusal != nil {
		return refusal
	}
	if c.verb.stream && c.client.streams.Add(1) > int64(g.Access.Streams) {
		c.client.streams.Add(-1)
		return g.tooManyStreams(c)
	}
	return nil
}

// turnAway answers with the refusal, in the protocol of the request. A client that is refused again and again
// is in the log once a minute, and in the count each time.
func (g *Guard) turnAway(w http.ResponseWriter, r *http.Request, c *call, why *refusal) {
	g.refused.WithLabelValues(c.label(), why.reason).Inc()
	c.client.told.Do(func() {
		g.Log.Warn("call refused", "verb", c.label(), "by", c.who.String(), "from", c.from, "request", c.id, "reason", why.reason, "refusal", why.words)
	})
	if why.status != 0 {
		http.Error(w, why.words, why.status)
		return
	}
	_ = g.writer.Write(w, r, why.err()) // whoever does not wait for it has gone
}
