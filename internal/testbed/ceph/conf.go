package ceph

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// longestDir leaves room for the names of the admin sockets within the 107 bytes of a socket's path.
	longestDir = 70

	confRoot      = "/etc/ceph"
	osdRoot       = "/var/lib/ceph/osd"
	bootstrapRoot = "/var/lib/ceph/bootstrap-osd"
)

// keys are the cephx keys of a cluster.
type keys struct {
	mon, admin, mgr, bootstrap string
	osds                       []string // by id
}

// newKey makes a cephx key. The format is CryptoKey::encode of Ceph's src/auth/Crypto.h, in base64: type
// AES (1), seconds and nanoseconds of its birth, length and 16 random bytes, all little endian.
func newKey() string {
	b := binary.LittleEndian.AppendUint16(nil, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(time.Now().Unix()))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint16(b, 16)
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails
	return base64.StdEncoding.EncodeToString(append(b, secret...))
}

// configure writes the directories, the configuration and the first keyrings.
func (c *Cluster) configure() (keys, error) {
	for _, d := range []string{"log", "run", "disks", "crash", "mon.a", "mgr.x", "bin"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, d), 0o755); err != nil {
			return keys{}, err
		}
	}
	// ceph-volume makes OSDs as the user ceph, who then writes logs and sockets.
	for _, open := range []struct {
		dir  string
		mode os.FileMode
	}{{"", 0o755}, {"log", 0o777}, {"run", 0o777}, {"crash", 0o777}} {
		if err := os.Chmod(filepath.Join(c.Dir, open.dir), open.mode); err != nil {
			return keys{}, err
		}
	}
	port, err := freePorts(2)
	if err != nil {
		return keys{}, err
	}
	c.Conf = filepath.Join(c.Dir, c.Name+".conf")
	k := keys{mon: newKey(), admin: newKey(), mgr: newKey(), bootstrap: newKey()}
	ring := entry("mon.", k.mon, "mon", "allow *") +
		entry("client.admin", k.admin, "mon", "allow *", "osd", "allow *", "mgr", "allow *") +
		entry("mgr.x", k.mgr, "mon", "allow profile mgr", "osd", "allow *") +
		entry("client.bootstrap-osd", k.bootstrap, "mon", "allow profile bootstrap-osd")
	for id := range c.opts.Hosts * c.opts.OSDsPerHost {
		k.osds = append(k.osds, newKey())
		ring += osdEntry(id, k.osds[id])
	}
	files := []struct{ path, text string }{
		{c.Conf, c.text(port)},
		{filepath.Join(c.Dir, "mkfs.keyring"), ring},
		{filepath.Join(c.Dir, "keyring"), entry("client.admin", k.admin)},
		{filepath.Join(c.Dir, "mgr.x", "keyring"), entry("mgr.x", k.mgr)},
		{bootstrapKeyring(c.Name), entry("client.bootstrap-osd", k.bootstrap)},
	}
	for _, f := range files {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
			return keys{}, err
		}
		if err := os.WriteFile(f.path, []byte(f.text), 0o600); err != nil {
			return keys{}, err
		}
	}
	if err := os.Chmod(c.Conf, 0o644); err != nil {
		return keys{}, err
	}
	if err := os.MkdirAll(confRoot, 0o755); err != nil {
		return keys{}, err
	}
	if err := os.Symlink(c.Conf, confLink(c.Name)); err != nil {
		return keys{}, err
	}
	c.monPort = port
	return k, nil
}

func confLink(name string) string         { return filepath.Join(confRoot, name+".conf") }
func bootstrapKeyring(name string) string { return filepath.Join(bootstrapRoot, name+".keyring") }

// BootstrapKeyring is the file that ceph-volume authenticates with. Tests take it away to make it fail.
func (c *Cluster) BootstrapKeyring() string { return bootstrapKeyring(c.Name) }

