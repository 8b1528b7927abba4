package lab

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// modules are loaded at boot, and what they need before them. crc32c_generic is what ext4, XFS and MD ask
// the kernel's crypto for by name, which it would call modprobe for.
var modules = []string{
	"virtio_pci", "virtio_net", "virtio_rng", "virtio_scsi", "nvme", "ahci", "sd_mod", "sg",
	"crc32c_generic", "ext4", "xfs", "dm_mod", "dm_snapshot", "dm_flakey", "raid1",
}

// onDemand are modules that are put into the machine and not loaded; see Machine.Load.
var onDemand = []string{"scsi_debug"}

// moduleTree is where the kernel's modules lie, by the name that the kernel knows them by.
func moduleTree(root string) (map[string]string, error) {
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok && err == nil {
			found[moduleName(name)] = path
		}
		return err
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("no modules below %s: %w", root, ErrNotInstalled)
	}
	return found, err
}

// moduleName writes a name as the kernel does: file names may have dashes for underscores.
func moduleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// inOrder is the files of the named modules and of all that they depend on, each behind what it needs. A
// module that is not in the tree is taken to be built into the kernel only when another one asks for it.
func inOrder(tree map[string]string, names []string) ([]string, error) {
	var out []string
	var add func(name string) error
	add = func(name string) error {
		path, ok := tree[name]
		if !ok || slices.Contains(out, path) {
			return nil
		}
		needs, err := dependsOn(path)
		if err != nil {
			return err
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return err
			}
		}
		out = append(out, path)
		return nil
	}
	for _, n := range names {
		if _, ok := tree[n]; !ok {
			return nil, fmt.Errorf("the kernel has no module %s", n)
		}
		if err := add(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// dependsOn reads what a module's own section .modinfo says of the modules that it needs.
func dependsOn(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the module %s: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	s := f.Section(".modinfo")
	if s == nil {
		return nil, fmt.Errorf("read the module %s: it has no .modinfo", path)
	}
	info, err := s.Data()
	if err != nil {
		return nil, fmt.Errorf("read the module %s: %w", path, err)
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(list) > 0 {
			return strings.Split(moduleName(string(list)), ","), nil
		}
	}
	return nil, nil
}
