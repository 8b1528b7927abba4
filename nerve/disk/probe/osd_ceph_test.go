//go:build ceph

package probe_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/internal/testbed/ceph"
	"glia/nerve/disk/adminsocket"
	"glia/nerve/disk/probe"
)

func TestOSD_RealDaemon(t *testing.T) {
	t.Parallel()
	c := ceph.For(t, ceph.Options{Hosts: 1, OSDsPerHost: 1, Replicas: 1, Conf: map[string]string{
		"osd op complaint time": "0.000001", "osd op history slow op threshold": "0.000001"}})
	ctx := t.Context()
	run := filepath.Join(c.Dir, "run")
	source := &probe.OSD{Sockets: []string{filepath.Join(run, "*.{id}.asok")}}
	var dump struct {
		OSDs []struct {
			UUID string `json:"uuid"`
		} `json:"osds"`
	}
	if err := c.JSON(ctx, &dump, "osd", "dump"); err != nil || len(dump.OSDs) != 1 {
		t.Fatal(dump, err)
	}
	d := glia.Disk{OSDs: []glia.OSD{{ID: 0, UUID: dump.OSDs[0].UUID, Role: glia.RoleBlock}, {ID: 1, UUID: "x", Role: glia.RoleDB}}}

	rados := func(ctx context.Context, args ...string) error {
		return exec.CommandContext(ctx, "rados", append([]string{"--cluster", c.Name, "-c", c.Conf, "-p", c.Pool}, args...)...).Run()
	}
	file := filepath.Join(t.TempDir(), "object")
	mark := bytes.Repeat([]byte("glia was here. "), 20_000)
	write(t, file, string(mark))
	if err := rados(ctx, "put", "o", file); err != nil {
		t.Fatal(err)
	}
	got := source.Probe(ctx, d)
	if !strings.HasPrefix(say(got), "osd.read_errors=0 osd.spurious_reads=0 osd.slow_ops") {
		t.Errorf("%s\n%s", say(got), details(got))
	}

	// The data is damaged on the disk. Nobody has another copy, so the client waits.
	damageIn(t, c.Disks("h0")[0].File, mark[:4096])
	for deadline := time.Now().Add(time.Minute); ; {
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := rados(short, "get", "o", file)
		cancel()
		if err == nil {
			t.Fatal("damaged data was read")
		}
		got = source.Probe(ctx, d)
		if !strings.HasPrefix(say(got), "osd.read_errors=0") && strings.Contains(details(got), "I/O errors at reading since it started") && strings.Contains(details(got), "of osd.0 took too long, up to ") {
			break
		}
		if time.Now().After(deadline) { // a busy client may not come to its read within five seconds
			t.Fatalf("%s\n%s", say(got), details(got))
		}
	}
	t.Log(say(got), details(got))

	// Another OSD has got the id: nothing is told of it.
	d.OSDs[0].UUID = "00000000-0000-0000-0000-000000000000"
	if got := source.Probe(ctx, d); say(got) != "osd.read_errors?" || !strings.Contains(details(got), "osd.0 has no admin socket at") {
		t.Errorf("%s\n%s", say(got), details(got))
	}
	d.OSDs[0].UUID = dump.OSDs[0].UUID
	if err := c.KillOSD(ctx, 0); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if got := source.Probe(ctx, d); say(got) != "osd.read_errors?" || !strings.Contains(details(got), "connection refused") || time.Since(began) > 10*time.Second {
		t.Errorf("%s\n%s", say(got), details(got))
	}
	if _, err := adminsocket.Ask(ctx, filepath.Join(run, "osd.0.asok"), "status"); err == nil {
		t.Error("a dead daemon answers")
	}
}

// damageIn overwrites the first place of a file where the pattern is.
func damageIn(t *testing.T, file string, pattern []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 1<<20+len(pattern))
	for at := int64(0); ; at += 1 << 20 {
		n, err := f.ReadAt(buf, at)
		if i := bytes.Index(buf[:n], pattern); i >= 0 {
			if _, err := f.WriteAt(make([]byte, len(pattern)), at+int64(i)); err != nil {
				t.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
			return
		}
		if err != nil {
			t.Fatal("the pattern is not there: ", err)
		}
	}
}
