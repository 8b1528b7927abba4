package main

import (
	"go/parser"
	"go/token"
	"testing"
)

// Each line to break stands in the code exactly once, and what takes its place is Go.
func TestMutants_MatchTheCode(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, m := range Mutants {
		if seen[m.Name] {
			t.Errorf("two variants are called %q", m.Name)
		}
		seen[m.Name] = true
		files, err := Mutated("../../..", m)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
		for name, src := range files {
			if _, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution); err != nil {
				t.Errorf("%s: %v", m.Name, err)
			}
		}
	}
}
