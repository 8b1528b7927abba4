//go:build ceph

package dev

import (
	"fmt"

	"github.com/ceph/go-ceph/rados"
)

// answerSeconds is how long the cluster may take to answer a read, until that counts as failed.
const answerSeconds = "30"

// openPool connects to a cluster as its administrator.
func openPool(conf, name string) (pool, error) {
	conn, err := rados.NewConnWithUser("admin")
	if err != nil {
		return nil, fmt.Errorf("use librados: %w", err)
	}
	for _, step := range []func() error{
		func() error { return conn.ReadConfigFile(conf) },
		func() error { return conn.SetConfigOption("rados_osd_op_timeout", answerSeconds) },
		func() error { return conn.SetConfigOption("client_mount_timeout", answerSeconds) },
		conn.Connect,
	} {
		if err := step(); err != nil {
			conn.Shutdown()
			return nil, fmt.Errorf("connect to the cluster of %s: %w", conf, err)
		}
	}
	io, err := conn.OpenIOContext(name)
	if err != nil {
		conn.Shutdown()
		return nil, fmt.Errorf("open pool %s: %w", name, err)
	}
	return radosPool{conn, io}, nil
}

type radosPool struct {
	conn *rados.Conn
	io   *rados.IOContext
}

func (p radosPool) Put(name string, content []byte) error {
	if err := p.io.WriteFull(name, content); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (p radosPool) Get(name string, buf []byte) (int, error) {
	n, err := p.io.Read(name, buf, 0)
	if err != nil {
		return n, fmt.Errorf("read %s: %w", name, err)
	}
	return n, nil
}

func (p radosPool) Close() {
	p.io.Destroy()
	p.conn.Shutdown()
}
