package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"glia"
	"glia/nerve/disk/probe"
	"glia/nerve/disk/smart"
	"glia/nerve/judge"
)

type rulesTestCommand struct {
	*app
	rules string
}

func (c *rulesTestCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test FILE...",
		Short: "Judge recorded health data by a rule set",
		Long: `Judge recorded health data by the rules that are built in, or by those with a file of yours over them. A FILE is
what smartctl -j -a or glia disk -o json has printed, or a raw page of 512 bytes: NVMe's health log or the
SMART data of ATA. No disk and no server is asked.

Several files are one disk over time, oldest first: rules of growth compare the last one with those before it. The
last file is judged as if several probes in a row had seen it.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s needs a FILE", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return c.run(args) },
	}
	cmd.Flags().StringVar(&c.rules, "rules", "", "`file` with rules to lay over those that are built in")
	return cmd
}

// rulesFrom are the rules that are built in, with a file over them unless its name is empty.
func rulesFrom(path string) (judge.RuleSet, error) {
	if path == "" {
		return judge.Default(), nil
	}
	return judge.Default().OverlayFile(path)
}

func (c *rulesTestCommand) run(files []string) error {
	rules, err := rulesFrom(c.rules)
	if err != nil {
		return err
	}
	var id glia.Identity
	var rounds [][]glia.Evidence
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var e []glia.Evidence
		if id, e, err = recorded(b); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		date(e, c.now())
		rounds = append(rounds, e)
	}
	own := rules.For(id)
	needed := 1
	for _, r := range own.Rules {
		needed = max(needed, r.Fall, rules.Fall)
	}
	var s judge.DiskState
	var v glia.Verdict
	now := c.now().Add(-time.Duration(needed+len(rounds)-1) * time.Minute)
	for i, e := range rounds {
		for range needed {
			now = now.Add(time.Minute)
			if s, v = judge.Step(own, s, e, now, 2*time.Hour); i+1 < len(rounds) {
				break
			}
		}
	}
	return c.print(testDoc{Identity: id, Verdict: verdict(v), Evidence: rounds[len(rounds)-1]})
}

// date says when something was observed, where nothing recorded does.
func date(evidence []glia.Evidence, now time.Time) {
	for i, e := range evidence {
		if e.At.IsZero() {
			evidence[i].At = now
		}
	}
}

// recorded reads one file.
func recorded(b []byte) (glia.Identity, []glia.Evidence, error) {
	if len(b) == 512 && !json.Valid(b) {
		return rawPage(b)
	}
	var d disk
	if err := json.Unmarshal(b, &d); err == nil && len(d.Evidence) > 0 {
		return d.Disk.Identity, d.Evidence, nil
	}
	if !json.Valid(bytes.TrimSpace(b)) {
		return glia.Identity{}, nil, errors.New("it is neither JSON nor a page of 512 bytes")
	}
	var r smart.Reading
	o, err := r.Smartctl(b)
	if err != nil {
		return glia.Identity{}, nil, err
	}
	id := glia.Identity{Serial: o.Serial, Model: o.Model, Firmware: o.Firmware, Size: o.Capacity}
	if o.Asleep != "" {
		return id, nil, errors.New("the disk was asleep (" + o.Asleep + "), so there is nothing to judge")
	}
	return id, probe.Evidence(&r, probe.Names{Of: o.Names}), nil
}

// rawPage tells the two pages apart by the checksum that only ATA has.
func rawPage(b []byte) (glia.Identity, []glia.Evidence, error) {
	var r smart.Reading
	if err := r.Data.Value.Decode(b); err == nil {
		r.Kind, r.Data.Known = smart.KindATA, true
		missing := errors.New("not recorded")
		r.Thresholds.Err, r.Health.Err = missing, missing
		return glia.Identity{}, probe.Evidence(&r, probe.Names{Err: errors.New("the page does not tell the model")}), nil
	}
	err := r.NVMe.Value.Decode(b)
	if err == nil {
		err = r.NVMe.Value.Check()
	}
	if err != nil {
		return glia.Identity{}, nil, fmt.Errorf("it is neither the SMART data of ATA, whose bytes add up to zero, nor NVMe's health log: %w", err)
	}
	r.Kind, r.NVMe.Known = smart.KindNVMe, true
	return glia.Identity{}, probe.Evidence(&r, probe.Names{}), nil
}

// testDoc is the result of glia rules test.
type testDoc struct {
	Identity glia.Identity   `json:"identity"`
	Verdict  verdict         `json:"verdict"`
	Evidence []glia.Evidence `json:"evidence"`
}

func (d testDoc) write(w io.Writer, now time.Time) {
	facts(w, [2]string{"model", d.Identity.Model}, [2]string{"firmware", d.Identity.Firmware})
	d.Verdict.write(w, now)
	disk{Evidence: d.Evidence}.writeEvidence(w, now)
}
