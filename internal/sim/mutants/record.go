package main

import (
	"bytes"
	"fmt"
	"go/format"
	"os"
)

// write writes the known seeds as the Go file that they are compiled from, in the order of the table.
func write(path string, seeds map[string]uint64) error {
	var b bytes.Buffer
	b.WriteString("package main\n\n// caughtBy are seeds that have caught a variant before. They are tried first, and cost only time when they do so\n" +
		"// no more. Written by make mutants RECORD=yes.\nvar caughtBy = map[string]uint64{\n")
	for _, m := range Mutants {
		if seed := seeds[m.Name]; seed > 0 {
			fmt.Fprintf(&b, "\t%q: %d,\n", m.Name, seed)
		}
	}
	b.WriteString("}\n")
	src, err := format.Source(b.Bytes())
	if err != nil {
		return err
	}
	return os.WriteFile(path, src, 0o644) //nolint:gosec // source is for everybody to read
}
