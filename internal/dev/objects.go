package dev

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// pool is a pool of a cluster, as a client uses it. It is safe for concurrent use.
type pool interface {
	Put(name string, content []byte) error
	// Get fills the buffer with the object and returns its length.
	Get(name string, buf []byte) (int, error)
	Close()
}

const (
	objectCount = 256
	objectSize  = 1 << 20 // bytes
	readers     = 4
	readPause   = 200 * time.Millisecond // of each reader, between two objects
)

// client is one that uses the cluster while a disk is repaired: it reads objects again and again and
// compares them with what it has written. It is safe for concurrent use.
type client struct {
	pool pool
	sums [][sha256.Size]byte // by object

	mu    sync.Mutex
	tally tally
}

// tally is what a client has met.
type tally struct {
	reads   int
	failed  int // the cluster answered with an error, or not in time
	wrong   int // it answered with something else than was written
	slowest time.Duration
	example string // the first trouble
}

func (t tally) String() string {
	s := fmt.Sprintf("%d reads of objects, each compared by checksum: %d failed, %d were wrong; the slowest took %.1f s", t.reads, t.failed, t.wrong, t.slowest.Seconds())
	if t.example != "" {
		s += "; the first trouble: " + t.example
	}
	return s
}

// trouble is an error when any read failed or was wrong.
func (t tally) trouble() error {
	if t.failed+t.wrong == 0 {
		return nil
	}
	return fmt.Errorf("the client was not served as it should be: %s", t)
}

func objectName(i int) string { return fmt.Sprintf("object-%03d", i) }

// newClient writes n objects of random content.
func newClient(ctx context.Context, p pool, n, size int) (*client, error) {
	c := &client{pool: p, sums: make([][sha256.Size]byte, n)}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i := range n {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			var seed [32]byte
			for j := range seed {
				seed[j] = byte(rand.Uint32())
			}
			content := make([]byte, size)
			_, _ = rand.NewChaCha8(seed).Read(content) // never fails
			c.sums[i] = sha256.Sum256(content)
			return p.Put(objectName(i), content)
		})
	}
	return c, g.Wait()
}

// run reads until the context ends.
func (c *client) run(ctx context.Context) {
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			t := time.NewTicker(readPause)
			defer t.Stop()
			buf := make([]byte, objectSize+1) // so that one that has become longer is noticed
			for {
				select {
				case <-ctx.Done():
					return
				case <-t.C:
					c.read(rand.IntN(len(c.sums)), buf)
				}
			}
		})
	}
	all.Wait()
}

func (c *client) read(i int, buf []byte) {
	begun := time.Now()
	n, err := c.pool.Get(objectName(i), buf)
	took := time.Since(begun)
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.tally
	t.reads++
	t.slowest = max(t.slowest, took)
	trouble := ""
	switch {
	case err != nil:
		t.failed++
		trouble = err.Error()
	case sha256.Sum256(buf[:n]) != c.sums[i]:
		t.wrong++
		trouble = fmt.Sprintf("%s has %d bytes with another checksum", objectName(i), n)
	}
	if t.example == "" {
		t.example = trouble
	}
}

// met is what the client has met until now.
func (c *client) met() tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tally
}
