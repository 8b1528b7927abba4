package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"glia/config"
	"glia/internal/migrate"
)

func importCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Turn configurations of other programs into glia's", Args: group, RunE: group}
	cmd.AddCommand(
		(&importer{app: a, convert: importSmartstack}).command("smartstack", "Airbnb's nerve and synapse", `in JSON or YAML, into glia's. Give the main files, and those of their
service_conf_dir.`),
		(&importer{app: a, convert: importBynar}).command("bynar", "Bynar", `bynar.json, disk-manager.json and ceph.json, into glia's. Secrets are not copied. Bynar's database of
disks is not read: end the repairs that are open in it first.`))
	return cmd
}

// importer turns files into configurations of glia's programs.
type importer struct {
	*app
	dir     string
	convert func([]migrate.File) (importedDoc, error)
}

func (c *importer) command(name, whose, how string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name + " FILE...",
		Short: "Turn configurations of " + whose + " into glia's",
		Long: "Turn configurations of " + whose + ", " + how + ` Prints what belongs into the files of glia's programs, or writes them
into --dir, which must not have them yet. What is not carried over is told on standard error. Nothing becomes less strict:
what glia does not have is kept by its name, and refused until you have chosen something else; the exit code is 4 then.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s needs at least one FILE", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return c.run(args) },
	}
	cmd.Flags().StringVar(&c.dir, "dir", "", "`directory` to write the files into")
	return cmd
}

func importSmartstack(files []migrate.File) (importedDoc, error) {
	o, err := migrate.Files(files...)
	return importedDoc{Nerve: o.Nerve, Synapse: o.Synapse, Notes: o.Notes}, err
}

func importBynar(files []migrate.File) (importedDoc, error) {
	o, err := migrate.Bynar(files...)
	return importedDoc{Repairer: o.Repairer, Notes: o.Notes}, err
}

func (c *importer) run(names []string) error {
	var files []migrate.File
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		files = append(files, migrate.File{Name: name, Data: data})
	}
	d, err := c.convert(files)
	if err != nil {
		return err
	}
	d.Notes, d.Refused = append([]string{}, d.Notes...), d.refusals()
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
func (c *importer) write(d importedDoc) error {
	for _, file := range d.files() {
		path := filepath.Join(c.dir, file.name)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s is there already: name another --dir", path)
		}
		if err != nil {
			return err
		}
		_, err = io.WriteString(f, file.text)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		c.note("wrote %s", path)
	}
	return nil
}

// importedDoc is the result of glia import.
type importedDoc struct {
	Nerve    string   `json:"nerve"`    // TOML; empty when no file was about it
	Synapse  string   `json:"synapse"`  // the same of synapse
	Repairer string   `json:"repairer"` // the same of the repairer
	Notes    []string `json:"notes"`    // what was not carried over
	Refused  []string `json:"refused"`  // why glia would not take it yet
}

type importedFile struct{ name, text string }

func (d importedDoc) files() []importedFile {
	return slices.DeleteFunc([]importedFile{{"nerve.toml", d.Nerve}, {"synapse.toml", d.Synapse}, {"repairer.toml", d.Repairer}},
		func(f importedFile) bool { return f.text == "" })
}

// refusals are the reasons for which glia's programs would not take the files.
func (d importedDoc) refusals() []string {
	out := []string{}
	_, nerve := config.ParseNerve("nerve.toml", []byte(d.Nerve))
	_, synapse := config.ParseSynapse("synapse.toml", []byte(d.Synapse))
	_, repairer := config.ParseRepairer("repairer.toml", []byte(d.Repairer))
	for _, err := range []error{nerve, synapse, repairer} {
		if bad := (*config.Errors)(nil); errors.As(err, &bad) {
			for _, p := range bad.Problems {
				out = append(out, p.String())
			}
		}
	}
	return out
}

func (d importedDoc) write(w io.Writer, _ time.Time) {
	for _, f := range d.files() {
		fmt.Fprintf(w, "# %s\n%s\n", f.name, strings.TrimRight(f.text, "\n"))
	}
}
