package ceph

import (
	"context"
	"fmt"
	"slices"

	"glia"
	"glia/repairer"
)

// Metadata is what an OSD told the monitors of itself when it last started.
type Metadata struct {
	Host string
	DB   bool // it has its DB on a device of its own
	WAL  bool
}

// DecodeMetadata reads osd metadata of one OSD.
func DecodeMetadata(b []byte) (Metadata, error) {
	const what = "osd metadata"
	var in struct {
		Host  string `json:"hostname"`
		Store string `json:"osd_objectstore"`
		DB    string `json:"bluefs_dedicated_db"`
		WAL   string `json:"bluefs_dedicated_wal"`
	}
	if err := unmarshal(what, b, &in); err != nil {
		return Metadata{}, err
	}
	switch {
	case in.Store != "bluestore":
		return Metadata{}, fmt.Errorf("answer to %s: its object store is %q, glia knows bluestore", what, in.Store)
	case in.DB != "0" && in.DB != "1" || in.WAL != "0" && in.WAL != "1":
		return Metadata{}, lacks(what, "bluefs_dedicated_db or bluefs_dedicated_wal")
	}
	return Metadata{Host: in.Host, DB: in.DB == "1", WAL: in.WAL == "1"}, nil
}

// parts refuses an OSD of which the disk tells less than the OSD itself once did: the label of a raw OSD
// names no DB, so that one whose DB disk is gone looks like one that never had any, and would be made
// without it. An OSD of no mode was not read from a disk, and has no say in this.
func (c *cluster) parts(ctx context.Context, d glia.Disk, osd glia.OSD) *repairer.Refusal {
	if osd.Mode == "" {
		return nil
	}
	b, err := c.Cluster.Mon(ctx, Command{"prefix": "osd metadata", "id": osd.ID}, nil)
	var m Metadata
	if err == nil {
		m, err = DecodeMetadata(b)
	}
	if err != nil {
		r := refusal("whether "+name(osd.ID)+" has a DB or WAL elsewhere is not known: "+steadyWords(err), "an OSD whose parts are all known", "the monitors tell")
		return &r
	}
	var lost string
	here := func(role glia.OSDRole) bool { // on the disk of the case itself
		return slices.ContainsFunc(d.OSDs, func(o glia.OSD) bool { return o.ID == osd.ID && o.Role == role })
	}
	switch {
	case m.DB && osd.DB == "" && !here(glia.RoleDB):
		lost = "DB"
	case m.WAL && osd.WAL == "" && !here(glia.RoleWAL):
		lost = "WAL"
	default:
		return nil
	}
	r := refusal(fmt.Sprintf("%s has a %s on another device, and no disk of its host tells it", name(osd.ID), lost), "every part of the OSD is seen",
		"the disk with its "+lost+" is seen again, or a person makes the OSD anew")
	return &r
}
