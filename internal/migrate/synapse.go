package migrate

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"glia/config"
)

func (o *outcome) synapseTop(r *reader) {
	o.proxy = r.table("haproxy")
	if t := r.table("file_output"); t != nil {
		f := o.read(t, "file_output")
		o.files = f.text("output_directory")
		f.rest()
	}
	if dir := r.text("service_conf_dir"); dir != "" {
		r.note("service_conf_dir: give the files in %s to this command too", dir)
	}
	r.drop("glia serves /metrics for Prometheus", "statsd")
	r.needless("instance_id")
}

func (o *outcome) writeSynapse() {
	if o.proxy != nil {
		o.writeProxy(o.read(o.proxy, "haproxy"))
	}
	var services writer
	for i, name := range o.names {
		o.use(&services, name, o.read(o.followed[i], "service "+name))
	}
	if o.files != "" || o.filesWanted {
		o.synapse.section("[files]")
		o.synapse.text("directory", o.files)
	}
	if o.settingsWanted {
		o.synapse.section("[settings]")
		o.synapse.list("allow", config.Settable())
		o.Notes = append(o.Notes, "settings.allow: the data of a service's znode may set all that glia can take from there, and key by key instead of everything at once; narrow the list to what all who write there may decide")
	}
	o.synapse.WriteString(services.String())
}

// writeProxy writes [haproxy].
func (o *outcome) writeProxy(r *reader) {
	w := &o.synapse
	w.section("[haproxy]")
	path := r.text("config_file_path")
	if r.boolean("do_writes", true) {
		w.text("config_file", path)
	} else {
		r.note("do_writes is false: nothing is written")
	}
	if sockets := r.texts("socket_file_path"); r.boolean("do_socket", true) {
		w.list("sockets", sockets)
	}
	if command := r.text("check_command"); command != "" && r.boolean("do_checks", false) {
		candidate := cmp.Or(r.text("candidate_config_file_path"), path+".tmp")
		if strings.Contains(command, candidate) {
			w.list("check_command", []string{"sh", "-c", strings.ReplaceAll(command, candidate, "{file}")})
		} else {
			r.note("check_command does not name the candidate %s: haproxy -c -f {file} is used", candidate)
		}
	}
	if command := r.text("reload_command"); command != "" {
		w.list("reload_command", []string{"sh", "-c", command})
	}
	if !r.boolean("do_reloads", true) {
		r.note("do_reloads is false: with glia a reload follows what can not be done at run time")
	}
	w.duration("reload_interval", max(r.seconds("restart_interval", 2), time.Second))
	w.float("reload_jitter", max(r.number("restart_jitter", 0), 0))
	w.list("global", r.texts("global"))
	w.list("defaults", r.texts("defaults"))
	w.list("shared_frontend", r.texts("shared_frontend"))
	w.text("bind_address", cmp.Or(r.text("bind_address"), "localhost"))
	w.boolean("use_weights", r.boolean("use_nerve_weights", false))
	w.number("max_server_id", max(r.whole("max_server_id", 65535), 1))
	if seed, ok := r.value("server_order_seed"); ok {
		w.number("server_order_seed", max(r.whole("server_order_seed", 0), 0))
	} else if seed == nil {
		r.note("server_order_seed was chosen by chance: the order of servers will be another one, once")
	}
	for _, e := range r.table("extra_sections") {
		w.section("[[haproxy.section]]")
		w.text("title", e.key)
		w.list("lines", o.read(table{e}, "haproxy.extra_sections").texts(e.key))
	}
	r.needless("do_checks", "check_command", "candidate_config_file_path", "state_file_path", "state_file_ttl", "socket_file_path")
	r.rest()
}

// use writes one [[service]] of synapse.
func (o *outcome) use(w *writer, name string, r *reader) {
	w.section("[[service]]")
	w.text("name", name)
	o.service = name
	discovery := r.table("discovery")
	sources := []table{discovery}
	if multi := r.table("discovery_multi"); multi != nil {
		m := o.read(multi, r.at+": discovery_multi")
		sources = o.several(w, m, discovery)
		m.needless("method")
		m.rest()
	}
	var filters []string
	for _, s := range sources {
		d := o.read(s, r.at)
		for _, f := range append(d.tables("label_filters"), optional(d.table("label_filter"))...) {
			x := o.read(f, r.at+": label_filters")
			op := "="
			if c := x.text("condition"); c == "not-equals" {
				op = "!="
			} else if c != "equals" && c != "" {
				x.note("condition %s is not known: equals is used", c)
			}
			if one := x.text("label") + op + x.text("value"); !slices.Contains(filters, one) {
				filters = append(filters, one)
			}
		}
	}
	w.list("filters", filters)
	defaults := o.places(r.tables("default_servers"), r.at+": default_servers")
	w.list("default_servers", defaults)
	if r.boolean("keep_default_servers", false) {
		w.boolean("keep_default_servers", true)
	}
	w.boolean("keep_previous", r.boolean("use_previous_backends", true))
	if r.boolean("leader_election", false) {
		w.boolean("leader_election", true)
		r.note("leader_election: when a backend has no id there is no leader, where synapse would have used all backends")
	}
	if p := r.whole("backend_port_override", 0); p != 0 {
		w.number("backend_port", p)
	}
	if _, ok := r.value("file_output"); ok {
		w.boolean("file", true)
		o.filesWanted = true
	}
	if h := r.table("haproxy"); h != nil {
		o.useProxy(w, o.read(h, r.at+": haproxy"))
	} else {
		w.section("[service.haproxy]")
		w.boolean("disabled", true)
	}
	for _, s := range sources {
		o.source(w, o.read(s, r.at+": discovery"), defaults)
	}
	r.drop("it was for load tests", "load_test_concurrency")
	r.rest()
}

