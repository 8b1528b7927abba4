package cli

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"glia"
)

// What a bundle has at most, so that one of a large fleet can still be sent by mail.
const (
	bundledCases = 200      // whole, with their histories
	bundledDisks = 5000     // of the fleet, about
	bundledPage  = 32 << 20 // bytes of one page, such as /metrics
)

type bundleCommand struct {
	*app
	configs string
}

func (c *bundleCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle FILE",
		Short: "Collect what somebody needs who helps from afar",
		Long: `Write into FILE, a .tar.gz that must not exist, what the repairer, the synapse and the nerve of this host tell: health, metrics,
cases with their histories, tickets, queue, disks and services. Only its owner can read it.

There is no secret of glia's in it, but there are names of hosts and people, addresses and serials. With --configs the
configuration files are in it, too, as far as they are valid: they only say where a secret is, but commands and lines for HAProxy
in them are yours, so look them through. What can not be had is named, in the file problems.txt, too; then the exit code is 4.`,
		Args: argument("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringVar(&c.configs, "configs", "", "`directory` of nerve.toml, synapse.toml and repairer.toml, such as /etc/glia")
	return cmd
}

// bundleDoc is the result of glia bundle.
type bundleDoc struct {
	File     string   `json:"file"`
	Parts    []string `json:"parts"`              // names of the files in it
	Problems []string `json:"problems,omitempty"` // what could not be had, and why
}

func (d bundleDoc) write(w io.Writer, _ time.Time) {
	fmt.Fprintf(w, "%s: %s\n", d.File, plural(len(d.Parts), "file"))
}

func (c *bundleCommand) run(ctx context.Context, path string) (err error) {
	servers, err := c.servers()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil && !errors.As(err, new(degradedError)) {
			_ = os.Remove(path) // the error counts
		}
	}()
	z := gzip.NewWriter(f)
	b := &bundle{tar: tar.NewWriter(z), now: c.now(), doc: bundleDoc{File: path, Parts: []string{}}}
	asked := map[string]string{}
	for _, s := range servers {
		asked[s.name] = s.url
		b.collect(ctx, s)
	}
	if c.configs != "" {
		b.configurations(c.configs)
	}
	if ctx.Err() != nil {
		return errors.New("interrupted; no bundle was written")
	}
	if err := c.finish(b, asked); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	if err := errors.Join(b.failed, b.tar.Close(), z.Close()); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	if err := c.print(b.doc); err != nil {
		return err
	}
	for _, p := range b.doc.Problems {
		c.note("%s", clean(p))
	}
	if n := len(b.doc.Problems); n > 0 {
		return degradedError{[]string{plural(n, "thing") + " could not be had"}}
	}
	return nil
}

// finish adds what the bundle says of itself.
func (c *bundleCommand) finish(b *bundle, asked map[string]string) error {
	host, err := os.Hostname()
	if err != nil {
		b.problem("name of this host", err)
	}
	about, err := json.MarshalIndent(map[string]any{
		"made": b.now.UTC(), "glia": glia.Version, "go": runtime.Version(), "system": runtime.GOOS + "/" + runtime.GOARCH, "host": host, "asked": asked,
	}, "", "  ")
	if err != nil {
		return err
	}
	b.add("about.json", about)
	if len(b.doc.Problems) > 0 {
		b.add("problems.txt", []byte(strings.Join(b.doc.Problems, "\n")+"\n"))
	}
	return nil
}
