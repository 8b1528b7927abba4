package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Directives and options of HAProxy that registries may set: they say how servers are chosen, checked and waited for. What is not here
// could read files, run programs, open sockets, load the environment, send clients elsewhere or weaken TLS. The names are those of the
// configuration manual of HAProxy 2.6, chapters 4.1, 4.2 and 5.2.
var (
	safeDirectives = strings.Fields(`backlog balance cookie fullconn hash-balance-factor hash-type http-check http-reuse max-keep-alive-queue maxconn
		mode option retries retry-on tcp-check timeout`)

	// Of those that do more than one thing, the second word decides.
	safeSecond = map[string][]string{
		"balance":    strings.Fields("roundrobin static-rr leastconn first source uri url_param hdr random rdp-cookie"),
		"http-check": strings.Fields("disable-on-404 expect send send-state"),
		"tcp-check":  strings.Fields("expect send send-binary"),
		"mode":       strings.Fields("http tcp"),
		"option": strings.Fields(`abortonclose allbackups checkcache clitcpka contstats dontlog-normal dontlognull forwardfor http-buffer-request
			http-ignore-probes http-keep-alive http-no-delay http-pretend-keepalive http-server-close httpchk httpclose httplog httpslog
			independent-streams ldap-check log-health-checks log-separate-errors logasap mysql-check nolinger originalto persist pgsql-check
			prefer-last-server redis-check redispatch smtpchk socket-stats splice-auto splice-request splice-response srvtcpka ssl-hello-chk
			tcp-check tcp-smart-accept tcp-smart-connect tcpka tcplog`),
	}

	// Options of servers, with the number of words behind each.
	safeServer = map[string]int{
		"agent-check": 0, "agent-inter": 1, "agent-port": 1, "backup": 0, "check": 0, "check-send-proxy": 0, "disabled": 0, "downinter": 1,
		"enabled": 0, "error-limit": 1, "fall": 1, "fastinter": 1, "inter": 1, "max-reuse": 1, "maxconn": 1, "maxqueue": 1, "minconn": 1,
		"non-stick": 0, "observe": 1, "on-error": 1, "on-marked-down": 1, "on-marked-up": 1, "pool-low-conn": 1, "pool-max-conn": 1,
		"pool-purge-delay": 1, "port": 1, "proto": 1, "rise": 1, "send-proxy": 0, "send-proxy-v2": 0, "slowstart": 1, "tcp-ut": 1, "weight": 1,
	}
)

// safeLine refuses a line of a frontend or a backend that no registry may say.
func safeLine(line string) error {
	if err := plain(line); err != nil {
		return err
	}
	w := strings.Fields(line)
	if len(w) > 0 && w[0] == "no" {
		w = w[1:]
	}
	if len(w) == 0 || !slices.Contains(safeDirectives, w[0]) {
		return errors.New("no registry may set this directive")
	}
	allowed, two := safeSecond[w[0]]
	if !two {
		return nil
	}
	second := ""
	if len(w) > 1 {
		second, _, _ = strings.Cut(w[1], "(")
	}
	if !slices.Contains(allowed, second) {
		return fmt.Errorf("no registry may set %s %s", w[0], second)
	}
	return nil
}

// safeOptions refuses options of servers that no registry may say.
func safeOptions(options string) error {
	if err := plain(strings.NewReplacer("%{port}", "", "%{host}", "", "%{name}", "").Replace(options)); err != nil {
		return err
	}
	w := strings.Fields(options)
	for i := 0; i < len(w); i++ {
		behind, ok := safeServer[w[i]]
		if !ok {
			return fmt.Errorf("no registry may set the option %s", w[i])
		}
		i += behind
		if i >= len(w) {
			return fmt.Errorf("%s says nothing", w[i-behind])
		}
	}
	return nil
}

// plain refuses what would be more than the words of one line to HAProxy: quotes, variables of the environment, comments, log formats, and
// escapes other than those of spaces and ends of lines.
func plain(line string) error {
	if i := strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune("\"'$#%`", r) }); i >= 0 {
		return fmt.Errorf("%q may not be in what a registry says", line[i:i+1])
	}
	for rest := line; ; {
		_, after, found := strings.Cut(rest, `\`)
		if !found {
			return nil
		}
		if after == "" || !strings.ContainsRune(" rnt", rune(after[0])) {
			return errors.New("a backslash may stand before a space, r, n and t only")
		}
		rest = after[1:]
	}
}
