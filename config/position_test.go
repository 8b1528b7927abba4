package config_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"glia/config"
)

func TestPositions_KnowEveryWayToWriteAKey(t *testing.T) {
	t.Parallel()
	src := `# [no]
a = 1
b.c = """
[x]
y = 1 \""" """"
"d.e".'f' = '''z = 1'''  # q = 2
[t] # [u]
l = [ "[v]", # k = 1
  { m = 1, n.o = [2, 3] }, ']' ]
[[p]]
g = "\""
[p.h]
i = 1979-05-27 07:32:00
[[p]]
"\u00e4" = { j = {} }`
	want := []string{
		"a 2:1", "b 3:1", "b.c 3:3", `"d.e" 6:1`, `"d.e".f 6:7`, "t 7:2", "t.l 8:1", "t.l[0] 8:7", "t.l[1] 9:3",
		"t.l[1].m 9:5", "t.l[1].n 9:12", "t.l[1].n.o 9:14", "t.l[1].n.o[0] 9:19", "t.l[1].n.o[1] 9:22", "t.l[2] 9:28",
		"p 10:3", "p[0] 10:3", "p[0].g 11:1", "p[0].h 12:4", "p[0].h.i 13:1", "p[1] 14:3", `p[1]."ä" 15:1`, `p[1]."ä".j 15:14`,
	}
	got := map[string]bool{}
	for key, offset := range config.Positions(src) {
		line := 1 + strings.Count(src[:offset], "\n")
		col := offset - strings.LastIndexByte(src[:offset], '\n')
		got[key+" "+itoa(line)+":"+itoa(col)] = true
	}
	for _, w := range want {
		if !got[w] {
			t.Errorf("no %s", w)
		}
		delete(got, w)
	}
	if len(got) > 0 {
		t.Errorf("too many: %v", slices.Sorted(maps.Keys(got)))
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func TestNearest_FindsTypos(t *testing.T) {
	t.Parallel()
	known := []string{"interval", "deadline", "ca", "rpc", "read", "read_samples"}
	for name, want := range map[string]string{
		"intervall": "interval", "Interval": "interval", "intreval": "interval", "dedline": "deadline", "rcp": "rpc",
		"reed": "read", "readsamples": "read_samples", "colour": "", "xy": "", "": "",
	} {
		if got := config.Nearest(name, known); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

// inLists are the places in lists, which the keys of the library do not have.
var inLists = regexp.MustCompile(`\[[0-9]+\]`)

// FuzzPositions holds the index against the library: no panic on any text, and for each document that
// the library accepts, every key has a place, at which it is written, and there are no other keys.
func FuzzPositions(f *testing.F) {
	for _, name := range []string{"nerve.toml", "synapse.toml", "repairer.toml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	for _, seed := range []string{
		"", "a", "a=", "a=1", "a.b.c = 1", "[a]\nb = 1\n[a.c]\nd=[]", "[[a]]\n[[a.b]]\nc=1\n[[a.b]]\n[[a]]", "a=[[1,[2]],[{b=1}]]",
		"a={b={c=1},d.e=2}", "\"a\\\"b\"=1", "'a.b'.\"c[0]\"=1", "a=\"\"\"\"\"\"\"\"", "a='''''''b'''''", "a=\"\"\"\\\"\"\"\"", "a=1#\n#b=2\r\nc=3",
		"[a]\n[b]\n[a.b]", "[ a . \"b\" ]\n c = 1", "a = [ 1, # ]\n 2 ]", "\"\"=1", "a={\n b=1, # x\n}", "a=\"\\", "a=[", "[[a", "a='", "x=1e5\ny=07:32:00",
		"[a.b]\nc=1\n[a]\nd=2", "a = \"\\U0001F600\"", "\"\\e\"=1", "[[a.b]]\n[a.b.c]\nd=1\n[[a.b]]\n[a.b.c]\nd=1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) > 4096 {
			return
		}
		found := config.Positions(src)
		if strings.Count(src, "[")+strings.Count(src, "{") > 64 || strings.HasPrefix(src, "\xff\xfe") ||
			strings.HasPrefix(src, "\xfe\xff") || strings.HasPrefix(src, "\ufeff") {
			return // nests too deeply, or is not given to the index in this form
		}
		var doc map[string]any
		md, err := toml.Decode(src, &doc)
		if err != nil {
			return
		}
		flat := map[string]string{} // key without places in lists -> a full key
		for key, offset := range found {
			flat[inLists.ReplaceAllString(key, "")] = key
			if offset < 0 || offset >= len(src) {
				t.Fatalf("%s is at %d of %d", key, offset, len(src))
			}
		}
		known := map[string]bool{}
		for _, k := range md.Keys() {
			name := inLists.ReplaceAllString(k.String(), "")
			full, ok := flat[name]
			if !ok {
				t.Fatalf("%s has no position in %q; found %v", name, src, found)
			}
			last := k[len(k)-1]
			if at := src[found[full]:]; !strings.HasPrefix(at, last) && at[0] != '"' && at[0] != '\'' && !strings.HasSuffix(full, "]") {
				t.Fatalf("%s is not at byte %d of %q", name, found[full], src)
			}
			for i := range k {
				known[inLists.ReplaceAllString(k[:i+1].String(), "")] = true
			}
		}
		for key := range flat {
			if !known[key] {
				t.Fatalf("%s is no key of %q", key, src)
			}
		}
	})
}

// FuzzParse looks for text that makes reading a configuration panic, and for problems without a place
// in a file that can be parsed.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"nerve.toml", "repairer.toml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	for _, seed := range []string{"pool = [1, {}]", "[[pool]]\nhosts=[\"[\"]", "probe = 1", "[serf]\njoin=[[]]", "a.b.c=1\nhost=2020-01-01", "\"[0]\".x=1", "\"\\\n", "api.listen = \"a\\nb:1\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		for _, l := range append(lines("nerve", src), lines("repairer", src)...) {
			if !strings.HasPrefix(l, "f.toml:") || strings.HasPrefix(l, "f.toml: ") {
				t.Fatalf("no place in %q for %q", l, src)
			}
		}
	})
}
