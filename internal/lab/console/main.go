// Command console boots one machine of the lab and breaks its disks as it is told on its standard input. It ends with
// its input, with "quit" or with a signal; the machine and its disks are gone then.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"glia/internal/lab"
)

const help = `  disks                         what nerve says of the disks
  announced                     what it announces in Serf
  sh COMMAND                    run a command in the machine
  log                           what was said on its console, with nerve's log
  warn nvme0 BITS               critical warning: 1 spare, 2 temperature, 4 reliability, 8 read-only, 16 backup
  break DISK read|write|flush…  answer all such requests with a medium error
  slow DISK N                   complete N requests in a second
  hang DISK                     complete no request
  heal DISK                     undo break, slow and hang
  pull DISK                     pull it out (not SATA)
  insert DISK SERIAL            put a blank one there
  quit
`

const config = `[probe]
interval = "5s"
deadline = "20s"
[judge]
together = 0   # whoever plays here breaks one disk after another
late = "0s"
`

const diskMB = 256

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer) error {
	dir, err := os.MkdirTemp("", "glia-lab")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	image, err := lab.BuildImage(ctx, dir, nil)
	if err != nil {
		return err
	}
	c := &console{dir: dir, out: out}
	spec := lab.Spec{Name: "lab", Image: image, Dir: dir}
	for bus, n := range map[lab.Bus]int{lab.NVMe: 2, lab.SATA: 2, lab.SCSI: 4} {
		for port := range n {
			d, err := c.blank(bus, port, strings.ToUpper(fmt.Sprintf("%s%d", bus, port)))
			if err != nil {
				return err
			}
			spec.Disks = append(spec.Disks, d)
		}
	}
	if c.m, err = lab.Boot(ctx, spec); err != nil {
		return err
	}
	defer c.m.Kill()
	if err := c.m.StartNerve(ctx, config); err != nil {
		return err
	}
	c.print("The machine is up. Its nerve: http://%s, its Serf: serf members -rpc-addr=%s\n%s", c.m.API(), c.m.Serf(), help)
	return c.loop(ctx, in)
}

// console does what is typed.
type console struct {
	m   *lab.Machine
	dir string
	out io.Writer
	new int // images made so far
}

func (c *console) print(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, format, args...) // nobody looks any more
}

func (c *console) loop(ctx context.Context, in io.Reader) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		c.print("lab> ")
		select {
		case <-ctx.Done():
			return nil
		case <-c.m.Ended():
			return fmt.Errorf("the machine has ended; its console:\n%s", c.m.Said())
		case line, more := <-lines:
			words := strings.Fields(line)
			switch {
			case !more, len(words) > 0 && words[0] == "quit":
				return nil
			case len(words) == 0:
			default:
				if err := c.do(ctx, words, line); err != nil {
					c.print("%v\n", err)
				}
			}
		}
	}
}

func (c *console) do(ctx context.Context, words []string, line string) error {
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	number, _ := strconv.Atoi(arg(2)) // checked by the condition below
	numeric := words[0] == "warn" || words[0] == "slow"
	if numeric && strconv.Itoa(number) != arg(2) {
		return fmt.Errorf("%s needs a disk and a number", words[0])
	}
	switch words[0] {
	case "disks":
		return c.disks(ctx)
	case "announced":
		return c.announced()
	case "sh":
		text, err := c.m.Shell(ctx, strings.TrimPrefix(strings.TrimSpace(line), "sh"))
		c.print("%s", text)
		return err
	case "log":
		c.print("%s\n", c.m.Said())
		return nil
	case "warn":
		return c.m.Warn(arg(1), number)
	case "break":
		return c.m.Break(arg(1), words[min(2, len(words)):]...)
	case "slow":
		return c.m.Slow(arg(1), number)
	case "hang":
		return c.m.Hang(arg(1))
	case "heal":
		return c.m.Heal(arg(1))
	case "pull":
		return c.m.Pull(arg(1))
	case "insert":
		name := strings.TrimRight(arg(1), "0123456789")
		port, err := strconv.Atoi(strings.TrimPrefix(arg(1), name))
		if err != nil {
			return fmt.Errorf("insert needs a place, such as scsi4, and a serial")
		}
		d, err := c.blank(lab.Bus(name), port, arg(2))
		if err != nil {
			return err
		}
		return c.m.Insert(d)
	}
	c.print("%s", help)
	return nil
}

// blank makes a blank disk.
func (c *console) blank(bus lab.Bus, port int, serial string) (lab.Disk, error) {
	c.new++
	d := lab.Disk{Bus: bus, Port: port, Serial: serial, Model: "LABDISK", Image: filepath.Join(c.dir, fmt.Sprintf("disk%d", c.new))}
	return d, lab.Blank(d.Image, diskMB)
}

func (c *console) disks(ctx context.Context) error {
	disks, err := c.m.Disks(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, serial := range slices.Sorted(maps.Keys(disks)) {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", serial, disks[serial].Disk.Location.Device, disks[serial].Verdict.Summary()) // errors are Flush's
	}
	return w.Flush()
}

func (c *console) announced() error {
	r, err := c.m.Registry()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	a, err := r.Announcement()
	if err == nil {
		c.print("disks=%s disk_count=%d bad=%v generation=%d\n", a.Worst, a.DiskCount, a.Bad, a.Generation)
	}
	return err
}
