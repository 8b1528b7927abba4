package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"glia/config"
)

// site is a synapse whose registries may set all that they can.
func site(t testing.TB, allow ...string) (config.Synapse, config.Service) {
	t.Helper()
	c, err := config.ParseSynapse("f.toml", []byte(`[files]
directory = "/x"
[[service]]
name = "web"
[service.haproxy]
port = 3210
server_options = "check inter 2s"
backend = ["timeout server 3s"]
frontend = ["http-request deny if bad"]
[[service.source]]
method = "zookeeper"
servers = ["z"]
path = "/web"
settings = "/web"
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Settings.Allow = allow; len(allow) == 0 {
		c.Settings.Allow = config.Settable()
	}
	return c, c.Services[0]
}

// equal takes an empty list for none.
func equal(a, b config.Service) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func TestSynapse_OverlayMergesKeyByKey(t *testing.T) {
	t.Parallel()
	c, own := site(t)
	for document, change := range map[string]func(*config.Service){
		"":                                           func(*config.Service) {},
		" \n":                                        func(*config.Service) {},
		"{}":                                         func(*config.Service) {},
		`{"haproxy":{}}`:                             func(*config.Service) {},
		`{"haproxy":{"port":1111}}`:                  func(s *config.Service) { s.HAProxy.Port = 1111 },
		`{"haproxy":{"server_options":""}}`:          func(s *config.Service) { s.HAProxy.ServerOptions = "" },
		`{"haproxy":{"disabled":true}}`:              func(s *config.Service) { s.HAProxy.Disabled = true },
		`{"haproxy":{"hash_cookie":true}}`:           func(s *config.Service) { s.HAProxy.HashCookie = true },
		`{"haproxy":{"backend_order":"asc"}}`:        func(s *config.Service) { s.HAProxy.BackendOrder = "asc" },
		`{"haproxy":{"backend":[]}}`:                 func(s *config.Service) { s.HAProxy.Backend = nil },
		`{"file":true}`:                              func(s *config.Service) { s.File = true },
		`{"file_output":{}}`:                         func(s *config.Service) { s.File = true },
		`{"file_output":{},"file":false}`:            func(*config.Service) {},
		`{"nginx":{"port":1},"haproxy":{}}`:          func(*config.Service) {},
		`{"haproxy":{"listen":["mode http"]}}`:       func(s *config.Service) { s.HAProxy.Listen = []string{"mode http"} },
		`{"haproxy":{"cookie_value_method":"hash"}}`: func(s *config.Service) { s.HAProxy.HashCookie = true },
		`{"haproxy":{"port":1111,"server_options":"check port %{port} rise 3","backend":["option httpchk GET /health HTTP/1.1\\r\\nHost:\\ web"]}}`: func(s *config.Service) {
			s.HAProxy.Port, s.HAProxy.ServerOptions, s.HAProxy.Backend = 1111, "check port %{port} rise 3", []string{`option httpchk GET /health HTTP/1.1\r\nHost:\ web`}
		},
	} {
		want := own
		change(&want)
		got, err := c.Overlay(own, document)
		if err != nil || !equal(got.Service, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", document, err, got.Service, want)
		}
		if strings.Contains(document, "nginx") != slices.Equal(got.Aside, []string{"nginx"}) {
			t.Errorf("%s: aside %v", document, got.Aside)
		}
	}
}

func TestSynapse_OverlayRefusesAsAWhole(t *testing.T) {
	t.Parallel()
	long := `{"haproxy":{"server_options":"` + strings.Repeat(" ", 1<<16) + `"}}`
	for document, want := range map[string]string{
		`{`:                               "settings of web: want one JSON object: unexpected EOF",
		`[]`:                              "want one JSON object, got a list",
		`"x"`:                             "got a string",
		`null`:                            "got null",
		`{} {}`:                           "there is more behind it",
		"{\"\xff\":":                      "not in UTF-8",
		long:                              "too many",
		`[[[[[[[[[[[`:                     "within each other",
		`{"haproxy":{"port":1,"port":2}}`: `"port" comes twice`,
		`{"haproxy":"x"}`:                 "haproxy: want a table, got a string",
		`{"haproxy":{"port":"1"}}`:        "haproxy.port: want a whole number, got a string",
		`{"haproxy":{"port":null}}`:       "haproxy.port: want a whole number, got null",
		`{"haproxy":{"port":1.5}}`:        "haproxy.port: want a whole number, got a float",
		`{"haproxy":{"port":0}}`:          "0 is not possible: want 1 to 65535",
		`{"haproxy":{"port":99999999999999999999}}`:                      "haproxy.port: want a whole number",
		`{"haproxy":{"prot":1}}`:                                         `unknown key; did you mean "port"?`,
		`{"haproxy":{"listen":"mode http"}}`:                             "haproxy.listen: want a list",
		`{"haproxy":{"backend_order":"up"}}`:                             `"up" is not known`,
		`{"haproxy":{"cookie_value_method":"sha"}}`:                      "haproxy.cookie_value_method: unknown key",
		`{"file_output":[]}`:                                             "file: want true or false, got a list",
		`{"haproxy":{"bind_address":"0.0.0.0"}}`:                         "haproxy.bind_address: no registry may set it",
		`{"haproxy":{"bind_options":"ssl crt /k"}}`:                      "no registry may set it",
		`{"haproxy":{"backend_name":"other"}}`:                           "no registry may set it",
		`{"haproxy":{"shared_frontend":[]}}`:                             "no registry may set it",
		`{"haproxy":{"frontend":[]}}`:                                    `the file has "http-request deny if bad" there`,
		`{"haproxy":{"backend":["errorfile 503 /etc/shadow"]}}`:          "no registry may set this directive",
		`{"haproxy":{"listen":["bind *:22"]}}`:                           "no registry may set this directive",
		`{"haproxy":{"listen":["option external-check"]}}`:               "no registry may set option external-check",
		`{"haproxy":{"backend":["http-check connect addr 10.0.0.1"]}}`:   "no registry may set http-check connect",
		`{"haproxy":{"backend":["http-check send hdr X %[env(HOME)]"]}}`: `"%" may not be`,
		`{"haproxy":{"backend":["option httpchk /$HOME"]}}`:              `"$" may not be`,
		`{"haproxy":{"backend":["option httpchk /\\x25"]}}`:              "a backslash may stand before",
		`{"haproxy":{"backend":["mode http\nserver evil 10.0.0.1:1"]}}`:  `may not be in what a registry says`,
		`{"haproxy":{"backend":["balance hash path"]}}`:                  "no registry may set balance hash",
		`{"haproxy":{"backend":["no"]}}`:                                 "no registry may set this directive",
		`{"haproxy":{"server_options":"check ssl crt /etc/key"}}`:        "no registry may set the option ssl",
		`{"haproxy":{"server_options":"check inter"}}`:                   "inter says nothing",
		`{"haproxy":{"server_options":"check addr 10.0.0.1"}}`:           "no registry may set the option addr",
		`{"haproxy":{"server_options":"check %[env(HOME)]"}}`:            `"%" may not be`,
	} {
		c, own := site(t)
		if _, err := c.Overlay(own, document); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: error %v, want %s", document, err, want)
		}
	}
	c, own := site(t, "haproxy.server_options")
	if _, err := c.Overlay(own, `{"haproxy":{"port":1,"server_options":"check"}}`); err == nil || err.Error() != "settings of web: haproxy.port: settings.allow does not let registries set it" {
		t.Errorf("a key that the site does not allow: %v", err)
	}
	own.HAProxy.ServerOptions = "check ssl verify required ca-file /ca"
	if _, err := c.Overlay(own, `{"haproxy":{"server_options":"check"}}`); err == nil || !strings.Contains(err.Error(), "which no registry may set or take away") {
		t.Errorf("TLS taken away: %v", err)
	}
}

// What passes can be judged again, is one line each, and never touches what no registry may set.
func FuzzSynapse_Overlay(f *testing.F) {
	for _, s := range []string{`{}`, `{"haproxy":{"port":1111,"server_options":"check","listen":["mode http"]}}`, `{"file_output":{}}`, `{"haproxy":`, `{"haproxy":{"backend":["option httpchk /\\ "]}}`} {
		f.Add(s)
	}
	c, own := site(f)
	f.Fuzz(func(t *testing.T, document string) {
		got, err := c.Overlay(own, document)
		if err != nil {
			return
		}
		p := got.Service.HAProxy
		if p.BindAddress != own.HAProxy.BindAddress || p.BindOptions != own.HAProxy.BindOptions || p.BackendName != own.HAProxy.BackendName || p.SharedFrontend != nil || p.Port < 1 {
			t.Errorf("%q: %+v", document, p)
		}
		for _, l := range append(slices.Concat(p.Backend, p.Listen), p.ServerOptions) {
			if strings.ContainsAny(l, "\n\r\x00\"'$#") {
				t.Errorf("%q: %q", document, l)
			}
		}
		again, err := c.Overlay(own, document)
		if err != nil || !equal(again.Service, got.Service) {
			t.Errorf("%q is not the same twice", document)
		}
	})
}

func TestParse_Settings(t *testing.T) {
	t.Parallel()
	const head = "[[service]]\nname = \"web\"\n[[service.source]]\n"
	for text, want := range map[string]string{
		"[settings]\nallow = [\"haproxy.bind_address\"]\n":                                         `f.toml:2:10: settings.allow: "haproxy.bind_address" is no key that a registry can set`,
		"[settings]\nallow = []\n":                                                                 "",
		head + "method = \"static\"\nbackends = [\"a:1\"]\nsettings = \"/x\"\n":                    "settings can be in ZooKeeper and Consul only",
		head + "method = \"zookeeper\"\nservers = [\"z\"]\npath = \"/web\"\nsettings = \"web\"\n":  `"web" is not the absolute path of a node`,
		head + "method = \"zookeeper\"\nservers = [\"z\"]\npath = \"/web\"\nsettings = \"/web\"\n": "",
		head + "method = \"consul\"\nservice = \"web\"\nsettings = \"services/web\"\n":             "",
		head + "method = \"consul\"\nservice = \"web\"\nsettings = \"/services/web\"\n":            "is no key of Consul's key-value store",
	} {
		_, err := config.ParseSynapse("f.toml", []byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}
