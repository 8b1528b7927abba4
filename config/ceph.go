package config

import (
	"fmt"
	"regexp"
)

// Ceph is one [[ceph]]: a cluster whose OSDs are repaired.
type Ceph struct {
	Name        string   `toml:"name"`
	FSID        string   `toml:"fsid"`
	Conf        string   `toml:"conf"`         // absolute, on the repair host
	Keyring     string   `toml:"keyring"`      // absolute; empty: where Conf says
	User        string   `toml:"user"`         // cephx user without "client."
	ClusterName string   `toml:"cluster_name"` // of the configuration on the storage hosts
	Timeout     Duration `toml:"timeout"`      // of each command

	Deny  []string `toml:"deny"` // health checks
	Allow []string `toml:"allow"`

	Drains    int      `toml:"drains"`     // OSDs at a time; at least 1
	MovingPGs int      `toml:"moving_pgs"` // of one case; at least 1
	Latency   Duration `toml:"latency"`    // 0: not watched
	Quiet     Duration `toml:"quiet"`
	Margin    float64  `toml:"margin"` // share, 0 to below 1
}

func (r *Ceph) setDefaults() {
	*r = Ceph{
		Conf: "/etc/ceph/ceph.conf", User: "glia", ClusterName: "ceph", Timeout: seconds(10),
		Drains: 1, MovingPGs: 16, Latency: Duration(100e6), Quiet: seconds(15), Margin: 0.03,
	}
}

var (
	uuids      = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	cephNames  = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
	checkNames = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
)

func (r *Repairer) validateCeph(c *check) {
	names, fsids := map[string]bool{}, map[string]bool{}
	for i, ceph := range r.Ceph {
		at := element("ceph", i)
		c.word(at+".name", ceph.Name, "the name of a cluster")
		if names[ceph.Name] {
			c.bad([]string{at + ".name"}, "there is another cluster with the name %q", ceph.Name)
		}
		if !uuids.MatchString(ceph.FSID) {
			c.bad([]string{at + ".fsid"}, "%q is no fsid: write what ceph fsid prints", ceph.FSID)
		} else if fsids[ceph.FSID] {
			c.bad([]string{at + ".fsid"}, "there is another cluster with the fsid %s", ceph.FSID)
		}
		names[ceph.Name], fsids[ceph.FSID] = true, true
		ceph.validate(c, at)
	}
	for i, p := range r.Pools {
		if p.Driver == DriverCeph && len(r.Ceph) == 0 {
			c.bad([]string{element("pool", i) + ".driver"}, "no cluster is named: add [[ceph]]")
		}
	}
}

func (r Ceph) validate(c *check, at string) {
	c.absolute(at+".conf", r.Conf)
	if r.Keyring != "" {
		c.absolute(at+".keyring", r.Keyring)
	}
	for key, v := range map[string]string{"user": r.User, "cluster_name": r.ClusterName} {
		if !cephNames.MatchString(v) {
			c.bad([]string{at + "." + key}, "%q can not be a name: use up to 64 letters, digits, dots, dashes and underscores", v)
		}
	}
	if r.Timeout < seconds(1) {
		c.bad([]string{at + ".timeout"}, "%s is not possible: want at least 1s", r.Timeout)
	}
	for key, list := range map[string][]string{"deny": r.Deny, "allow": r.Allow} {
		for j, name := range list {
			if !checkNames.MatchString(name) {
				c.bad([]string{fmt.Sprintf("%s.%s[%d]", at, key, j), at + "." + key}, "%q is no health check, such as OSD_NEARFULL", name)
			}
		}
	}
	c.within(at+".drains", r.Drains, 0)
	c.within(at+".moving_pgs", r.MovingPGs, 0)
	if r.Latency < 0 {
		c.bad([]string{at + ".latency"}, "%s is not possible: want 0, which is not watched, or more", r.Latency)
	}
	c.positive(at+".quiet", r.Quiet)
	if !(r.Margin >= 0 && r.Margin < 1) {
		c.bad([]string{at + ".margin"}, "%v is not possible: want 0 to less than 1", r.Margin)
	}
}

func (r *Repairer) checkCephFiles(c *check) {
	for i, ceph := range r.Ceph {
		at := element("ceph", i)
		c.read(at+".conf", ceph.Conf, false)
		c.read(at+".keyring", ceph.Keyring, true)
	}
}
