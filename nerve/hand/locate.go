package hand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// locate prepares switching the locate light of a place on or off. The place is enough: the light can be
// switched off when the disk is gone. A place without a light is no error: the outcome says so.
func (h *Hand) locate(ctx context.Context, o *gliav1.Order) (step, error) {
	lights, err := h.lights(o.GetPlace())
	if err != nil {
		return step{}, err
	}
	if len(lights) > 0 {
		value := "0"
		if o.GetOn() {
			value = "1"
		}
		var commands []string
		for _, l := range lights {
			commands = append(commands, commandLine("echo", value)+" > "+l)
		}
		return step{commands: commands, run: func(context.Context) (string, error) {
			for _, l := range lights {
				if err := writeAttribute(l, value); err != nil {
					return "", fmt.Errorf("locate light of %s: %w", o.GetPlace(), err)
				}
			}
			return lightWords(o), nil
		}}, nil
	}
	none := func(why string) (step, error) {
		output := "no locate light known for " + o.GetPlace() + ": " + why
		return step{run: func(context.Context) (string, error) { return output, nil }}, nil
	}
	const noSlot = "the kernel knows no enclosure with it"
	if len(h.opts.LocateCommand) == 0 {
		return none(noSlot + ", and no locate_command is configured")
	}
	if _, err := lookup(h.opts.LocateCommand[0]); err != nil {
		return none(noSlot + ", and " + h.opts.LocateCommand[0] + " is not installed")
	}
	disks, err := h.disks(ctx)
	if err != nil {
		return step{}, err
	}
	there := inPlace(disks, o.GetPlace())
	if len(there) != 1 {
		return none(fmt.Sprintf("%s, and %s needs the one disk in it, but there are %d", noSlot, h.opts.LocateCommand[0], len(there)))
	}
	word := "locate_off="
	if o.GetOn() {
		word = "locate="
		// A light at the wrong disk gets the wrong disk pulled.
		if there[0].Serial() != o.GetSerial() {
			return step{}, fmt.Errorf("%w: in %s is %s, not %s", glia.ErrIdentityMismatch, o.GetPlace(), there[0].Serial(), o.GetSerial())
		}
	}
	argv := append(append([]string(nil), h.opts.LocateCommand...), word+there[0].DevicePath())
	return step{commands: []string{commandLine(argv...)}, run: func(ctx context.Context) (string, error) {
		out, err := h.run(ctx, lookTimeout, argv, toolEnv)
		if err != nil {
			return out, fmt.Errorf("locate light of %s: %w", o.GetPlace(), err)
		}
		return lightWords(o), nil
	}}, nil
}

func lightWords(o *gliav1.Order) string {
	if o.GetOn() {
		return "the locate light of " + o.GetPlace() + " is on"
	}
	return "the locate light of " + o.GetPlace() + " is off"
}

// lights are the files that switch the light of a place, as the kernel's enclosure services show them:
// none, or more than one where two expanders see the same slot. Enclosures and slots have the names that
// the inventory gives them.
func (h *Hand) lights(place string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(h.opts.Sys, "class", "enclosure", "*", "*", "locate"))
	if err != nil {
		return nil, fmt.Errorf("look for enclosures: %w", err)
	}
	var out []string
	for _, f := range files {
		component := filepath.Dir(f)
		shelf := filepath.Dir(component)
		l := glia.Location{Enclosure: attribute(shelf, "id"), Slot: attribute(component, "slot")}
		if strings.Trim(l.Enclosure, "0x") == "" {
			l.Enclosure = filepath.Base(shelf)
		}
		if n, err := strconv.Atoi(l.Slot); err != nil || n < 0 {
			l.Slot = filepath.Base(component)
		}
		if l.Place() == place {
			out = append(out, f)
		}
	}
	return out, nil
}

func attribute(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return "" // an attribute that is not there is an empty one
	}
	return strings.TrimSpace(string(b))
}

// writeAttribute writes to a file of sysfs, which must exist.
func writeAttribute(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
