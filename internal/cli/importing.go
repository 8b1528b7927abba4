package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"glia/config"
	"glia/internal/migrate"
)

func importCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Turn configurations of other programs into glia's", Args: group, RunE: group}
	cmd.AddCommand((&importSmartstackCommand{app: a}).command())
	return cmd
}

type importSmartstackCommand struct {
	*app
	dir string
}

func (c *importSmartstackCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "smartstack FILE...",
		Short: "Turn configurations of Airbnb's nerve and synapse into glia's",
		Long: `Turn configurations of Airbnb's nerve and synapse, in JSON or YAML, into glia's. Give the main files, and those of their
service_conf_dir. Prints what belongs into nerve.toml and synapse.toml, or writes both into --dir, which must not have
them yet. What is not carried over is told on standard error. Nothing becomes less strict: what glia does not have is
kept by its name, and refused until you have chosen something else; the exit code is 4 then.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s needs at least one FILE", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return c.run(args) },
	}
	cmd.Flags().StringVar(&c.dir, "dir", "", "`directory` to write nerve.toml and synapse.toml into")
	return cmd
}

func (c *importSmartstackCommand) run(names []string) error {
	var files []migrate.File
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		files = append(files, migrate.File{Name: name, Data: data})
	}
	o, err := migrate.Files(files...)
	if err != nil {
		return err
	}
	d := importedDoc{Nerve: o.Nerve, Synapse: o.Synapse, Notes: append([]string{}, o.Notes...), Refused: []string{}}
	_, nerveErr := config.ParseNerve("nerve.toml", []byte(o.Nerve))
	_, synapseErr := config.ParseSynapse("synapse.toml", []byte(o.Synapse))
	for _, err := range []error{nerveErr, synapseErr} {
		if bad := (*config.Errors)(nil); errors.As(err, &bad) {
			for _, p := range bad.Problems {
				d.Refused = append(d.Refused, p.String())
			}
		}
	}
	if c.format != formatJSON {
		for _, n := range d.Notes {
			c.note("note: %s", clean(n))
		}
	}
	if c.dir != "" {
		if err := c.write(d); err != nil {
			return err
		}
	}
	if c.dir == "" || c.format == formatJSON {
		if err := c.print(d); err != nil {
			return err
		}
	}
	if len(d.Refused) > 0 {
		return degradedError{d.Refused}
	}
	return nil
}

// write makes the files, and replaces none.
func (c *importSmartstackCommand) write(d importedDoc) error {
	for name, text := range map[string]string{"nerve.toml": d.Nerve, "synapse.toml": d.Synapse} {
		if text == "" {
			continue
		}
		path := filepath.Join(c.dir, name)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s is there already: name another --dir", path)
		}
		if err != nil {
			return err
		}
		_, err = io.WriteString(f, text)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		c.note("wrote %s", path)
	}
	return nil
}

// importedDoc is the result of glia import smartstack.
type importedDoc struct {
	Nerve   string   `json:"nerve"`   // TOML; empty when no file was nerve's
	Synapse string   `json:"synapse"` // the same of synapse
	Notes   []string `json:"notes"`   // what was not carried over
	Refused []string `json:"refused"` // why glia would not take it yet
}

func (d importedDoc) write(w io.Writer, _ time.Time) {
	for _, f := range [][2]string{{"nerve.toml", d.Nerve}, {"synapse.toml", d.Synapse}} {
		if f[1] != "" {
			fmt.Fprintf(w, "# %s\n%s\n", f[0], strings.TrimRight(f[1], "\n"))
		}
	}
}
