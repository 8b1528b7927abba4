package cephcmd

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"glia"
	"glia/config"
	"glia/internal/cli"
	"glia/internal/program/repairerd"
	"glia/repairer"
	"glia/repairer/storage/ceph"
)

// target is the clusters that a command is about.
type target struct{ config, cluster string }

func (t *target) addFlags(c *cobra.Command) {
	c.Flags().StringVar(&t.config, "config", "/etc/glia/repairer.toml", "configuration `file` of the repairer")
	c.Flags().StringVar(&t.cluster, "cluster", "", "`name` of one cluster (default: all)")
}

// each calls f with each cluster that is meant.
func (t target) each(f func(c config.Ceph, s ceph.Settings) error) error {
	r, err := repairerd.Load(t.config)
	if err != nil {
		return err
	}
	found := false
	var errs []error
	for _, c := range r.Ceph {
		if t.cluster != "" && t.cluster != c.Name {
			continue
		}
		found = true
		s, err := repairerd.CephSettings(c)
		if err == nil {
			err = f(c, s)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cluster %s: %w", c.Name, err))
		}
	}
	if !found {
		return fmt.Errorf("%s names no such cluster: see [[ceph]] there", t.config)
	}
	return errors.Join(errs...)
}

type clusterDoc struct {
	Name     string             `json:"name"`
	FSID     string             `json:"fsid"`
	OSDs     int                `json:"osds"`
	Up       int                `json:"up"`
	In       int                `json:"in"`
	PGs      int                `json:"pgs"`
	Unfit    int                `json:"unfit_pgs"` // not settled
	Refusals []repairer.Refusal `json:"refusals"`  // against any repair now
	Signs    []string           `json:"signs"`     // what the cluster has against single OSDs
	Survey   []string           `json:"survey"`    // where the cluster and the disks do not agree, by the repairer's last survey
	Unknown  string             `json:"survey_unknown,omitempty"`
}

func statusCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:   "status",
		Short: "Show each cluster and what holds repairs back in it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			docs := []clusterDoc{}
			failed := t.each(func(_ config.Ceph, s ceph.Settings) error {
				l, err := ceph.LookAt(cmd.Context(), s.Cluster, s.FSID, time.Now)
				if err != nil {
					return err
				}
				d := clusterDoc{Name: s.Name, FSID: s.FSID, PGs: l.Status.PGs, Unfit: len(l.Unfit), Refusals: append([]repairer.Refusal{}, ceph.Unfitness(l, nil, s.Policy, false)...)}
				for _, o := range l.Map.OSDs {
					d.OSDs++
					if o.Up {
						d.Up++
					}
					if o.In {
						d.In++
					}
				}
				signs, err := ceph.SignsOf(cmd.Context(), s.Cluster, l)
				if err != nil {
					return err
				}
				d.Signs = signWords(signs)
				docs = append(docs, d)
				return nil
			})
			if failed != nil && len(docs) == 0 {
				return failed
			}
			survey(cmd, docs)
			err := print(cmd, docs, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "CLUSTER\tOSDS\tUP\tIN\tPGS\tNOT-SETTLED\tHELD-BACK-BY")
				for _, d := range docs {
					fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", d.Name, d.OSDs, d.Up, d.In, d.PGs, d.Unfit, refusalWords(d.Refusals))
				}
				for _, d := range docs {
					d.writeFindings(w)
				}
			})
			return errors.Join(failed, err)
		},
	}
	t.addFlags(c)
	return c
}

// survey adds what the repairer has found out about the clusters together with the nerves.
func survey(cmd *cobra.Command, docs []clusterDoc) {
	found, err := cli.Findings(cmd)
	for i := range docs {
		d := &docs[i]
		d.Survey = []string{}
		if err != nil {
			d.Unknown = err.Error()
		}
		for _, f := range found {
			if words, ok := strings.CutPrefix(f, "cluster "+d.Name+": "); ok && !slices.Contains(d.Signs, words) {
				d.Survey = append(d.Survey, words)
			}
		}
	}
}

// writeFindings writes below the table what is wrong with single OSDs and disks.
func (d clusterDoc) writeFindings(w io.Writer) {
	for _, f := range d.Signs {
		fmt.Fprintf(w, "\n%s: %s", d.Name, f)
	}
	for _, f := range d.Survey {
		fmt.Fprintf(w, "\n%s: %s", d.Name, f)
	}
	if d.Unknown != "" {
		fmt.Fprintf(w, "\n%s: what the repairer's survey of its disks has found is not known: %s", d.Name, d.Unknown)
	}
	if len(d.Signs)+len(d.Survey) > 0 || d.Unknown != "" {
		fmt.Fprintln(w)
	}
}

func signWords(signs []ceph.Sign) []string {
	out := []string{}
	for _, s := range signs {
		out = append(out, s.Words)
	}
	return out
}

func refusalWords(r []repairer.Refusal) string {
	if len(r) == 0 {
		return "nothing"
	}
	var out []string
	for _, x := range r {
		out = append(out, x.Value)
	}
	return strings.Join(out, "; ")
}

