package ceph

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"maps"
)

// Objects are the checksums of objects by name.
type Objects map[string][sha256.Size]byte

// writers bounds the rados commands that run at the same time.
const writers = 4

// Write puts n objects with random content of size bytes into the cluster's pool. Their names begin with
// the prefix.
func (c *Cluster) Write(ctx context.Context, prefix string, n, size int) (Objects, error) {
	out := Objects{}
	var names []string
	content := map[string][]byte{}
	for i := range n {
		name := fmt.Sprintf("%s%04d", prefix, i)
		var seed [32]byte
		copy(seed[:], fmt.Sprint(c.Name, name, rand.Uint64()))
		b := make([]byte, size)
		_, _ = rand.NewChaCha8(seed).Read(b) // never fails
		names, content[name], out[name] = append(names, name), b, sha256.Sum256(b)
	}
	return out, each(names, func(name string) error {
		_, err := c.tool(ctx, content[name], "rados", "--cluster", c.Name, "-p", c.Pool, "put", name, "-")
		return err
	})
}

// Verify reads all objects and compares them with what was written.
func (c *Cluster) Verify(ctx context.Context, want Objects) error {
	dir, err := os.MkdirTemp(c.Dir, "verify-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return each(slices.Sorted(maps.Keys(want)), func(name string) error {
		file := filepath.Join(dir, name)
		if _, err := c.tool(ctx, nil, "rados", "--cluster", c.Name, "-p", c.Pool, "get", name, file); err != nil {
			return err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		_ = os.Remove(file) // the directory goes at the end
		if sha256.Sum256(b) != want[name] {
			return fmt.Errorf("object %s is not what was written (%d bytes)", name, len(b))
		}
		return nil
	})
}

// each calls f for every name, some at a time, and returns all errors.
func each(names []string, f func(string) error) error {
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, len(names))
	for range min(writers, len(names)) {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(names) {
					return
				}
				errs[i] = f(names[i])
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (c *Cluster) createPool(ctx context.Context) error {
	n := fmt.Sprint(c.opts.PGs)
	return c.script(ctx, fmt.Sprintf("osd pool create %[1]s %[2]s %[2]s replicated\nosd pool application enable %[1]s rados\n", c.Pool, n))
}
