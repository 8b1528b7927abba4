//go:build !ceph

package ceph

import "errors"

// ErrWithoutCeph says that the program can not reach any Ceph cluster.
var ErrWithoutCeph = errors.New("this program was built without Ceph: build it with librados-dev installed (make build picks it up), or with go build -tags ceph")

// Built says whether the program can reach Ceph clusters.
const Built = false

// Connect returns ErrWithoutCeph: librados is not in this program.
func Connect(Access) (Cluster, error) { return nil, ErrWithoutCeph }
