package zookeeper

import (
	"bufio"
	"io"
	"time"
)

// Packets reads from a server that sends what from has, with one watch on the data of each path.
func Packets(from io.Reader, agreed func(time.Duration), paths ...string) io.Reader {
	return &packets{from: bufio.NewReader(from), agreed: agreed, broken: func(error) (all []watch) {
		for _, p := range paths {
			all = append(all, watch{path: p})
		}
		return all
	}}
}

// Connecting returns what connects a client to a server: once at first, and again after each break.
func Connecting(timeout time.Duration, random func(n time.Duration) time.Duration) func(addr string) error {
	w := &wire{timeout: timeout, random: random}
	return func(addr string) error {
		c, err := w.dial("tcp", addr, timeout)
		if err == nil {
			err = c.Close()
		}
		return err
	}
}
