package config_test

import (
	"strings"
	"testing"

	"glia/config"
)

func TestParse_Templates(t *testing.T) {
	t.Parallel()
	const service = "[[service]]\nname = \"web\"\n[[service.source]]\nmethod = \"static\"\nbackends = [\"a:1\"]\n"
	const head = "[[template]]\nsource = \"/a\"\ndestination = \"/b\"\n"
	for text, want := range map[string]string{
		service + head:                         "",
		head:                                   "is about no service",
		service + head + "services = [\"db\"]": "template.services: there is no service db",
		service + head + head:                  "there is another template for /b",
		service + head + "quiet = \"-1s\"":     "-1s is not possible",
		service + head + "command = [\"\"]":    "the program to run is empty",
		service + strings.Replace(head, "\"/a\"", "\"a\"", 1):      `template.source: "a" is not an absolute path`,
		service + strings.Replace(head, "destination", "place", 1): "unknown key",
	} {
		if _, err := config.ParseSynapse("f.toml", []byte(text)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}
