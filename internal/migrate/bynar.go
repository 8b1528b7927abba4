package migrate

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// BynarOutcome is what Bynar's files say in glia's words.
type BynarOutcome struct {
	Repairer string   // TOML for repairer.toml
	Notes    []string // what was not carried over, or means something else
}

// secretsIn is where secrets are said to be: they are never copied.
const secretsIn = "/etc/glia/"

// Bynar converts Bynar's bynar.json, disk-manager.json and ceph.json, all or some of them. No secret of theirs is in the outcome.
func Bynar(files ...File) (BynarOutcome, error) {
	o := &BynarOutcome{}
	var w writer
	seen := map[string]string{}
	for _, f := range files {
		t, err := parse(f.Data)
		if err != nil {
			return BynarOutcome{}, fmt.Errorf("%s: %w", f.Name, err)
		}
		kind, convert := bynarKind(t)
		if convert == nil {
			return BynarOutcome{}, fmt.Errorf("%s: %w", f.Name, errors.New("it is none of Bynar's configurations: no jira_host, osd_config or backend in it"))
		}
		if before, twice := seen[kind]; twice {
			return BynarOutcome{}, fmt.Errorf("%s: it is another %s, after %s: import one at a time", f.Name, kind, before)
		}
		seen[kind] = f.Name
		r := &reader{t: t, at: f.Name, known: map[string]bool{}, notes: &o.Notes}
		convert(r, &w)
		r.drop("a supervisor such as runit or systemd starts glia's daemons, and keeps what they log", "daemon_output", "daemon_error", "daemon_pid")
		r.rest()
	}
	o.Repairer = strings.TrimLeft(w.String(), "\n")
	return *o, nil
}

// bynarKind tells the three files apart.
func bynarKind(t table) (kind string, convert func(*reader, *writer)) {
	switch {
	case has(t, "jira_host") || has(t, "manager_host"):
		return "bynar.json", bynarJSON
	case has(t, "osd_config") || has(t, "system_disks") || has(t, "target_weight"):
		return "ceph.json", cephJSON
	case has(t, "backend"):
		return "disk-manager.json", managerJSON
	}
	return "", nil
}

func bynarJSON(r *reader, w *writer) {
	w.section("[tracker]")
	w.text("kind", "jira")
	w.section("[jira]")
	w.text("url", jiraURL(r))
	w.text("user", r.text("jira_user"))
	if r.secret("jira_password", secretsIn+"jira-password") {
		w.text("password", "file:"+secretsIn+"jira-password")
	}
	w.text("proxy", r.text("proxy"))
	w.text("project", r.text("jira_project_id"))
	w.text("assignee", r.text("jira_ticket_assignee"))
	w.list("components", []string{"Ceph"})
	r.note("component Ceph is set, because Bynar gives it to all its tickets; take it out if the project does not have it")
	for _, k := range [][2]string{{"jira_issue_type", "type"}, {"jira_priority", "priority"}} {
		if id := r.text(k[0]); id != "" {
			w.text(k[1], id)
			r.note("%s %q is an id in Bynar, and jira.%s takes a name: the repairer compares it with Jira at its start, and lists the names there are", k[0], id, k[1])
		}
	}
	r.vault(w)
	r.slack()
	r.drop("nerves announce themselves where they are", "manager_host", "manager_port")
	r.drop("glia does not ask Redfish; its password may be deleted", "redfish_ip", "redfish_username", "redfish_password", "redfish_port")
	r.drop("glia keeps cases in a database of its own, and does not read Bynar's: end the repairs that are open in it, or glia begins them anew", "database")
}

// jiraURL adds the scheme that Bynar may leave out.
func jiraURL(r *reader) string {
	host := r.text("jira_host")
	if host == "" || strings.Contains(host, "://") {
		if u, err := url.Parse(host); err == nil && u.User != nil {
			r.note("jira_host has credentials in it: they are not carried over")
			u.User = nil
			return u.String()
		}
		return host
	}
	return "https://" + host
}

func managerJSON(r *reader, w *writer) {
	if b := r.text("backend"); b != "ceph" {
		r.note("backend %q does nothing in Bynar, which called everything a success: choose what stores the data yourself", b)
	}
	r.vault(w)
	r.slack()
}

func cephJSON(r *reader, w *writer) {
	w.section("[[ceph]]")
	w.text("name", "main")
	w.text("fsid", "tell what ceph fsid prints")
	r.note("the fsid of the cluster is in no file of Bynar's: put what ceph fsid prints into ceph.fsid")
	w.text("conf", r.text("config_file"))
	if user := strings.TrimPrefix(r.text("user_id"), "client."); user != "" {
		w.text("user", user)
		if user == "admin" {
			r.note("user_id is admin, who may do anything: glia ceph create-user makes one that may do no more than is needed")
		}
	}
	if _, ok := r.value("latency_cap"); ok {
		w.duration("latency", time.Duration(r.number("latency_cap", 0)*float64(time.Millisecond)).Round(time.Microsecond))
		r.note("latency_cap was measured on a pool by rados bench; ceph.latency is what 1 of 10 OSDs says of its own commits")
	}
	if _, ok := r.value("backfill_cap"); ok {
		w.number("moving_pgs", r.whole("backfill_cap", 0))
		r.note("backfill_cap counted the PGs of the whole cluster; ceph.moving_pgs counts those of the OSD that is emptied or filled")
	}
	r.drop("the latency is told by the OSDs themselves; the pool is not needed any more", "pool_name")
	r.drop("each OSD gets the CRUSH weight back that it had", "target_weight")
	r.drop("steps of the weight follow from moving_pgs", "increment")
	r.drop("nerve finds out what carries the running system, and which OSDs, WALs and DBs are on a disk; see glia disks before you leave mode observe",
		"system_disks", "journal_devices", "osd_config")
	r.drop("no udev rules are written: ceph-volume activates OSDs", "udev_rule_path")
}

// secret says whether a secret was given. Its value is never told.
func (r *reader) secret(key, file string) bool {
	if _, ok := r.value(key); !ok {
		return false
	}
	r.note("%s is a secret, and not copied: write it into %s, owned by the user of the repairer, with mode 0600; Bynar's own file may be open to everybody", key, file)
	return true
}

// vault carries the address over, once: two files name the same Vault.
func (r *reader) vault(w *writer) {
	at := r.text("vault_endpoint")
	if at != "" && !strings.Contains(w.String(), "[vault]") {
		w.section("[vault]")
		w.text("address", at)
		w.text("login", "token")
		w.text("token", "file:"+secretsIn+"vault-token")
		r.note("glia takes a login of its own at Vault rather than a token that is in a file for ever, see vault.login")
	}
	r.secret("vault_token", secretsIn+"vault-token")
}

func (r *reader) slack() {
	if r.secret("slack_webhook", secretsIn+"slack-webhook") {
		r.note("name that file in a section [[notify]], see repairer.toml")
	}
	r.drop("see [[notify]] in repairer.toml", "slack_channel", "slack_botname")
}
