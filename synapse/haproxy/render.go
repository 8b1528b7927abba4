package haproxy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// header is the only line that says more than synapse's.
const header = "# written by glia's synapse; what is changed here by hand is overwritten\n"

// Renderer renders one configuration again and again, and only what has changed. It is not safe for concurrent use.
type Renderer struct {
	config   Config
	services []*rendered // in the order of the file
	byName   map[string]*rendered
	head     string
	tail     string
	text     string // of all; empty when a service has changed
}

// rendered is one service with its stanzas.
type rendered struct {
	Service
	frontend string // section, empty when there is none
	backend  string // its head, without the servers
	cookies  bool   // whether servers have cookies
	sticky   bool   // whether HAProxy uses them

	defaulted bool // whether servers get more than their lines say

	ids     IDs
	running IDs // those in HAProxy, also of servers that are gone and not deleted yet
	servers []Server
	specs   []spec // in the order of the file
	text    string
}

// NewRenderer checks the configuration and the services. It finds out what must not get into a file; the rest is for HAProxy's own check.
func NewRenderer(c Config, services []Service) (*Renderer, error) {
	if c.BindAddress == "" {
		c.BindAddress = "localhost"
	}
	if c.MaxServerID == 0 {
		c.MaxServerID = 65535
	}
	r := &Renderer{config: c, byName: map[string]*rendered{}}
	var bad []error
	r.head = c.head()
	shared := c.SharedFrontend
	for _, l := range [][]string{c.Global, c.Defaults, c.SharedFrontend} {
		bad = append(bad, oneLine(l...))
	}
	for _, s := range c.Sections {
		bad = append(bad, oneLine(append([]string{s.Title}, s.Lines...)...))
	}
	taken := map[string]string{}
	for _, s := range services {
		one, err := c.prepare(s)
		if other, ok := taken[s.backendName()]; ok && err == nil {
			err = fmt.Errorf("its backend %s is that of service %s already", s.backendName(), other)
		}
		taken[s.backendName()] = s.Name
		if len(s.SharedFrontend) > 0 && c.SharedFrontend == nil {
			err = errors.Join(err, errors.New("it has lines for the shared frontend, and there is none"))
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("service %s: %w", s.Name, err))
			continue
		}
		shared = append(slices.Clip(shared), s.SharedFrontend...)
		r.services, r.byName[s.Name] = append(r.services, one), one
	}
	if c.SharedFrontend != nil {
		r.tail = section("\nfrontend shared-frontend", shared)
	}
	for _, s := range r.services {
		s.render(c, nil)
	}
	return r, errors.Join(bad...)
}

// head is everything in front of the services.
func (c Config) head() string {
	out := header + "\n" + section("global", c.Global) + section("defaults", c.Defaults)
	for _, s := range c.Sections {
		out += section("\n"+s.Title, s.Lines)
	}
	return out
}

func section(title string, lines []string) string {
	var b strings.Builder
	b.WriteString(title + "\n")
	for _, l := range lines {
		b.WriteString("\t" + l + "\n")
	}
	return b.String()
}

// socketAddress says whether an address to bind to is whole without a port.
func socketAddress(address string) bool { return strings.ContainsAny(address, "@/") }

func (c Config) prepare(s Service) (*rendered, error) {
	fromListen, toBackend, err := Split(s.Listen)
	err = errors.Join(err, validTemplate(s.ServerOptions), oneWord(s.Name), oneWord(s.backendName()), oneLine(s.BindAddress, s.BindOptions, s.ServerOptions),
		oneLine(s.Frontend...), oneLine(s.Backend...), oneLine(s.Listen...), oneLine(s.SharedFrontend...))
	if err != nil {
		return nil, err
	}
	out := &rendered{Service: s, ids: IDs{}}
	lines := slices.Concat(s.Backend, toBackend)
	out.backend = section("\nbackend "+s.backendName(), lines)
	out.cookies = !slices.Contains(lines, "mode tcp")
	all := slices.Concat(c.Defaults, lines)
	out.sticky, out.defaulted = directive(all, "cookie"), directive(all, "default-server")
	if s.Port == 0 && !socketAddress(s.BindAddress) {
		return out, nil
	}
	bind := s.BindAddress
	if bind == "" {
		bind = c.BindAddress
	}
	if s.Port != 0 {
		bind = fmt.Sprintf("%s:%d", bind, s.Port)
	}
	if s.BindOptions != "" {
		bind += " " + s.BindOptions
	}
	out.frontend = section("\nfrontend "+s.Name, append(slices.Concat(s.Frontend, fromListen), "bind "+bind, "default_backend "+s.backendName()))
	return out, nil
}

