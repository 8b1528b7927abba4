package hand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// toolEnv is the environment of mkfs and mount: nothing of the nerve's own, and English messages.
var toolEnv = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}

// passedOn are the variables of the nerve's environment that hooks get. The others stay here, because
// secrets may be among them.
var passedOn = []string{"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "JAVA_HOME"}

// hook prepares running the operator's hook. Draining is also possible when the disk is gone: it has
// then no device, but its users can still be told.
func (h *Hand) hook(ctx context.Context, o *gliav1.Order, argv []string) (step, error) {
	disks, err := h.disks(ctx)
	if err != nil {
		return step{}, err
	}
	var device, note string
	d, err := ordered(disks, o)
	switch {
	case err == nil:
		device = d.DevicePath()
	case o.GetVerb() == gliav1.Verb_VERB_DRAIN && errors.Is(err, glia.ErrNotFound):
		note = err.Error() + "\n"
	default:
		return step{}, err
	}
	name := verbName(o.GetVerb()) + " hook"
	if len(argv) == 0 {
		return step{run: func(context.Context) (string, error) { return note + "no " + name + " configured", nil }}, nil
	}
	env := []string{
		"GLIA_CASE=" + o.GetCaseId(),
		"GLIA_SERIAL=" + o.GetSerial(),
		"GLIA_PLACE=" + o.GetPlace(),
		"GLIA_DEVICE=" + device,
		"GLIA_MOUNT=" + o.GetFilesystem().GetTarget(),
		"GLIA_HOST=" + h.opts.Host,
	}
	all := env
	for _, name := range passedOn {
		if v, set := os.LookupEnv(name); set {
			all = append(all, name+"="+v)
		}
	}
	words := make([]string, len(env))
	for i, e := range env {
		k, v, _ := strings.Cut(e, "=")
		words[i] = k + "=" + commandLine(v)
	}
	return step{
		commands: []string{strings.Join(words, " ") + " " + commandLine(argv...)},
		run: func(ctx context.Context) (string, error) {
			out, err := h.run(ctx, h.opts.HookTimeout, argv, all)
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			return note + out, err
		},
	}, nil
}
