package config

import (
	"net"
	"net/netip"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// hostnames is what Serf accepts as the name of a member, and the underscore that some hosts have.
var hostnames = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

func (c *check) hostname(key, name string) {
	if !hostnames.MatchString(name) {
		c.bad([]string{key}, "%q can not be a name: use up to 128 letters, digits, dots, dashes and underscores", name)
	}
}

// hostPort splits an address. ok is false when that is not possible, which has then been reported.
func (c *check) hostPort(key, addr string) (host string, port uint16, ok bool) {
	host, digits, err := net.SplitHostPort(addr)
	n, perr := strconv.ParseUint(digits, 10, 16)
	if err != nil || perr != nil || strings.ContainsAny(host, " \t/") {
		c.bad([]string{key}, `%q is not host:port, such as "127.0.0.1:7411" or "[::1]:7411"`, addr)
		return "", 0, false
	}
	return host, uint16(n), true
}

// address is hostPort for an address to listen on.
func (c *check) address(key, addr string) (host string, ok bool) {
	host, _, ok = c.hostPort(key, addr)
	return host, ok
}

// loopback says whether only this host can reach what listens there: 127.0.0.0/8, ::1 and the name
// localhost. An empty host means every address, and other names may mean any.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func (c *check) absolute(key, name string) {
	if !filepath.IsAbs(name) {
		c.bad([]string{key}, "%q is not an absolute path", name)
	}
}

// socket checks the path of a unix socket.
func (c *check) socket(key, name string) {
	c.absolute(key, name)
	if len(name) > 107 { // sizeof(sun_path) - 1, see unix(7)
		c.bad([]string{key}, "the path of a unix socket has at most 107 bytes, this one has %d", len(name))
	}
}

// word refuses what is empty or has spaces in it.
func (c *check) word(key, value, what string) {
	if value == "" || strings.ContainsAny(value, " \t\r\n") {
		c.bad([]string{key}, "%q is not %s", value, what)
	}
}

func (c *check) positive(key string, d Duration) {
	if d <= 0 {
		c.bad([]string{key}, "%s is not possible: want more than 0", d)
	}
}

// within checks 1 <= n <= highest; a highest of 0 means that there is none.
func (c *check) within(key string, n, highest int) {
	switch {
	case highest == 0 && n < 1:
		c.bad([]string{key}, "%d is not possible: want at least 1", n)
	case highest != 0 && (n < 1 || n > highest):
		c.bad([]string{key}, "%d is not possible: want 1 to %d", n, highest)
	}
}

// glob checks a pattern of path.Match.
func (c *check) glob(key, pattern string) bool {
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
		c.bad([]string{key}, "%q is not a pattern: use * for any text, ? for one character, [ab] for one of them", pattern)
		return false
	}
	return true
}

// command checks an argv; empty means that there is none.
func (c *check) command(key string, argv []string) {
	if len(argv) > 0 && argv[0] == "" {
		c.bad([]string{element(key, 0), key}, "the program to run is empty")
	}
	for i, a := range argv {
		if strings.ContainsRune(a, 0) {
			c.bad([]string{element(key, i), key}, "an argument can not contain a NUL byte")
		}
	}
}
