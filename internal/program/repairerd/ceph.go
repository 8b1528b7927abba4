package repairerd

import (
	"fmt"
	"log/slog"
	"time"

	"glia/config"
	"glia/repairer"
	"glia/repairer/storage/ceph"
)

// lookFresh is how old what is known of a Ceph cluster may be, when nothing is changed by it.
const lookFresh = 2 * time.Second

// cephDriver is the driver of all clusters that are configured. Nothing is sent to them yet.
func cephDriver(clusters []config.Ceph, hosts repairer.Hosts, log *slog.Logger) (*ceph.Driver, error) {
	var out []ceph.Settings
	for _, c := range clusters {
		s, err := CephSettings(c)
		if err != nil {
			return nil, fmt.Errorf("cluster %s: %w", c.Name, err)
		}
		out = append(out, s)
	}
	return ceph.New(hosts, out, time.Now, log), nil
}

// CephSettings are what the driver knows of a configured cluster. The error is ceph.ErrWithoutCeph.
func CephSettings(c config.Ceph) (ceph.Settings, error) {
	conn, err := ceph.Connect(ceph.Access{Conf: c.Conf, Keyring: c.Keyring, User: c.User, Timeout: time.Duration(c.Timeout)})
	return ceph.Settings{
		Name: c.Name, FSID: c.FSID, HostName: c.ClusterName, Cluster: conn,
		Policy: ceph.Policy{Deny: c.Deny, Allow: c.Allow},
		Pacing: ceph.Pacing{PGs: c.MovingPGs, Latency: time.Duration(c.Latency), Quiet: time.Duration(c.Quiet)},
		Margin: c.Margin, Drains: c.Drains, Fresh: lookFresh,
	}, err
}
