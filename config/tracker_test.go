package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glia/config"
)

func TestTracker_Errors(t *testing.T) {
	t.Parallel()
	const jira = "[tracker]\nkind = \"jira\"\n[jira]\nproject = \"OPS\"\ntoken_file = \"/t\"\n"
	const at = jira + "url = \"https://jira\"\n"
	for text, want := range map[string]string{
		"[tracker]\nkind = \"jirra\"":              `did you mean "jira"?`,
		"[tracker]\npoll = \"10ms\"":               `tracker.poll: 10ms is not possible: want at least 1s`,
		"[tracker]\nrequests = 0":                  `tracker.requests: 0 is not possible`,
		jira:                                       `jira.url: is missing: write an address such as https://jira.example.org`,
		jira + `url = "https://glia:hunter2@jira"`: `jira.url: is no address without credentials`,
		jira + `url = "http://jira"`:               `jira.url: jira would be told our secret without TLS`,
		at + `user = "glia"`:                       `a personal token needs no user`,
		at + `password_file = "/p"`:                `jira.password: is of no use without jira.user`,
		"[tracker]\nkind = \"jira\"\n[jira]\nurl = \"https://jira\"\nproject = \"OPS\"":               `jira.token: is missing`,
		"[tracker]\nkind = \"jira\"\n[jira]\nurl = \"https://jira\"\nproject = \"OPS\"\nuser = \"g\"": `jira.user: has no password`,
		at + "[[jira.field]]\nname = \"Rack\"":                                                        `jira.field.values: is empty`,
		at + "[[jira.field]]\nvalues = [\"x\"]":                                                       `jira.field.name: is missing`,
		at + `wont_do = ["done"]`:                                                                     `jira.wont_do: "done" is in jira.done as well`,
		at + `proxy = "http://u:p@proxy"`:                                                             `jira.proxy: is no URL without credentials`,
		at + `index_lag = "1h"`:                                                                       `jira.index_lag`,
		at + `labels = ["two words"]`:                                                                 `jira.labels: "two words" is not a label`,

		"[tracker]\nkind = \"redmine\"\n[redmine]\nproject = \"ops\"\nkey_file = \"/k\"":                                             `redmine.url: is missing`,
		"[tracker]\nkind = \"redmine\"\n[redmine]\nproject = \"ops\"\nurl = \"https://r\"":                                           `redmine.key: is missing`,
		"[tracker]\nkind = \"redmine\"\n[redmine]\nurl = \"https://r\"\nkey_file = \"/k\"":                                           `redmine.project`,
		"[tracker]\nkind = \"redmine\"\n[redmine]\nproject = \"ops\"\nurl = \"https://r\"\nkey_file = \"/k\"\ndone = [\"rejected\"]": `redmine.wont_do: "Rejected" is in redmine.done as well`,
		"[tracker]\nfile = \"start\"":                                                        `tracker.file: "start" is not one of "released" or "started"`,
		"[tracker]\nlink = \"https://wiki/\"":                                                `tracker.link: has no {case} in it`,
		"[tracker]\ntemplate = \"t.tmpl\"":                                                   `tracker.template: "t.tmpl" is not an absolute path`,
		"[tracker]\nkind = \"script\"":                                                       `script.command: is missing`,
		"[tracker]\nkind = \"script\"\n[script]\ncommand = [\"tickets\"]":                    `script.command: "tickets" is not an absolute path`,
		"[tracker]\nkind = \"webhook\"\n[webhook]\nsecret_file = \"/s\"":                     `webhook.url: is missing`,
		"[tracker]\nkind = \"webhook\"\n[webhook]\nurl = \"https://t\"":                      `webhook.secret: is missing`,
		"[tracker]\nkind = \"webhook\"\n[webhook]\nurl = \"http://t\"\nsecret_file = \"/s\"": `webhook.url: t would be told our secret without TLS`,
		"[tracker]\nchanged_secret_file = \"/s\"":                                            `is of no use with the built-in tracker`,
	} {
		got := lines("repairer", text)
		if !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, want) }) || strings.Contains(strings.Join(got, ""), "hunter2") {
			t.Errorf("%q:\ngot  %q\nwant %q", text, got, want)
		}
	}
	if got := lines("repairer", at); len(got) > 0 {
		t.Errorf("a right one: %q", got)
	}
}

func TestTracker_SecretsOfEverybodyAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret, conf := filepath.Join(dir, "token"), filepath.Join(dir, "repairer.toml")
	write(t, secret, "hunter2")
	write(t, conf, "[tracker]\nkind = \"jira\"\n[jira]\nurl = \"https://jira\"\nproject = \"OPS\"\ntoken_file = \""+secret+"\"\n")
	if _, err := config.LoadRepairer(conf, config.Known{}); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]string{0o604: "everybody on this host may access", 0o640: ""} {
		if err := os.Chmod(secret, mode); err != nil {
			t.Fatal(err)
		}
		_, err := config.LoadRepairer(conf, config.Known{})
		if got := err == nil; got != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}
