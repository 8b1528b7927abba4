package access_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"glia/config"
	"glia/internal/access"
)

// named is a certificate with a common name, and with URIs behind it.
func named(names string) *x509.Certificate {
	all := strings.Fields(names)
	c := &x509.Certificate{Subject: pkix.Name{CommonName: all[0]}, DNSNames: []string{all[0] + ".example.com"}}
	for _, n := range all[1:] {
		u, err := url.Parse(n)
		if err != nil {
			panic(err)
		}
		c.URIs = append(c.URIs, u)
	}
	return c
}

func TestGuard_Role(t *testing.T) {
	t.Parallel()
	a := config.Access{
		Destroy: []string{"ann", "spiffe://example.com/glia/*"}, Operate: []string{"*.example.com", "user:*"}, Read: []string{"bob"},
		Others: config.RoleNone, Requests: 1, Streams: 1,
	}
	g := access.New(access.Options{Access: a, Program: "repairer", Registry: prometheus.NewRegistry()})
	for _, tt := range []struct {
		names string
		want  config.Role
	}{
		{"ann", config.RoleDestroy},                                                // the highest of the lists that name it
		{"bob", config.RoleOperate},                                                // by its DNS name
		{"x spiffe://example.com/glia/a", config.RoleDestroy},                      // by its URI
		{"x spiffe://example.com/glia/a/b", config.RoleOperate},                    // the pattern has one part more
		{"x spiffe://example.org/glia/a", config.RoleOperate},                      //
		{"ann glia:role:read", config.RoleDestroy},                                 // a list goes before what the certificate carries
		{"user:root", config.RoleNone},                                             // a certificate is no user
		{"root@ glia:role:destroy", config.RoleOperate},                            // a list that names it may also lower it
		{"ANN", config.RoleOperate},                                                // case counts
		{"x glia:role:operate glia:role:destroy", config.RoleOperate},              // by its DNS name
		{strings.Repeat("x", 200) + " glia:role:read", config.RoleOperate},         //
		{"ann.example.com spiffe://example.com/glia/repairer", config.RoleDestroy}, //
	} {
		if got := g.Role(access.OfCertificate(named(tt.names))); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.names, got, tt.want)
		}
	}

	// Without a list that names it, the certificate's own role counts, if there is exactly one that is known.
	a.Operate = nil
	a.Others = config.RoleRead
	g = access.New(access.Options{Access: a, Program: "repairer", Registry: prometheus.NewRegistry()})
	for names, want := range map[string]config.Role{
		"x":                                     config.RoleRead,
		"x glia:role:operate":                   config.RoleOperate,
		"x glia:role:none":                      config.RoleNone,
		"x glia:role:operate glia:role:read":    config.RoleNone,
		"x glia:role:admin":                     config.RoleNone,
		"x glia:role:":                          config.RoleNone,
		"user:root":                             config.RoleRead,
		"x glia:role:destroy glia:role:destroy": config.RoleDestroy,
	} {
		if got := g.Role(access.OfCertificate(named(names))); got != want {
			t.Errorf("%s: got %s, want %s", names, got, want)
		}
	}
}

// Who is not named by anything may look, and change nothing, until the configuration says otherwise.
func TestGuard_RoleByDefault(t *testing.T) {
	t.Parallel()
	for program, a := range map[string]config.Access{"nerve": config.DefaultNerve().Access, "synapse": config.DefaultSynapse().Access, "repairer": config.DefaultRepairer().Access} {
		g := access.New(access.Options{Access: a, Program: program, Registry: prometheus.NewRegistry()})
		if got := g.Role(access.OfCertificate(named("x"))); got != config.RoleRead || a.Loopback != config.RoleRead {
			t.Errorf("%s: %s by certificate, %s at loopback", program, got, a.Loopback)
		}
	}
}

func FuzzOfCertificate(f *testing.F) {
	f.Add("ann", "glia:role:read", "a@example.com")
	f.Add("", "user:root", "user:root")
	f.Add("user:root", "glia:role:destroy", "")
	f.Fuzz(func(t *testing.T, cn, uri, mail string) {
		c := &x509.Certificate{Subject: pkix.Name{CommonName: cn}, EmailAddresses: []string{mail}}
		if u, err := url.Parse(uri); err == nil {
			c.URIs = []*url.URL{u}
		}
		g := access.New(access.Options{Access: config.Access{Operate: []string{"user:*", "group:*"}, Others: config.RoleRead}, Registry: prometheus.NewRegistry()})
		id := access.OfCertificate(c)
		switch role := g.Role(id); {
		case !id.Proven() || id.String() == "certificate ":
			t.Errorf("%q has no name", id)
		case role == config.RoleOperate && uri != "glia:role:operate":
			t.Errorf("a certificate was taken for a user of the host")
		case role != config.RoleRead && !strings.HasPrefix(strings.ToLower(uri), "glia:role:"):
			t.Errorf("role %q for %q %q %q", role, cn, uri, mail)
		}
	})
}
