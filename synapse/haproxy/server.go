package haproxy

import (
	"crypto/sha1" //nolint:gosec // synapse's cookies are SHA-1; nothing secret depends on it
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"glia/synapse/service"
)

// Server is one server of a backend, as it is rendered.
type Server struct {
	service.Backend
	Gone bool // it is not discovered any more, and is rendered as disabled
	id   int  // 0: none is rendered
}

// Name is the name of the server in HAProxy.
func (s Server) Name() string {
	addr := s.Host + ":" + strconv.Itoa(s.Port)
	if s.Backend.Name == "" {
		return addr
	}
	return s.Backend.Name + "_" + addr
}

// ownID is the id in the options of a server, which wins over all others; ok is false when there is none.
func ownID(options string) (id int, ok bool) {
	words := strings.Fields(options)
	i := slices.Index(words, "id")
	if i < 0 {
		return 0, false
	}
	if i+1 < len(words) {
		id, _ = strconv.Atoi(words[i+1]) // HAProxy's check complains about what is no number
	}
	return id, true
}

// IDs are the ids of the servers of one backend, by the names of the servers. HAProxy keeps by them what it remembers over a reload, so
// a server keeps its id for as long as it is known.
type IDs map[string]int

// assign gives an id to each server: that of the registry, that in its options, the one that it had, or the lowest that is free.
// Servers that are not in the list are forgotten. running are the ids in HAProxy, where one that is gone has its own until it is deleted.
func (ids IDs) assign(servers []Server, highest int, running IDs) {
	used, known := map[int]bool{}, map[string]bool{}
	fixed := make([]int, len(servers)) // ids that nobody here may choose
	for i, s := range servers {
		known[s.Name()] = true
		fixed[i] = s.ServerID
		if id, ok := ownID(s.Options); ok {
			fixed[i] = id
		}
		if fixed[i] != 0 {
			ids[s.Name()], used[fixed[i]] = fixed[i], true
		}
	}
	for name := range ids {
		if !known[name] {
			delete(ids, name)
		}
	}
	for i, s := range servers {
		id, ok := ids[s.Name()]
		if was, still := running[s.Name()]; !ok && still && fixed[i] == 0 && !used[was] {
			id, ok = was, true
			ids[s.Name()] = was
		}
		if ok && fixed[i] == 0 && used[id] {
			delete(ids, s.Name()) // somebody else has it fixed now
		}
		used[id] = used[id] || ok
	}
	for name, id := range running {
		used[id] = used[id] || !known[name]
	}
	next := 1
	for i := range servers {
		s := &servers[i]
		if _, ok := ids[s.Name()]; !ok && !s.Gone && len(ids) < highest {
			for used[next] {
				next++
			}
			ids[s.Name()], used[next] = next, true
		}
		s.id = ids[s.Name()]
	}
}

// spec is what a server line says, in the parts that matter to the running process.
type spec struct {
	name    string
	address string
	id      string // " id 7", or nothing
	cookie  string // " cookie c", or nothing
	options string // the rest, with the space before it
	weight  int    // that the line sets; -1 when it sets none
	gone    bool
}

// line is the line in the file.
func (s spec) line() string {
	l := "\tserver " + s.name + " " + s.address + s.id + s.cookie + s.options
	if s.gone {
		l += " disabled"
	}
	return l
}

var weightOption = regexp.MustCompile(`weight +[0-9]+`)

// specOf renders one server. The service has been checked by validTemplate.
func (c Config) specOf(svc *Service, s Server, cookies bool) spec {
	out := spec{name: s.Name(), address: s.Host + ":" + strconv.Itoa(s.Port), gone: s.Gone}
	if _, own := ownID(s.Options); !own && s.id != 0 {
		out.id = " id " + strconv.Itoa(s.id)
	}
	if cookies {
		value := out.name
		if svc.HashCookie {
			sum := sha1.Sum([]byte(out.name)) //nolint:gosec // see above
			value = hex.EncodeToString(sum[:])
		}
		out.cookie = " cookie " + value
	}
	weight := -1
	switch {
	case s.Draining: // HAProxy sends no new clients to a weight of 0, and lets sessions stay
		weight = 0
	case c.UseWeights && s.Weight != nil:
		weight = *s.Weight
	}
	common, own := expand(svc.ServerOptions, s), s.Options
	if weight >= 0 {
		common, own = withoutWeight(common), withoutWeight(own)
	}
	out.options = " " + common
	if s.Options != "" {
		out.options += " " + own
	}
	if weight >= 0 {
		out.options = squeeze(out.options + " weight " + strconv.Itoa(weight))
	}
	out.weight = lastWeight(out.options)
	return out
}

// lastWeight is the weight that options set; -1 when they set none.
func lastWeight(options string) int {
	w := weightOption.FindAllString(options, -1)
	if len(w) == 0 {
		return -1
	}
	n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(w[len(w)-1], "weight")))
	return n
}

// withoutWeight takes the first weight out.
func withoutWeight(options string) string {
	if at := weightOption.FindStringIndex(options); at != nil {
		return options[:at[0]] + options[at[1]:]
	}
	return options
}

func squeeze(s string) string {
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}

var placeholder = regexp.MustCompile(`%(?:%|\{(?:host|port|name)\}|)`)

// expand fills in what %{host}, %{port}, %{name} and %% stand for.
func expand(options string, s Server) string {
	if !strings.Contains(options, "%") {
		return options
	}
	return placeholder.ReplaceAllStringFunc(options, func(p string) string {
		switch p {
		case "%{host}":
			return s.Host
		case "%{port}":
			return strconv.Itoa(s.Port)
		case "%{name}":
			return s.Backend.Name
		}
		return "%"
	})
}

// validTemplate refuses a percent sign that stands for nothing.
func validTemplate(options string) error {
	for _, p := range placeholder.FindAllString(options, -1) {
		if p == "%" {
			return fmt.Errorf("server_options %q has a %% that is none of %%{host}, %%{port}, %%{name} and %%%%", options)
		}
	}
	return nil
}
