package migrate

import (
	"slices"
	"time"
)

func (o *outcome) nerveTop(r *reader) {
	o.nerve.text("heartbeat_file", r.text("heartbeat_path"))
	if dir := r.text("service_conf_dir"); dir != "" {
		r.note("service_conf_dir: give the files in %s to this command too", dir)
	}
	r.drop("glia serves /metrics for Prometheus", "statsd", "prometheus")
	r.needless("max_repeated_report_failures", "listen_port")
}

func (o *outcome) writeNerve() {
	for _, s := range o.own {
		o.announce(s.name, o.read(s.t, "service "+s.name))
	}
}

// announce writes one [[service]] of nerve.
func (o *outcome) announce(name string, r *reader) {
	w := &o.nerve
	w.section("[[service]]")
	w.text("name", name)
	w.text("host", r.text("host"))
	if r.text("host") == "" {
		r.note("host is missing: that of the nerve is announced")
	}
	w.number("port", r.whole("port", 0))
	w.text("instance", o.instance)
	if v := r.whole("weight", -1); v >= 0 {
		w.number("weight", v)
	}
	w.text("options", r.text("haproxy_server_options"))
	w.list("labels", r.labels("labels"))
	w.duration("interval", max(r.seconds("check_interval", 0.5), 10*time.Millisecond))
	if t := r.table("rate_limiting"); t != nil {
		l := o.read(t, r.at+": rate_limiting")
		w.section("[service.rate_limit]")
		w.float("average_rate", max(l.number("average_rate", 0), 0))
		w.number("max_burst", max(l.whole("max_burst", 1000), 1))
		w.boolean("shadow", l.boolean("shadow_mode", true))
		l.rest()
	}
	o.placeOf(r)
	checks := r.tables("checks")
	if len(checks) == 0 {
		r.note("it has no checks, so it is always announced, as before")
	}
	for _, c := range checks {
		o.check(o.read(c, r.at))
	}
	r.drop("nothing checks it for real", "check_mocked")
	r.drop("it was for load tests", "load_test_concurrency")
	r.needless("max_repeated_report_failures", "name", "instance_id")
	r.rest()
}

// placeOf writes where a service is announced.
func (o *outcome) placeOf(r *reader) {
	w := &o.nerve
	kind := r.text("reporter_type")
	w.section("[[service.place]]")
	if kind == "serf" {
		w.text("registry", kind)
		r.drop("the one file with all tags is serf.drop_in of nerve.toml", "serf_config_dir")
		if host := r.text("advertise_host"); host != "" {
			r.note("advertise_host %s is not carried over: make it the host of the service, and give the present one to its checks", host)
		}
		return
	}
	if kind != "" && kind != "zookeeper" {
		r.note("reporter_type %s is none of glia's: name a registry that is", kind)
		w.text("registry", kind)
		r.drop("it belongs to the reporter "+kind, "etcd_host", "etcd_port", "etcd_path")
		return
	}
	w.text("registry", "zookeeper")
	hosts := r.texts("zk_hosts")
	slices.Sort(hosts)
	w.list("servers", hosts)
	w.text("path", r.text("zk_path"))
	if r.boolean("use_path_encoding", false) {
		w.boolean("path_encoding", true)
	}
	switch node := r.text("node_type"); node {
	case "", "ephemeral_sequential":
	case "persistent_sequential":
		r.note("node_type %s: the node is ephemeral, and goes with its nerve", node)
	case "ephemeral", "persistent":
		if w.boolean("numbered", false); node == "persistent" {
			r.note("node_type %s: the node is ephemeral, and goes with its nerve", node)
		}
	default:
		r.note("node_type %s is not known: the node is ephemeral and numbered", node)
	}
	r.drop("nodes are ephemeral", "ttl_seconds")
}

// check writes one [[service.check]]. The times of nerve are seconds; those of HTTP are one each for connecting, TLS and reading.
func (o *outcome) check(r *reader) {
	w := &o.nerve
	kind := r.text("type")
	timeout := r.seconds("timeout", 0.1)
	w.section("[[service.check]]")
	switch kind {
	case "http":
		timeout = r.seconds("read_timeout", timeout.Seconds()) + r.seconds("open_timeout", 0.2)
		if r.boolean("ssl", false) {
			kind = "https"
			timeout += r.seconds("ssl_timeout", 0.2)
		}
		w.text("type", kind)
		if kind == "https" {
			w.boolean("verify", false)
			r.note("check https: nerve verified no certificate, and so this does not: set verify")
		}
		w.text("uri", r.text("uri"))
		w.text("expect", r.text("expect"))
		var headers []string
		for _, e := range r.table("headers") {
			headers = append(headers, e.key+": "+o.read(table{e}, r.at).text(e.key))
		}
		w.list("headers", headers)
		r.needless("ssl_timeout", "name")
	case "rabbitmq":
		w.text("type", kind)
		w.text("user", r.text("username"))
		if r.text("password") != "" {
			r.note("check rabbitmq: its password is not carried over: write it into a file with mode 0600, and name that in password")
		}
	case "tcp", "redis", "noop":
		w.text("type", kind)
	default:
		w.text("type", kind)
		r.note("check %q is none of glia's: choose one that is, or exec", kind)
		r.needless("module")
	}
	w.text("name", r.text("name"))
	w.text("host", r.text("host"))
	if p := r.whole("port", 0); p != 0 {
		w.number("port", p)
	}
	w.duration("timeout", max(timeout, time.Millisecond))
	w.number("rise", max(r.whole("rise", 1), 1))
	w.number("fall", max(r.whole("fall", 1), 1))
	r.rest()
}
