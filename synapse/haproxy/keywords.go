package haproxy

import (
	"fmt"
	"strings"
)

// The directives of a section "listen" and where they belong, by the tables of keywords in HAProxy's configuration manual: up to 1.6,
// as synapse has them, and from there to 2.6.
const (
	both = `acl bind-process block compression description disabled enabled errorfile errorloc errorloc302 errorloc303
force-persist grace http-request http-response id ignore-persist log log-tag mode no+log redirect
email-alert+from email-alert+level email-alert+mailers email-alert+myhostname email-alert+to
reqadd reqallow reqdel reqdeny reqiallow reqidel reqideny reqipass reqirep reqisetbe reqitarpit reqpass reqrep reqsetbe reqtarpit
rspadd rspdel rspdeny rspidel rspideny rspirep rsprep
stats+admin stats+auth stats+enable stats+hide-version stats+http-request stats+realm stats+refresh stats+scope stats+show-desc
stats+show-legends stats+show-node stats+uri
tcp-request+content tcp-request+inspect-delay timeout+http-keep-alive timeout+http-request timeout+tarpit
errorfiles filter http-after-response http-error stats+show-modules`
	bothOptions = `forceclose forwardfor http-buffer-request http-keep-alive http-no-delay http-pretend-keepalive http-server-close
http-tunnel httpclose httplog http_proxy independent-streams nolinger originalto splice-auto splice-request splice-response tcpka tcplog
http-restrict-req-hdr-names`
	frontendOnly = `backlog bind capture+cookie capture+request+header capture+response+header clitimeout declare+capture default_backend
log-format log-format-sd maxconn monitor+fail monitor-net monitor-uri rate-limit+sessions tcp-request+connection timeout+client
timeout+client-fin timeout+clitimeout unique-id-format unique-id-header use_backend
clitcpka-cnt clitcpka-idle clitcpka-intvl error-log-format max-session-srv-conns tcp-request+session timeout+client-hs`
	frontendOptions = `accept-invalid-http-request clitcpka contstats dontlog-normal dontlognull http-ignore-probes http-use-proxy-header
log-separate-errors logasap socket-stats tcp-smart-accept
disable-h2-upgrade h1-case-adjust-bogus-client httpslog idle-close-on-response`
	backendOnly = `appsession balance contimeout cookie default-server dispatch fullconn hash-type http-check+disable-on-404 http-check+expect
http-check+send-state http-send-name-header http-reuse load-server-state-from-file max-keep-alive-queue external-check+command
external-check+path persist+rdp-cookie redisp redispatch retries server server-state-file-name source srvtimeout stick+match stick+on
stick+store-request stick+store-response stick-table tcp-check+connect tcp-check+expect tcp-check+send tcp-check+send-binary
tcp-response+content tcp-response+inspect-delay timeout+check timeout+connect timeout+contimeout timeout+queue timeout+server
timeout+server-fin timeout+srvtimeout timeout+tunnel transparent use-server
hash-balance-factor http-check+comment http-check+connect http-check+send http-check+set-var http-check+set-var-fmt http-check+unset-var
retry-on server-template srvtcpka-cnt srvtcpka-idle srvtcpka-intvl tcp-check+comment tcp-check+send-lf tcp-check+send-binary-lf
tcp-check+set-var tcp-check+set-var-fmt tcp-check+unset-var use-fcgi-app`
	backendOptions = `abortonclose accept-invalid-http-response allbackups allredisp checkcache httpchk lb-agent-chk ldap-check external-check
log-health-checks mysql-check pgsql-check persist prefer-last-server redispatch redis-check smtpchk srvtcpka ssl-hello-chk tcp-check
tcp-smart-connect transparent
h1-case-adjust-bogus-server spop-check`
)

// place says in which of the two sections a directive stands.
type place struct{ frontend, backend bool }

var places = func() map[string]place {
	out := map[string]place{}
	for _, t := range []struct {
		words   string
		options bool
		place   place
	}{
		{both, false, place{true, true}}, {bothOptions, true, place{true, true}},
		{frontendOnly, false, place{frontend: true}}, {frontendOptions, true, place{frontend: true}},
		{backendOnly, false, place{backend: true}}, {backendOptions, true, place{backend: true}},
	} {
		for w := range strings.FieldsSeq(t.words) {
			w = strings.ReplaceAll(w, "+", " ")
			if t.options {
				out["option "+w], out["no option "+w] = t.place, t.place
				continue
			}
			out[w] = t.place
		}
	}
	return out
}()

// longestKeyword is the number of words in the longest keyword.
const longestKeyword = 3

// Split says which lines of a listen list go into the frontend and which into the backend; many go into both. A line that is in no table
// of HAProxy's manual is an error: it must be written into the list of the section where it belongs.
func Split(listen []string) (frontend, backend []string, err error) {
	for _, line := range listen {
		p, ok := placeOf(line)
		if !ok {
			return nil, nil, fmt.Errorf("%q is no directive whose place is known: move it from listen to frontend or backend", line)
		}
		if p.frontend {
			frontend = append(frontend, line)
		}
		if p.backend {
			backend = append(backend, line)
		}
	}
	return frontend, backend, nil
}

// placeOf looks for the keyword that has the most words.
func placeOf(line string) (p place, ok bool) {
	words := strings.Fields(strings.ToLower(line))
	for n := min(longestKeyword, len(words)); n > 0 && !ok; n-- {
		p, ok = places[strings.Join(words[:n], " ")]
	}
	return p, ok
}