func entry(name, key string, caps ...string) string {
	s := fmt.Sprintf("[%s]\n\tkey = %s\n", name, key)
	for i := 0; i < len(caps); i += 2 {
		s += fmt.Sprintf("\tcaps %s = \"%s\"\n", caps[i], caps[i+1])
	}
	return s
}

func osdEntry(id int, key string) string {
	return entry(fmt.Sprintf("osd.%d", id), key, "mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *")
}

// text is the configuration. It is quick rather than careful: small intervals, so that tests need not
// wait, and no limits on recovery.
func (c *Cluster) text(port int) string {
	d := c.Dir
	global := map[string]string{
		"fsid":                                  c.FSID,
		"mon host":                              monAddress(port),
		"public addr":                           "127.0.0.1",
		"cluster addr":                          "127.0.0.1",
		"public network":                        "127.0.0.0/8",
		"ms bind ipv6":                          "false",
		"auth cluster required":                 "cephx",
		"auth service required":                 "cephx",
		"auth client required":                  "cephx",
		"auth allow insecure global id reclaim": "false",
		"run dir":                               d + "/run",
		"admin socket":                          d + "/run/$name.asok",
		"crash dir":                             d + "/crash",
		"log file":                              d + "/log/$name.log",
		"log max recent":                        "500",
		"debug ms":                              "0",
		"ms async op threads":                   "1",
		"osd pool default size":                 fmt.Sprint(c.opts.Replicas),
		"osd pool default min size":             fmt.Sprint(max(1, c.opts.Replicas-1)),
		"osd pool default pg num":               fmt.Sprint(c.opts.PGs),
		"osd pool default pg autoscale mode":    "off",
		"osd crush chooseleaf type":             "1",
		"mon max pg per osd":                    "1000",
		"mon allow pool delete":                 "true",
		"mgr initial modules":                   "iostat",
	}
	maps.Copy(global, c.opts.Conf)
	var b strings.Builder
	b.WriteString("[global]\n")
	for _, k := range slices.Sorted(maps.Keys(global)) {
		fmt.Fprintf(&b, "%s = %s\n", k, global[k])
	}
	fmt.Fprintf(&b, `[client]
keyring = %[1]s/keyring
log file =
admin socket =
[mon]
mon data = %[1]s/mon.$id
mon cluster log file = %[1]s/log/cluster.log
mon data avail warn = 1
mon data avail crit = 1
mon osd down out interval = 3600
mon osd reporter subtree level = osd
mon osd min down reporters = 1
mon osdmap full prune enabled = false
paxos propose interval = 0.1
[mgr]
mgr data = %[1]s/mgr.$id
mgr tick period = 1
mgr stats period = 1
[osd]
osd objectstore = bluestore
bluestore block create = false
bluestore block db create = false
bluestore block wal create = false
bluestore cache autotune = false
bluestore cache size = 33554432
bluestore fsck quick fix on mount = false
osd memory target = 939524096
osd crush update on start = true
osd class update on start = true
osd heartbeat interval = 1
osd heartbeat grace = 20
osd max backfills = 4
osd recovery max active = 8
osd recovery sleep = 0
osd scrub during recovery = false
osd pg stat report interval max = 0
osd op num shards = 2
osd op num threads per shard = 1
`, d)
	return b.String()
}

func monAddress(port int) string {
	return fmt.Sprintf("[v2:127.0.0.1:%d,v1:127.0.0.1:%d]", port, port+1)
}

// freePorts finds n ports in a row that nobody listens on, below those that the kernel gives to outgoing
// connections. Who listens on them a moment later can not be known; the mon then says so.
func freePorts(n int) (int, error) {
	for range 100 {
		port := 10000 + 2*mathrand.IntN(11000)
		free := true
		for i := range n {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+i))
			if err != nil {
				free = false
				break
			}
			_ = l.Close()
		}
		if free {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports in a row on 127.0.0.1 were found", n)
}
