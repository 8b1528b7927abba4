package serf_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/serf/client"

	"glia"
	"glia/registry/registrytest"
	"glia/registry/serf"
)

func key(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

// keyring writes a file with the keys.
func keyring(t *testing.T, keys ...string) string {
	t.Helper()
	b, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keyring.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The key of a cluster is changed as an operator does it, by "serf keys" on one member. All members have the new one
// in their files then, whoever has it can join, and whoever has only the old one can not.
func TestAgent_RotatesTheKeysOfItsKeyring(t *testing.T) {
	t.Parallel()
	files := []string{keyring(t, key(1)), keyring(t, key(3), key(1))} // the second one can decrypt what the first one says
	seed := start(t, serf.Options{Node: "seed", KeyringFile: files[0], RPC: "127.0.0.1:0"})
	first := registrytest.Announcement("node-1", 1)
	if err := rotate(t, seed, (*client.RPCClient).InstallKey, key(3)); err != nil {
		t.Fatal(err)
	}
	o := serf.Options{Node: "node-1", KeyringFile: files[1], Join: []string{seed.Addr()}, First: &first}
	node := start(t, o)
	registrytest.Await(t, seed, "the member with both keys", func(m []glia.Member) bool { return len(m) == 1 })
	for _, step := range []struct {
		do  func(*client.RPCClient, string) (map[string]string, error)
		key string
	}{
		{(*client.RPCClient).InstallKey, key(2)}, {(*client.RPCClient).UseKey, key(2)},
		{(*client.RPCClient).RemoveKey, key(1)}, {(*client.RPCClient).RemoveKey, key(3)},
	} {
		if err := rotate(t, seed, step.do, step.key); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		var keys []string
		b, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(b, &keys)
		}
		if err != nil || !slices.Equal(keys, []string{key(2)}) {
			t.Errorf("%s has %s, %v", f, b, err)
		}
	}
	host{node}.Leave(t)
	first.Generation = 2
	start(t, o) // from its file
	registrytest.Await(t, seed, "the member after its restart", func(m []glia.Member) bool {
		return len(m) == 1 && m[0].Status == glia.MemberAlive && m[0].Announcement.Generation == 2
	})
	late := start(t, serf.Options{Node: "late", KeyringFile: keyring(t, key(1)), Join: []string{seed.Addr()}})
	untilReady(t, late, "no installed keys could decrypt the message: the encryption key of this member is not the cluster's")
}

// rotate changes keys, and again as an operator does whom not all members have answered within the time of a query, which is short
// with the timings of the tests.
func rotate(t *testing.T, a *serf.Agent, do func(*client.RPCClient, string) (map[string]string, error), key string) error {
	t.Helper()
	c, err := client.NewRPCClient(a.RPCAddr())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for began := time.Now(); ; {
		problems, err := do(c, key)
		if err != nil && strings.Contains(err.Error(), "nodes reported success") && time.Since(began) < registrytest.Patience {
			t.Logf("once more: %v", err)
			continue
		}
		for node, p := range problems {
			t.Errorf("%s: %s", node, p)
		}
		return err
	}
}
