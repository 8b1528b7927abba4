package config

import (
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Postgres says whether the database is a PostgreSQL URL, and not a SQLite file.
func (r Repairer) Postgres() bool {
	return strings.HasPrefix(r.Database, "postgres://") || strings.HasPrefix(r.Database, "postgresql://")
}

// Lease is the section [lease]: how the repairers on one PostgreSQL take turns. A SQLite file needs none.
type Lease struct {
	TTL   Duration `toml:"ttl"`   // shortestLease to longestLease
	Renew Duration `toml:"renew"` // shortestRenew to a third of TTL, which is too much
}

// Bounds of a lease. A shorter one is lost whenever the database is a little slow; in a longer one nobody acts for
// too long after the leader has died.
const (
	shortestLease = Duration(2 * time.Second)
	longestLease  = Duration(10 * time.Minute)
	shortestRenew = Duration(100 * time.Millisecond)
)

func (l Lease) validate(c *check) {
	if l.TTL < shortestLease || l.TTL > longestLease {
		c.bad([]string{"lease.ttl"}, "%s is not possible: want %s to %s", l.TTL, shortestLease, longestLease)
	}
	if l.Renew < shortestRenew {
		c.bad([]string{"lease.renew"}, "%s is not possible: want at least %s", l.Renew, shortestRenew)
	} else if l.TTL >= shortestLease && l.Renew >= (l.TTL+2)/3 {
		c.bad([]string{"lease.renew", "lease.ttl"}, "a lease of %s that is renewed every %s is lost by one answer that does not come: want less than a third of lease.ttl", l.TTL, l.Renew)
	}
}

// validateDatabase makes sure that no password is where it would be logged or read by others, and that nobody
// between here and the database can make up approvals.
func (r *Repairer) validateDatabase(c *check) {
	if !r.Postgres() {
		if scheme, _, ok := strings.Cut(r.Database, "://"); ok {
			c.bad([]string{"database"}, "%q is no database: use postgres:// or the absolute path of a SQLite file", scheme+"://…")
			return
		}
		c.absolute("database", r.Database)
		if !r.DatabasePassword.IsZero() {
			c.bad([]string{"database_password", "database"}, "a SQLite file has no password")
		}
		return
	}
	u, err := url.Parse(r.Database)
	if err != nil { // the error quotes the text, which may hold a password
		c.bad([]string{"database"}, "is no URL such as postgres://glia@db-1/glia?sslmode=verify-full")
		return
	}
	q := u.Query()
	if _, set := u.User.Password(); set || q.Has("password") {
		c.bad([]string{"database"}, "has a password in it, which would get into logs: put it into a file of mode 0600 and name that in database_password")
		return
	}
	if mode := q.Get("sslmode"); mode == "verify-full" || mode == "verify-ca" {
		return
	}
	hosts := u.Host
	if q.Has("host") {
		hosts = q.Get("host")
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if !stays(host) {
			c.bad([]string{"database"}, "%s is another host, and anybody in between could make up approvals: add sslmode=verify-full", host)
			return
		}
	}
}

// stays says whether a host of a database URL is this host: loopback, or the folder of a unix socket, which
// is also what an empty one means.
func stays(host string) bool {
	if host == "" || strings.HasPrefix(host, "/") || loopback(host) {
		return true
	}
	if a, err := netip.ParseAddrPort(host); err == nil {
		return a.Addr().IsLoopback()
	}
	name, _, _ := strings.Cut(host, ":")
	return loopback(strings.Trim(host, "[]")) || loopback(name)
}

func (r *Repairer) checkDatabasePassword(c *check) {
	checkSecret(c, "database_password", r.DatabasePassword)
}
