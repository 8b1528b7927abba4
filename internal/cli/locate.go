package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	gliav1 "glia/api/glia/v1"
)

type locateCommand struct {
	*app
	person
}

func (c *locateCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "locate HOST SLOT|SERIAL on|off",
		Short: "Switch the locate light of a disk's slot",
		Long: `Switch the locate light of a disk's slot. The disk is named by its serial, by its slot, or by its
place as glia disks prints it. A light that is on does not mean that the disk may be pulled: that is
what the ticket says.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 3 || args[2] != "on" && args[2] != "off" {
				return fmt.Errorf("%s needs HOST, SLOT or SERIAL, and on or off", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
			switch len(args) {
			case 0:
				return c.completeHosts(cmd, args, typed)
			case 1:
				return c.offer(cmd, typed, c.serials)
			case 2:
				return []cobra.Completion{"on", "off"}, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd.Context(), args[0], args[1], args[2] == "on")
		},
	}
	c.addFlag(cmd)
	return cmd
}

func (c *locateCommand) run(ctx context.Context, host, disk string, on bool) error {
	who, err := c.name(c.env)
	if err != nil {
		return err
	}
	rc, s, err := c.repairClient()
	if err != nil {
		return err
	}
	res, err := call(ctx, s, rc.Locate, &gliav1.LocateRequest{Host: host, Disk: disk, On: on, Person: who})
	if err != nil {
		return err
	}
	return c.print(lightDoc{Host: res.GetHost(), Place: res.GetPlace(), Serial: res.GetSerial(), On: res.GetOn()})
}

// lightDoc is the result of glia locate.
type lightDoc struct {
	Host   string `json:"host"`
	Place  string `json:"place"`
	Serial string `json:"serial"`
	On     bool   `json:"on"`
}

func (d lightDoc) write(w io.Writer, _ time.Time) {
	word := "off"
	if d.On {
		word = "on"
	}
	fmt.Fprintf(w, "the locate light of %s of %s is %s; the disk there is %s\n", clean(d.Place), clean(d.Host), word, clean(d.Serial))
}
