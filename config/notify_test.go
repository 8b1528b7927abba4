package config_test

import (
	"strings"
	"testing"
)

func TestNotify_Errors(t *testing.T) {
	t.Parallel()
	const slack = "[[notify]]\nname = \"a\"\nkind = \"slack\"\ntoken = \"/t\"\nchannel = \"C1\"\n"
	for text, want := range map[string]string{
		slack: "",
		slack + "quiet = \"22:00-07:00\"\ndigest = \"08:00\"\nzone = \"Europe/Berlin\"": "",
		slack + "[[notify]]\nname = \"a\"\nkind = \"slack-webhook\"\nwebhook = \"/w\"":  `there is another [[notify]] with the name "a"`,
		"[[notify]]\nname = \"a\"":                                                              `notify.kind: is missing: want one of`,
		"[[notify]]\nkind = \"shoutrrr\"\naddress = \"/a\"":                                     "notify.name",
		"[[notify]]\nname = \"a\"\nkind = \"shoutrrr\"":                                         "notify.address: is missing",
		"[[notify]]\nname = \"a\"\nkind = \"shoutrrr\"\naddress = \"smtp://u:hunter2@h\"":       "notify.address: is no reference to a secret",
		"[[notify]]\nname = \"a\"\nkind = \"shoutrrr\"\naddress = \"/a\"\nproxy = \"http://p\"": "notify.proxy: is of no use",
		"[[notify]]\nname = \"a\"\nkind = \"slack\"\ntoken = \"/t\"":                            "notify.channel",
		slack + "webhook = \"/w\"":                                                              `notify.webhook: is of no use with kind "slack"`,
		slack + "api = \"http://slack/\"":                                                       "notify.api: slack would be told our secret without TLS",
		slack + "api = \"https://slack\"":                                                       "notify.api: must end with a slash",
		slack + "events = [\"opened\", \"closed\"]":                                             `f.toml:6:21: notify.events: there is no event "closed"`,
		slack + "severity = \"high\"":                                                           `notify.severity: "high" is no severity`,
		slack + "group = \"2h\"":                                                                "notify.group: 2h is not possible",
		slack + "per_hour = -1":                                                                 "notify.per_hour",
		slack + "quiet = \"22:00\"":                                                             `notify.quiet: "22:00" is no part of a day`,
		slack + "digest = \"8\"":                                                                `notify.digest: "8" is no time of the day`,
		slack + "zone = \"Mars\"":                                                               `notify.zone: "Mars" is no time zone`,
	} {
		got := strings.Join(lines("repairer", text), "\n")
		if want == "" && got != "" || !strings.Contains(got, want) || strings.Contains(got, "hunter2") {
			t.Errorf("%q:\n got %q\nwant %q", text, got, want)
		}
	}
}
