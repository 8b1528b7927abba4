package dev

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
)

// Command is glia dev.
func Command() *cobra.Command {
	var o Options
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run a demo fleet on this machine and watch a disk being repaired",
		Long: `dev starts three storage hosts, a synapse and a repairer in one process, breaks a disk and shows
the whole repair. As root on Linux the disks are loop devices with ext4 and XFS; with --ceph each carries an
OSD of a real Ceph cluster, which is started for it. No other disk of this machine is touched, and nothing is
left behind.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.Out = c.OutOrStdout()
			return Run(c.Context(), o)
		},
	}
	c.PersistentFlags().StringVar(&o.Dir, "dir", "", "`directory` of the demo (default "+DefaultDir()+")")
	c.PersistentFlags().BoolVar(&o.Ceph, "ceph", false, "the demo with a real Ceph cluster (default directory "+defaultDir(true)+")")
	c.Flags().BoolVar(&o.Once, "once", false, "end after one complete repair; exit code 1 if it did not complete")
	c.Flags().BoolVar(&o.Simulated, "simulated", false, "use plain directories instead of loop devices")
	c.AddCommand(
		slotCommand("fail", "Break a disk of the running demo", &o, func(c *cobra.Command, a Act, _ []string) error {
			serial, how, err := a.Fail()
			if err == nil {
				fmt.Fprintf(c.OutOrStdout(), "%s is broken: %s\n", serial, how)
			}
			return err
		}),
		slotCommand("pull", "Pull a disk of the running demo out of its slot", &o, func(c *cobra.Command, a Act, _ []string) error {
			serial, err := a.Pull()
			if err == nil {
				fmt.Fprintf(c.OutOrStdout(), "%s is out of slot %d of %s\n", serial, a.Slot, a.Host)
			}
			return err
		}),
		insertCommand(&o),
	)
	return c
}

func insertCommand(o *Options) *cobra.Command {
	var small, used bool
	c := slotCommand("insert", "Put a disk into an empty slot of the running demo: a new one, or the one with that serial", o, func(c *cobra.Command, a Act, rest []string) error {
		serial := ""
		if len(rest) > 0 {
			serial = rest[0]
		}
		serial, err := a.Insert(c.Context(), serial, small, used)
		if err == nil {
			fmt.Fprintf(c.OutOrStdout(), "%s is in slot %d of %s\n", serial, a.Slot, a.Host)
		}
		return err
	})
	c.Use, c.Args = "insert HOST SLOT [SERIAL]", cobra.RangeArgs(2, 3)
	c.Flags().BoolVar(&small, "small", false, "half as large as the others")
	c.Flags().BoolVar(&used, "used", false, "with a filesystem on it")
	return c
}

func slotCommand(verb, short string, o *Options, do func(*cobra.Command, Act, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " HOST SLOT", Short: short, Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			slot, err := strconv.Atoi(args[1])
			if err != nil {
				return fmt.Errorf("slot %q: want a number from 1 to %d", args[1], disksPerHost)
			}
			dir := o.Dir
			if dir == "" {
				dir = defaultDir(o.Ceph)
			}
			return do(c, Act{Dir: dir, Host: args[0], Slot: slot}, args[2:])
		},
	}
}
