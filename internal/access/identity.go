package access

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net"
	"net/http"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"glia/config"
)

// kind is how it is known who calls.
type kind int

const (
	nobody      kind = iota // a socket whose peer the kernel does not tell
	loopback                // a loopback address without TLS: any user of this host
	socket                  // a unix socket, by the kernel
	certificate             // TLS, by the certificate
)

// Identity is who calls, as far as it is proven.
type Identity struct {
	kind  kind
	label string
	names []string    // that patterns are compared with
	role  config.Role // that the certificate carries; empty: none
	root  bool
}

// String is who it is for people: certificate ann, user ann, or some user of this host.
func (i Identity) String() string {
	switch i.kind {
	case certificate:
		return "certificate " + i.label
	case socket:
		return "user " + i.label
	case loopback:
		return "some user of this host"
	}
	return "somebody unknown"
}

// Label is whose certificate it is, or the name of the user.
func (i Identity) Label() string { return i.label }

// Names are all names that the patterns of a configuration are compared with.
func (i Identity) Names() []string { return slices.Clone(i.names) }

// Carries is the role that the certificate itself carries; empty for none.
func (i Identity) Carries() config.Role { return i.role }

// Proven says whether the identity is that of one user or certificate.
func (i Identity) Proven() bool { return i.kind == socket || i.kind == certificate }

// RoleURI is what, with one of the roles behind it, a certificate carries its role as.
const RoleURI = "glia:role:"

// OfCertificate is the identity of who presents a certificate.
func OfCertificate(c *x509.Certificate) Identity {
	id := Identity{kind: certificate}
	add := func(names ...string) {
		for _, n := range names {
			if n != "" && !config.OfHost(n) && !slices.Contains(id.names, n) {
				id.names = append(id.names, n)
			}
		}
	}
	add(c.EmailAddresses...)
	add(c.Subject.CommonName)
	for _, u := range c.URIs {
		name := u.String()
		text, carries := strings.CutPrefix(name, RoleURI)
		if !carries {
			add(name)
			continue
		}
		var r config.Role
		if r.UnmarshalText([]byte(text)) != nil || id.role != "" && id.role != r {
			r = config.RoleNone // one that is not understood, or several, are no reason to take it for one of the others
		}
		id.role = r
	}
	add(c.DNSNames...)
	for _, ip := range c.IPAddresses {
		add(ip.String())
	}
	if len(id.names) > 0 {
		id.label = id.names[0]
		return id
	}
	sum := sha256.Sum256(c.Raw)
	id.label = hex.EncodeToString(sum[:])
	return id
}

// ofUser is the identity of a process at the other end of a unix socket.
func ofUser(uid, gid uint32) Identity {
	number := strconv.FormatUint(uint64(uid), 10)
	id := Identity{kind: socket, label: number, root: uid == 0, names: []string{config.UserPrefix + number}}
	groups := []string{strconv.FormatUint(uint64(gid), 10)}
	if u, err := user.LookupId(number); err == nil {
		id.label = u.Username
		id.names = append(id.names, config.UserPrefix+u.Username)
		if more, err := u.GroupIds(); err == nil {
			groups = append(groups, more...)
		}
	}
	slices.Sort(groups)
	for _, g := range slices.Compact(groups) {
		id.names = append(id.names, config.GroupPrefix+g)
		if known, err := user.LookupGroupId(g); err == nil {
			id.names = append(id.names, config.GroupPrefix+known.Name)
		}
	}
	return id
}

type peerKey struct{}

// Peer adds to the context of a connection who is at its other end, where the kernel knows it. It is for
// http.Server.ConnContext.
func Peer(ctx context.Context, c net.Conn) context.Context {
	sc, ok := c.(syscall.Conn)
	if !ok || c.LocalAddr().Network() != "unix" {
		return ctx
	}
	id := Identity{}
	if raw, err := sc.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { // without an answer it is nobody
			if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
				id = ofUser(cred.Uid, cred.Gid)
			}
		})
	}
	return context.WithValue(ctx, peerKey{}, id)
}

// identify says who sends a request.
func identify(r *http.Request) Identity {
	if r.TLS != nil {
		if len(r.TLS.PeerCertificates) == 0 {
			return Identity{}
		}
		return OfCertificate(r.TLS.PeerCertificates[0])
	}
	if id, ok := r.Context().Value(peerKey{}).(Identity); ok {
		return id
	}
	return Identity{kind: loopback}
}