type osdDoc struct {
	Cluster  string  `json:"cluster"`
	ID       int     `json:"id"`
	UUID     string  `json:"uuid"`
	Place    string  `json:"place"`
	State    string  `json:"state"`
	Class    string  `json:"class"`
	Weight   float64 `json:"crush_weight"`
	Reweight float64 `json:"reweight"`
	PGs      int     `json:"pgs"`
	Used     float64 `json:"used"`       // share
	Latency  float64 `json:"latency_ms"` // of commits

	Signs []string `json:"signs"` // what the cluster has against it
	kinds string   // of them
}

func osdsCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:   "osds",
		Short: "List the OSDs with what glia goes by",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			docs := []osdDoc{}
			failed := t.each(func(_ config.Ceph, s ceph.Settings) error {
				l, err := ceph.LookAt(cmd.Context(), s.Cluster, s.FSID, time.Now)
				if err != nil {
					return err
				}
				signs, err := ceph.SignsOf(cmd.Context(), s.Cluster, l)
				if err != nil {
					return err
				}
				for _, id := range slices.Sorted(maps.Keys(l.Map.OSDs)) {
					o, u := l.Map.OSDs[id], l.Usage[id]
					n, _ := l.Tree.OSD(id)
					d := osdDoc{
						Cluster: s.Name, ID: id, UUID: o.UUID, Place: strings.Join(l.Tree.Place(id), " "), State: strings.Join(o.State, ","), Class: n.Class,
						Weight: float64(n.Weight), Reweight: float64(o.Weight), PGs: u.PGs, Latency: l.Latency[id],
					}
					if u.Total > 0 {
						d.Used = float64(u.Used) / float64(u.Total)
					}
					own := slices.DeleteFunc(slices.Clone(signs), func(s ceph.Sign) bool { return s.OSD != id })
					d.Signs, d.kinds = signWords(own), kindWords(own)
					docs = append(docs, d)
				}
				return nil
			})
			if failed != nil && len(docs) == 0 {
				return failed
			}
			err := print(cmd, docs, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "CLUSTER\tOSD\tPLACE\tSTATE\tCLASS\tWEIGHT\tREWEIGHT\tPGS\tUSED\tLATENCY\tAGAINST-IT")
				for _, d := range docs {
					fmt.Fprintf(w, "%s\tosd.%d\t%s\t%s\t%s\t%.5f\t%.5f\t%d\t%.0f%%\t%.0fms\t%s\n", d.Cluster, d.ID, d.Place, d.State, d.Class, d.Weight, d.Reweight, d.PGs, 100*d.Used, d.Latency, d.kinds)
				}
			})
			return errors.Join(failed, err)
		},
	}
	t.addFlags(c)
	return c
}

// kindWords are the kinds of signs, each once.
func kindWords(signs []ceph.Sign) string {
	var out []string
	for _, s := range signs {
		if !slices.Contains(out, string(s.Kind)) {
			out = append(out, string(s.Kind))
		}
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, ", ")
}

type planDoc struct {
	Cluster  string             `json:"cluster"`
	OSD      int                `json:"osd"`
	Refusals []repairer.Refusal `json:"refusals"`
}

func planCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:   "plan OSD",
		Short: "Say what stands against emptying an OSD now, with figures",
		Long: `Say what stands against emptying an OSD now, with figures: health, flags, room in the failure domains,
whether it may be stopped. The steps of a repair, which also depend on the disk, are shown by glia plan.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.Atoi(strings.TrimPrefix(args[0], "osd."))
			if err != nil || id < 0 {
				return fmt.Errorf("%q is no OSD, such as 3 or osd.3", args[0])
			}
			docs := []planDoc{}
			failed := t.each(func(_ config.Ceph, s ceph.Settings) error {
				l, err := ceph.LookAt(cmd.Context(), s.Cluster, s.FSID, time.Now)
				if err != nil {
					return err
				}
				dr := ceph.New(nil, []ceph.Settings{s}, time.Now, slog.New(slog.DiscardHandler))
				d := glia.Disk{OSDs: []glia.OSD{{ID: id, UUID: l.Map.OSDs[id].UUID, Cluster: s.FSID, Role: glia.RoleBlock}}}
				docs = append(docs, planDoc{s.Name, id, append([]repairer.Refusal{}, dr.Check(cmd.Context(), repairer.Case{Disk: d}, "", nil)...)})
				return nil
			})
			if failed != nil && len(docs) == 0 {
				return failed
			}
			err = print(cmd, docs, func(w *tabwriter.Writer) {
				for _, d := range docs {
					if len(d.Refusals) == 0 {
						fmt.Fprintf(w, "osd.%d of %s may be emptied now\n", d.OSD, d.Cluster)
					}
					for _, r := range d.Refusals {
						fmt.Fprintf(w, "osd.%d of %s is held back: %s; allowed: %s; until %s\n", d.OSD, d.Cluster, r.Value, r.Limit, r.Until)
					}
				}
			})
			return errors.Join(failed, err)
		},
	}
	t.addFlags(c)
	return c
}