func optional(t table) []table {
	if t == nil {
		return nil
	}
	return []table{t}
}

// several writes how sources are combined, and puts them into their order.
func (o *outcome) several(w *writer, m *reader, primary table) (out []table) {
	byName := m.table("watchers")
	if primary != nil {
		byName = byName.set("primary", primary)
	}
	resolver := o.read(m.table("resolver"), m.at+": resolver")
	method := resolver.text("method")
	order := resolver.texts("sequential_order")
	switch method {
	case "union":
	case "sequential", "fallback":
		w.text("combine", method)
	default:
		resolver.note("method %q is not carried over: choose union, sequential or fallback", method)
		w.text("combine", cmp.Or(method, "base"))
	}
	for _, name := range order {
		if t, ok := byName.get(name); ok {
			if s, is := t.(table); is {
				out = append(out, s)
			}
		} else {
			resolver.note("sequential_order names %s, which is no watcher", name)
		}
	}
	for _, e := range byName {
		if s, is := e.value.(table); is && !slices.Contains(order, e.key) {
			out = append(out, s)
		}
	}
	resolver.needless("s3_url", "s3_polling_interval_seconds")
	resolver.rest()
	return out
}

// useProxy writes [service.haproxy].
func (o *outcome) useProxy(w *writer, r *reader) {
	w.section("[service.haproxy]")
	if r.boolean("disabled", false) {
		w.boolean("disabled", true)
	}
	if p := r.whole("port", 0); p != 0 {
		w.number("port", p)
	}
	for _, k := range []string{"bind_address", "bind_options", "server_options"} {
		w.text(k, r.text(k))
	}
	for _, k := range []string{"frontend", "backend", "listen", "shared_frontend"} {
		w.list(k, r.texts(k))
	}
	w.text("backend_name", r.text("backend_name"))
	w.text("backend_order", r.text("backend_order"))
	if r.text("cookie_value_method") == "hash" {
		w.boolean("hash_cookie", true)
	}
	r.drop("set backend_port of the service", "server_port_override")
	r.drop("it had no effect here: it is haproxy.use_weights", "use_nerve_weights")
	r.rest()
}

// source writes one [[service.source]].
func (o *outcome) source(w *writer, r *reader, defaults []string) {
	w.section("[[service.source]]")
	method := r.text("method")
	switch method {
	case "zookeeper", "zookeeper_poll":
		w.text("method", "zookeeper")
		hosts := r.texts("hosts")
		slices.Sort(hosts)
		w.list("servers", hosts)
		path := r.text("path")
		w.text("path", path)
		if at := r.text("generator_config_path"); at != "disabled" {
			w.text("settings", cmp.Or(at, path))
			o.settingsWanted = true
		}
		if d := r.table("decode"); d != nil {
			x := o.read(d, r.at+": decode")
			w.text("endpoint", x.text("endpoint_name"))
			x.needless("method")
			x.rest()
		}
		r.needless("polling_interval_sec", "discovery_jitter", "retry_policy")
	case "serf":
		w.text("method", "serf")
		w.text("service", o.service)
		w.list("servers", []string{"127.0.0.1:7373"})
		r.note("members are asked for at the agent's RPC, 127.0.0.1:7373, and not read from a file: change servers if it is another one")
		r.needless("serf_members")
	case "dns":
		w.text("method", "dns")
		w.list("backends", o.places(r.tables("servers"), r.at+": servers"))
		if ns := r.text("nameserver"); ns != "" {
			if _, _, err := net.SplitHostPort(ns); err != nil {
				ns = net.JoinHostPort(ns, "53")
			}
			w.list("servers", []string{ns})
		}
		w.duration("interval", max(r.seconds("check_interval", 30), time.Second))
	case "base", "":
		w.text("method", "static")
		w.list("backends", defaults)
	default:
		r.note("method %s is none of glia's: choose one that is", method)
		w.text("method", method)
	}
	r.needless("label_filters", "label_filter", "method")
	r.rest()
}

// places are servers with name, host and port, as host:port or name=host:port.
func (o *outcome) places(list []table, at string) (out []string) {
	for _, t := range list {
		r := o.read(t, at)
		place := r.text("host")
		if p := r.whole("port", 0); p != 0 {
			place = net.JoinHostPort(place, strconv.FormatInt(p, 10))
		}
		if n := r.text("name"); n != "" && !strings.Contains(n, "=") {
			place = n + "=" + place
		}
		r.drop("labels of single servers are not used", "labels")
		out = append(out, place)
		r.rest()
	}
	return out
}