// directive says whether a line begins with the word.
func directive(lines []string, word string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { f := strings.Fields(l); return len(f) > 0 && f[0] == word })
}

// Set replaces the servers of a service, in the order of their discovery: those that are gone and still rendered, then those that are
// there. A server that can not be written into a file is left out and named by the error; the others are used.
func (r *Renderer) Set(name string, servers []Server) error {
	s, ok := r.byName[name]
	if !ok {
		return fmt.Errorf("service %s is not configured", name)
	}
	var bad []error
	servers = slices.DeleteFunc(slices.Clone(servers), func(x Server) bool {
		err := errors.Join(oneWord(x.Name()), oneLine(x.Options))
		if err != nil {
			bad = append(bad, fmt.Errorf("service %s: server %q: %w", name, x.Name(), err))
		}
		return err != nil
	})
	s.render(r.config, servers)
	r.text = ""
	return errors.Join(bad...)
}

func (s *rendered) render(c Config, servers []Server) {
	// One that is there again is not gone.
	at := map[string]int{}
	s.servers = s.servers[:0:0]
	for _, x := range servers {
		if i, ok := at[x.Name()]; ok {
			s.servers[i] = x
			continue
		}
		at[x.Name()] = len(s.servers)
		s.servers = append(s.servers, x)
	}
	s.ids.assign(s.servers, c.MaxServerID, s.running)
	names := make([]string, 0, len(s.servers))
	for _, x := range s.servers {
		names = append(names, x.Name())
	}
	switch s.Order {
	case Ascending:
		slices.Sort(names)
	case Descending:
		slices.Sort(names)
		slices.Reverse(names)
	case Shuffled:
		shuffle(names, c.OrderSeed)
	}
	s.specs = s.specs[:0:0]
	var b strings.Builder
	b.WriteString(s.frontend + s.backend)
	for _, n := range names {
		p := c.specOf(&s.Service, s.servers[at[n]], s.cookies)
		s.specs = append(s.specs, p)
		b.WriteString(p.line() + "\n")
	}
	s.text = b.String()
}

// Text is the whole file.
func (r *Renderer) Text() string {
	if r.text == "" {
		var b strings.Builder
		b.WriteString(r.head)
		for _, s := range r.services {
			b.WriteString(s.text)
		}
		b.WriteString(r.tail)
		r.text = b.String()
	}
	return r.text
}

// Structure is the file without the servers of the services: what can not be changed in a running HAProxy.
func (r *Renderer) Structure() string {
	var b strings.Builder
	b.WriteString(r.head)
	for _, s := range r.services {
		b.WriteString(s.frontend + s.backend)
	}
	b.WriteString(r.tail)
	return b.String()
}

// renders says whether the backend is that of one of the services.
func (r *Renderer) renders(backend string) bool {
	return slices.ContainsFunc(r.services, func(s *rendered) bool { return s.backendName() == backend })
}

// oneWord refuses names that would end a word, or begin a comment or an escape, in HAProxy's syntax.
func oneWord(s string) error {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("#\\\"'$;", r)
	}) {
		return fmt.Errorf("%q can not be a name in HAProxy", s)
	}
	return nil
}

// oneLine refuses text that would become several lines.
func oneLine(lines ...string) error {
	for _, l := range lines {
		if strings.ContainsAny(l, "\n\r\x00") {
			return fmt.Errorf("%q is more than one line", l)
		}
	}
	return nil
}
