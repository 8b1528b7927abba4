//go:build !ceph

package dev

import "glia/repairer/storage/ceph"

// openPool returns the error that there is no librados in this program.
func openPool(string, string) (pool, error) { return nil, ceph.ErrWithoutCeph }
