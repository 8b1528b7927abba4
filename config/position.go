package config

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// maxDepth is how deeply values may nest before keys inside get no position of their own.
const maxDepth = 64

// positions finds where each key of a TOML document is written, because the TOML library does not
// tell. A key is named by its full path, parts quoted where TOML needs it, and elements of lists by
// their number from 0: pool[1].name. The offsets are in bytes.
//
// It is exact for documents that the TOML library accepts. For others it stops at the first thing that
// it does not understand; it never panics.
func positions(src string) map[string]int {
	s := scanner{src: src, found: map[string]int{}, tables: map[string]int{}}
	table := ""
	for s.blank(true); s.pos < len(s.src); s.blank(true) {
		var ok bool
		switch {
		case s.accept("[["):
			table, ok = s.key("", true)
		case s.accept("["):
			table, ok = s.key("", false)
		default:
			ok = s.keyValue(table, 0)
		}
		if !ok {
			break
		}
		for s.accept("]") {
		}
	}
	return s.found
}

type scanner struct {
	src    string
	pos    int
	found  map[string]int
	tables map[string]int // how often each [[table]] was opened
}

// key reads a dotted key below base and records each part of it. In the header of a list of tables it
// opens the next element. It returns the full path.
func (s *scanner) key(base string, list bool) (path string, ok bool) {
	path = base
	for {
		s.blank(false)
		at := s.pos
		part, ok := s.keyPart()
		if !ok {
			return "", false
		}
		path = join(path, part)
		s.blank(false)
		more := s.accept(".")
		if _, known := s.found[path]; !known || !more && !list {
			s.found[path] = at
		}
		if list && !more {
			s.tables[path]++
		}
		// Below a list of tables, a key belongs to the element that was opened last.
		if n := s.tables[path]; n > 0 {
			path = element(path, n-1)
			if list && !more {
				s.found[path] = at
			}
		}
		if !more {
			return path, true
		}
	}
}

func (s *scanner) keyPart() (string, bool) {
	start := s.pos
	if s.peek('"') || s.peek('\'') {
		if !s.quoted(s.src[s.pos : s.pos+1]) {
			return "", false
		}
		// The library knows the escapes.
		var doc struct{ K string }
		if _, err := toml.Decode("K="+s.src[start:s.pos], &doc); err != nil {
			return "", false
		}
		return doc.K, true
	}
	for s.pos < len(s.src) && isBare(s.src[s.pos]) {
		s.pos++
	}
	return s.src[start:s.pos], s.pos > start
}

func (s *scanner) keyValue(base string, depth int) bool {
	path, ok := s.key(base, false)
	return ok && s.accept("=") && s.value(path, depth)
}

func (s *scanner) value(path string, depth int) bool {
	s.blank(false)
	switch {
	case s.peek('"') || s.peek('\''):
		quote := s.src[s.pos : s.pos+1]
		if long := strings.Repeat(quote, 3); strings.HasPrefix(s.src[s.pos:], long) {
			return s.quoted(long)
		}
		return s.quoted(quote)
	case depth >= maxDepth:
		return false
	case s.accept("["):
		return s.list(path, depth+1)
	case s.accept("{"):
		return s.inlineTable(path, depth+1)
	}
	// A number, a date or a boolean.
	n := strings.IndexAny(s.src[s.pos:], ",]}#\n")
	if n < 0 {
		n = len(s.src) - s.pos
	}
	s.pos += n
	return n > 0
}

func (s *scanner) list(path string, depth int) bool {
	for i := 0; ; i++ {
		s.blank(true)
		if s.accept("]") {
			return true
		}
		s.found[element(path, i)] = s.pos
		if !s.value(element(path, i), depth) {
			return false
		}
		s.blank(true)
		if !s.accept(",") && !s.peek(']') {
			return false
		}
	}
}

func (s *scanner) inlineTable(path string, depth int) bool {
	for {
		s.blank(true)
		if s.accept("}") {
			return true
		}
		if !s.keyValue(path, depth) {
			return false
		}
		s.blank(true)
		if !s.accept(",") && !s.peek('}') {
			return false
		}
	}
}

// quoted reads a string that starts and ends with the delimiter.
func (s *scanner) quoted(delim string) bool {
	s.pos += len(delim)
	for s.pos < len(s.src) {
		switch {
		case delim[0] == '"' && s.peek('\\'):
			s.pos += 2
		case s.accept(delim):
			// Up to two more quotes belong to the text of a long string.
			for i := 0; len(delim) == 3 && i < 2 && s.peek(delim[0]); i++ {
				s.pos++
			}
			return true
		case len(delim) == 1 && s.peek('\n'):
			return false
		default:
			s.pos++
		}
	}
	return false
}

// blank skips spaces, and with lines also ends of lines and comments.
func (s *scanner) blank(lines bool) {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == ' ' || c == '\t':
			s.pos++
		case lines && (c == '\n' || c == '\r'):
			s.pos++
		case lines && c == '#':
			n := strings.IndexByte(s.src[s.pos:], '\n')
			if n < 0 {
				n = len(s.src) - s.pos
			}
			s.pos += n
		default:
			return
		}
	}
}

func (s *scanner) peek(c byte) bool { return s.pos < len(s.src) && s.src[s.pos] == c }

func (s *scanner) accept(text string) bool {
	if s.pos > len(s.src) || !strings.HasPrefix(s.src[s.pos:], text) {
		return false
	}
	s.pos += len(text)
	return true
}

func isBare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

func join(path, part string) string {
	part = toml.Key{part}.String()
	if path == "" {
		return part
	}
	return path + "." + part
}

func element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// lineCol turns an offset in bytes into a line and a column in characters, both from 1.
func lineCol(src string, offset int) (line, col int) {
	before := src[:min(max(offset, 0), len(src))]
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}
