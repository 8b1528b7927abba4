package ceph

import "time"

// Access is how a cluster is reached.
type Access struct {
	Conf    string        // ceph.conf of the cluster, on the repair host
	Keyring string        // file with the key of the user; empty: where the conf says
	User    string        // cephx user without "client."
	Timeout time.Duration // of connecting, and of each command
}
