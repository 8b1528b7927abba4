// Package haproxy keeps HAProxy (2.4 and later) at the backends that a synapse knows: it renders the whole
// configuration file, and brings the running process in line through its stats sockets.
//
// Render is pure. For the same input it writes the bytes that Airbnb's synapse 0.18.9 writes, but for the comment at the
// top, the line feed at the end without which HAProxy 2.3 and later refuse the file, and directives of a listen list that are
// newer than HAProxy 1.6, which synapse dropped.
//
// An Output guarantees that no file gets into place that HAProxy's own check refuses; that servers, sections and files of others
// are not touched; and that HAProxy is reloaded for changes of structure only, and never more often than allowed. What it can not
// do, it says through Problem and tries again.
package haproxy

// Config is what is rendered besides the services.
type Config struct {
	Global, Defaults []string
	Sections         []Section // that are rendered as they are
	SharedFrontend   []string  // nil: there is none
	BindAddress      string    // empty is localhost

	UseWeights  bool   // weights that backends announce replace those in options
	MaxServerID int    // 0 is 65535
	OrderSeed   uint32 // of the order of servers in backends that have no order of their own
}

// Section is a section of the site.
type Section struct {
	Title string
	Lines []string
}

// Order is how the servers of a backend are ordered.
type Order string

// The orders. Shuffled is the same at each rendering, and another one on hosts with another seed.
const (
	Shuffled   Order = ""
	Ascending  Order = "asc"
	Descending Order = "desc"
	AsFound    Order = "no_shuffle"
)

// Service is how one service is rendered.
type Service struct {
	Name        string
	Port        int    // of the frontend; 0: there is none, unless BindAddress is that of a socket
	BindAddress string // empty is that of Config
	BindOptions string

	ServerOptions string   // in each server line; %{host}, %{port} and %{name} are those of the server, %% is %
	Frontend      []string // as they are
	Backend       []string
	Listen        []string // directives that go where they belong; see Split
	BackendName   string   // empty is Name

	Order          Order
	HashCookie     bool     // cookies are the SHA-1 of the server's name instead of the name
	SharedFrontend []string // added to that of Config
}

// backendName is the name of the backend section.
func (s Service) backendName() string {
	if s.BackendName != "" {
		return s.BackendName
	}
	return s.Name
}
