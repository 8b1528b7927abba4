package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"glia/config"
	"glia/internal/pki"
)

// Where the authority is, and how long what it signs is valid, unless said otherwise.
const (
	defaultCertDir  = "/etc/glia/ca"
	authorityDays   = 10 * 365
	certificateDays = 365
	mostDays        = 50 * 365
)

func certCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cert",
		Short: "Make the certificates of a fleet that has no authority of its own",
		Long: `Make the certificates of a fleet that has no authority of its own. It is a small one, for one fleet: keep its
directory on one machine, which needs no network, and copy only what is issued. It takes nothing back: a
certificate counts until it expires, so issue for as short as can be renewed. The programs take renewed files
up by themselves.`,
		Args: group,
		RunE: group,
	}
	cmd.AddCommand((&certInitCommand{app: a}).command(), (&certIssueCommand{app: a}).command(), (&certShowCommand{app: a}).command())
	return cmd
}

type certInitCommand struct {
	*app
	dir, name string
	days      int
}

func (c *certInitCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make an authority",
		Long: `Make an authority: its certificate, which every program needs as tls.ca, and its key, which no program
needs. Files that are there already are never overwritten.`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			until, err := lasting(c.now(), c.days)
			if err != nil {
				return err
			}
			made, err := pki.Create(c.dir, c.name, c.now(), until)
			if err != nil {
				return fmt.Errorf("make an authority in %s: %w", c.dir, err)
			}
			c.note("made the authority in %s; keep %s to yourself", c.dir, filepath.Join(c.dir, pki.KeyFile))
			return c.print(certsDoc{[]cert{certFrom(filepath.Join(c.dir, pki.CertFile), made.Cert, c.now())}})
		},
	}
	cmd.Flags().StringVar(&c.dir, "dir", defaultCertDir, "`directory` to make it in")
	cmd.Flags().StringVar(&c.name, "name", "glia", "`name` that stands in it")
	cmd.Flags().IntVar(&c.days, "days", authorityDays, "how many `days` it is valid")
	return cmd
}

type certIssueCommand struct {
	*app
	dir, out, role string
	names          []string
	days           int
}

func (c *certIssueCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "issue NAME",
		Short: "Sign a certificate for a host or a person",
		Long: `Sign a certificate for a host or a person, good for serving and for calling, and write it with a new key as
NAME.pem and NAME.key, which only you can read. Of a host it needs every name and address under which others
call it. The role is what its holder may do where [access] of a program does not say otherwise; without one,
it is what others in [access] says:

  glia cert issue node-17 --name 10.0.0.17 --role none        a nerve calls nobody
  glia cert issue synapse-1 --name 10.0.0.2 --role read
  glia cert issue repair-1 --name 10.0.0.3 --role destroy     name it in hand.repairers of every nerve
  glia cert issue ann --role operate                          a person`,
		Args: argument("NAME"),
		RunE: func(_ *cobra.Command, args []string) error { return c.run(args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&c.dir, "dir", defaultCertDir, "`directory` of the authority")
	f.StringVar(&c.out, "out", ".", "`directory` to write to")
	f.StringSliceVar(&c.names, "name", nil, "one more `name` of it: a DNS name, an address, or a URI such as spiffe://example.com/glia/repairer; may be repeated")
	f.StringVar(&c.role, "role", "", "`role` that it carries: none, read, operate or destroy")
	f.IntVar(&c.days, "days", certificateDays, "how many `days` it is valid, but not longer than the authority")
	complete(cmd, "role", "none", "read", "operate", "destroy")
	return cmd
}

func (c *certIssueCommand) run(name string) error {
	var role config.Role
	if c.role != "" {
		if err := role.UnmarshalText([]byte(c.role)); err != nil {
			return usagef("--role %w", err)
		}
	}
	until, err := lasting(c.now(), c.days)
	if err != nil {
		return err
	}
	ca, err := pki.Open(c.dir)
	if err != nil {
		return err
	}
	issued, err := ca.Issue(pki.Request{Name: name, Names: c.names, Role: role, Until: until}, c.now())
	if err != nil {
		return fmt.Errorf("sign a certificate for %s: %w", name, err)
	}
	if err := os.MkdirAll(c.out, 0o700); err != nil {
		return err
	}
	base := filepath.Join(c.out, fileName(name))
	if err := issued.Save(base+".pem", base+".key"); err != nil {
		return fmt.Errorf("write the certificate of %s: %w", name, err)
	}
	c.note("wrote %s.pem and %s.key; its holder needs both, and %s", base, base, filepath.Join(c.dir, pki.CertFile))
	return c.print(certsDoc{[]cert{certFrom(base+".pem", issued.Cert, c.now())}})
}

// fileName is a name without what means something in a path.
func fileName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*? `, r) || r < ' ' {
			return '_'
		}
		return r
	}, name)
	return cmp.Or(strings.TrimLeft(clean, "."), "_")
}

func lasting(now time.Time, days int) (time.Time, error) {
	if days < 1 || days > mostDays {
		return now, usagef("--days %d: want 1 to %d", days, mostDays)
	}
	return now.AddDate(0, 0, days), nil
}

type certShowCommand struct{ *app }

func (c *certShowCommand) command() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE...",
		Short: "Tell whose a certificate is, till when, and what role it carries",
		Long: `Tell whose a certificate is, till when it is valid, which role it carries, and its fingerprint (SHA-256), as
the log of the programs names it. It ends with exit code 4 when one has expired.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return c.run(args) },
	}
}

func (c *certShowCommand) run(files []string) error {
	var d certsDoc
	var over []string
	for _, f := range files {
		read, err := pki.ReadCert(f)
		if err != nil {
			return fmt.Errorf("read a certificate: %w", err)
		}
		d.Certificates = append(d.Certificates, certFrom(f, read, c.now()))
		if c.now().After(read.NotAfter) {
			over = append(over, f+" has expired")
		}
	}
	if err := c.print(d); err != nil {
		return err
	}
	if len(over) > 0 {
		return degradedError{over}
	}
	return nil
}

// certsDoc is the result of glia cert show, init and issue.
type certsDoc struct {
	Certificates []cert `json:"certificates"`
}

func (d certsDoc) write(w io.Writer, now time.Time) {
	for i, c := range d.Certificates {
		if i > 0 {
			fmt.Fprintln(w)
		}
		c.write(w, now)
	}
}
