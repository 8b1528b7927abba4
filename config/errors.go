package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	File    string
	Line    int    // from 1; 0 when the problem is not at any place of the file
	Col     int    // from 1, in characters
	Key     string // full name, such as probe.interval; empty when the file can not be parsed
	Message string
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Col)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	b.WriteString(": " + p.Message)
	return b.String()
}

// Errors is everything that is wrong with a configuration, in the order of the files and of the places
// in them. It is never empty.
type Errors struct {
	Problems []Problem
}

// Error has one line for each problem.
func (e *Errors) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// check collects problems while one configuration is read and judged.
type check struct {
	files      []string
	spots      map[string]spot // where each key was set last
	broken     map[string]bool // keys whose value could not be read; their old value means nothing
	unreadable bool            // a file could not be parsed
	problems   []Problem
}

// spot is a place in one of the files.
type spot struct {
	file      int
	line, col int
}

func newCheck(files []file) *check {
	c := &check{spots: map[string]spot{}, broken: map[string]bool{}}
	for _, f := range files {
		c.files = append(c.files, f.name)
	}
	return c
}

// oneLine keeps a message that quotes the file on its line.
var oneLine = strings.NewReplacer("\n", `\n`, "\r", `\r`)

// at adds a problem at a place.
func (c *check) at(s spot, key, format string, args ...any) {
	msg := oneLine.Replace(fmt.Sprintf(format, args...))
	c.problems = append(c.problems, Problem{c.files[s.file], s.line, s.col, plainKey(key), msg})
}

// bad adds a problem with the value of a key. Where the value is in conflict with others, their keys
// are named too, and the problem is placed at the first one that a file sets. Nothing is added when the
// value of any of them could not be read: that has been reported, and the conflict may not exist.
func (c *check) bad(keys []string, format string, args ...any) {
	if slices.ContainsFunc(keys, c.isBroken) {
		return
	}
	for _, k := range keys {
		if s, ok := c.spots[k]; ok {
			c.at(s, k, format, args...)
			return
		}
	}
	for up := parentKey(keys[0]); up != ""; up = parentKey(up) {
		if s, ok := c.spots[up]; ok {
			c.at(s, keys[0], format, args...)
			return
		}
	}
	c.at(spot{}, keys[0], format, args...)
}

func (c *check) isBroken(key string) bool {
	for ; key != ""; key = parentKey(key) {
		if c.broken[key] {
			return true
		}
	}
	return false
}

// err is nil, or *Errors with everything that was found.
func (c *check) err() error {
	if len(c.problems) == 0 {
		return nil
	}
	order := map[string]int{}
	for i, name := range c.files {
		order[name] = i
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(order[a.File], order[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return &Errors{c.problems}
}

// parentKey cuts the last part of a key that the schema knows: pool[1].name, pool[1], pool, nothing.
func parentKey(key string) string { return key[:max(0, strings.LastIndexAny(key, ".["))] }

var places = regexp.MustCompile(`\[[0-9]+\]`)

// plainKey leaves out the places in lists, which line and column tell better.
func plainKey(key string) string { return places.ReplaceAllString(key, "") }
