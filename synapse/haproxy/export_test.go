package haproxy

import "time"

// What tests of the decoders and decisions need.
var (
	ParseServers = parseServers
	ParseInfo    = parseInfo
	ParseStat    = parseStat
)

// Running is one server as HAProxy has it.
type Running = running

// Decide is decide for the servers of one service that are to be there; the texts are the commands.
func Decide(r *Renderer, name string, has map[string]Running, loaded map[string]Loaded, resolve func(string) string) (commands []string, reload string) {
	s := r.byName[name]
	d := decide(s.backendName(), s.specs, has, loaded, resolve, time.Unix(100, 0))
	for _, c := range d.commands {
		commands = append(commands, c.text)
	}
	return commands, d.reload
}

// LoadedOf is what HAProxy was told when it has read the file.
func LoadedOf(r *Renderer, name string) map[string]Loaded {
	out := map[string]Loaded{}
	for _, p := range r.byName[name].specs {
		out[p.name] = loadedFrom(p)
	}
	return out
}
