package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxSize is far beyond any real configuration. A larger file is some other file, given by mistake.
const maxSize = 1 << 20 // bytes

// file is one source of a configuration.
type file struct {
	name string
	data []byte
}

// readFiles reads the file and its drop-ins, in the order in which they apply.
func readFiles(path string) ([]file, error) {
	names, problems := []string{path}, []Problem(nil)
	dir := strings.TrimSuffix(path, ".toml") + ".d"
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		problems = append(problems, Problem{File: dir, Message: cause(err)})
	}
	for _, e := range entries {
		// Names that start with a dot are left there by editors and package managers.
		if name := e.Name(); filepath.Ext(name) == ".toml" && !strings.HasPrefix(name, ".") {
			names = append(names, filepath.Join(dir, name))
		}
	}
	var files []file
	for _, name := range names {
		data, err := readFile(name)
		if err != nil {
			problems = append(problems, Problem{File: name, Message: cause(err)})
			continue
		}
		files = append(files, file{name, data})
	}
	if problems != nil {
		return nil, &Errors{problems}
	}
	return files, nil
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	if info.Size() > maxSize {
		return nil, errors.New("is larger than 1 MiB, which no configuration is")
	}
	return os.ReadFile(name)
}

// cause leaves out the path, which is said already.
func cause(err error) string {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
