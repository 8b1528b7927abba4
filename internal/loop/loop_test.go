package loop_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"glia/internal/loop"
)

func TestLoop_AttachesListsAndDetaches(t *testing.T) {
	t.Parallel()
	if err := loop.Usable(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "disk.img")
	content := bytes.Repeat([]byte("glia"), 1024)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := loop.Attach(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = loop.Detach(d) })
	if got, err := os.ReadFile(d.Path()); err != nil || !bytes.Equal(got, content) {
		t.Errorf("read %d bytes of the device, %v", len(got), err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if list, err := loop.Below(dir); err != nil || len(list) != 1 || list[0] != d {
		t.Errorf("list %v, %v; want %v", list, err, d)
	}
	if list, err := loop.Below(dir + "x"); err != nil || len(list) != 0 {
		t.Errorf("devices of another directory: %v, %v", list, err)
	}
	for range 2 {
		if err := loop.Detach(d); err != nil {
			t.Fatal(err)
		}
	}
	if list, _ := loop.Below(dir); len(list) != 0 {
		t.Errorf("left behind: %v", list)
	}
	// Somebody else's file on the same device is left alone.
	other := d
	if other.Seq == 0 {
		t.Skip("this kernel does not number its devices")
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err = loop.Attach(file); err != nil {
		t.Fatal(err)
	}
	other.Name = d.Name
	if err := loop.Detach(other); err != nil {
		t.Error(err)
	}
	if list, _ := loop.Below(dir); len(list) != 1 {
		t.Error("the device of another was detached")
	}
	if _, err := loop.Attach(filepath.Join(dir, "absent")); err == nil {
		t.Error("an absent file was attached")
	}
}
