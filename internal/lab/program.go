package lab

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// libraryDirs are where Debian keeps shared libraries.
var libraryDirs = []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/lib", "/usr/lib"}

// withLibraries is a program of this machine and the libraries and loader that it needs, by their paths.
func withLibraries(program string) ([]string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotInstalled, err)
	}
	out := []string{path}
	for i := 0; i < len(out); i++ {
		f, err := elf.Open(out[i])
		if err != nil {
			return nil, fmt.Errorf("see what %s needs: %w", out[i], err)
		}
		needs, err := f.ImportedLibraries()
		if p := f.Section(".interp"); p != nil && err == nil {
			var loader []byte
			if loader, err = p.Data(); err == nil && len(loader) > 1 {
				needs = append(needs, string(loader[:len(loader)-1]))
			}
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("see what %s needs: %w", out[i], err)
		}
		for _, n := range needs {
			lib, err := findLibrary(n)
			if err != nil {
				return nil, fmt.Errorf("%s of %s: %w", n, out[i], err)
			}
			if !slices.Contains(out, lib) {
				out = append(out, lib)
			}
		}
	}
	return out, nil
}

func findLibrary(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, dir := range libraryDirs {
		if p := filepath.Join(dir, name); exists(p) {
			return p, nil
		}
	}
	return "", os.ErrNotExist
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
