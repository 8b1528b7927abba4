package ceph

import "context"

// T is what of testing.TB a cluster needs.
type T interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Skip(args ...any)
	Fatal(args ...any)
	Error(args ...any)
}

// For starts a cluster for one test, and closes it after the test, also after a failed one. Without root
// the test is skipped.
func For(t T, o Options) *Cluster {
	t.Helper()
	if err := rootNeeded(); err != nil {
		t.Skip(err)
	}
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error("close the cluster: ", err)
		}
	})
	return c
}
