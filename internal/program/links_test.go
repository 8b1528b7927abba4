package program_test

import (
	"bufio"
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What a command imports is in its memory whether it is used or not, and a nerve runs on each storage host.
func TestCommands_LinkOnlyWhatTheyNeed(t *testing.T) {
	t.Parallel()
	stores := []string{"modernc.org/sqlite", "github.com/pressly/goose/v3", "github.com/jackc/pgx/v5"}
	people := []string{"github.com/spf13/cobra", "github.com/nicholas-fedor/shoutrrr", "github.com/slack-go/slack", "github.com/andygrunwald/go-jira", "github.com/nixys/nxs-go-redmine/v5"}
	heavy := []string{"google.golang.org/grpc", "golang.org/x/net/trace", "testing"}
	for command, banned := range map[string][]string{
		"nerve":    slices.Concat(stores, people, heavy, []string{"glia/synapse", "glia/repairer"}),
		"synapse":  slices.Concat(stores, people, heavy, []string{"glia/nerve", "glia/repairer"}),
		"repairer": {"glia/nerve", "glia/synapse", "github.com/spf13/cobra", "testing"},
		"glia":     {"testing"},
	} {
		imports := importsOf(t, "glia/cmd/"+command)
		for _, p := range banned {
			if imports[p] != nil {
				t.Errorf("%s has %s linked: %s", command, p, strings.Join(chain(imports, "glia/cmd/"+command, p), " imports "))
			}
		}
	}
}

// importsOf are the imports of a command and of all that it imports, by package.
func importsOf(t *testing.T, command string) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, command).Output()
	if err != nil {
		t.Fatalf("list the imports of %s: %v", command, err)
	}
	all := map[string][]string{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		all[words[0]] = words[1:] // not nil
	}
	return all
}

// chain is how one package comes to another, by the fewest steps.
func chain(imports map[string][]string, from, to string) []string {
	came := map[string]string{from: ""}
	for next := []string{from}; len(next) > 0; next = next[1:] {
		for _, p := range imports[next[0]] {
			if _, seen := came[p]; !seen {
				came[p], next = next[0], append(next, p)
			}
		}
	}
	var path []string
	for p := to; p != ""; p = came[p] {
		path = append(path, p)
	}
	slices.Reverse(path)
	return path
}
