// Package cephcmd is glia ceph: what glia sees of the Ceph clusters in the repairer's configuration, in its
// own words, and the cephx user that it needs. It asks the clusters itself, from the repair host, and
// changes nothing in them but, on request, that user.
//
// It fails when a cluster does not answer, and with an explanation where the program was built without Ceph.
package cephcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"glia/repairer/storage/ceph"
)

// Command is glia ceph.
func Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "ceph",
		Short: "Show how glia sees the Ceph clusters, and make its user there",
		Long: `Show how glia sees the Ceph clusters, and make its user there. These commands are for the repair
host: they read the configuration of the repairer and ask the clusters themselves.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(createUserCommand(), statusCommand(), osdsCommand(), planCommand())
	return c
}

type createUser struct {
	conf, admin, keyring, user, write string
	print                             bool
}

func createUserCommand() *cobra.Command {
	var o createUser
	c := &cobra.Command{
		Use:   "create-user",
		Short: "Make the cephx user of the repairer, with no more capabilities than it needs",
		Long: `Make the cephx user of the repairer, with no more capabilities than it needs, and print its keyring.
A user that exists keeps its key and gets exactly these capabilities. It needs the key of an
administrator, who is client.admin unless --admin says otherwise. With --print nothing is done: the
command for the administrator is printed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := c.Flags()
	f.StringVar(&o.conf, "conf", "/etc/ceph/ceph.conf", "configuration `file` of the cluster")
	f.StringVar(&o.admin, "admin", "admin", "`user` who may make users, without client.")
	f.StringVar(&o.keyring, "keyring", "", "`file` with the key of the administrator (default: where the configuration says)")
	f.StringVar(&o.user, "user", "glia", "`name` of the user to make, without client.")
	f.StringVar(&o.write, "write", "", "write the keyring to a new `file` of mode 0600 instead of printing it")
	f.BoolVar(&o.print, "print", false, "only print the command that makes the user")
	return c
}

func (o createUser) run(cmd *cobra.Command) error {
	out := cmd.OutOrStdout()
	if o.print {
		fmt.Fprintln(out, ceph.UserCommand(o.user))
		return nil
	}
	if o.write == "" {
		return o.create(cmd.Context(), out)
	}
	// Before anything is done, so that no key is made that goes nowhere.
	f, err := os.OpenFile(o.write, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists, and may have the key in use: name another file, or leave --write out to see the key", o.write)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(o.create(cmd.Context(), f), f.Close()); err != nil {
		return errors.Join(err, os.Remove(o.write))
	}
	fmt.Fprintf(out, "client.%s is made; its key is in %s\n", o.user, o.write)
	return nil
}

// create makes the user and writes its keyring.
func (o createUser) create(ctx context.Context, to io.Writer) error {
	conn, err := ceph.Connect(ceph.Access{Conf: o.conf, Keyring: o.keyring, User: o.admin, Timeout: timeout})
	if err != nil {
		return fmt.Errorf("%w; or let an administrator run: %s", err, ceph.UserCommand(o.user))
	}
	keyring, err := ceph.CreateUser(ctx, conn, o.user)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(to, keyring); err != nil {
		return fmt.Errorf("write the key of client.%s: %w", o.user, err)
	}
	return nil
}

const timeout = 10 * time.Second

// print writes a document as JSON, or as its table.
func print(cmd *cobra.Command, doc any, table func(w *tabwriter.Writer)) error {
	out := cmd.OutOrStdout()
	if f := cmd.Flag("output"); f != nil && f.Value.String() == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(doc)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	table(w)
	return w.Flush()
}
