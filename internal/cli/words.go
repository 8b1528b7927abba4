package cli

import (
	"fmt"
	"time"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
)

// verdict is glia.Verdict for JSON: times that are not known are left out.
type verdict struct {
	State      glia.State    `json:"state"`
	Reasons    []glia.Reason `json:"reasons,omitempty"` // most pressing first
	Why        string        `json:"why,omitempty"`     // why it is unknown or missing
	ObservedAt time.Time     `json:"observed_at,omitzero"`
	ExpiresAt  time.Time     `json:"expires_at,omitzero"`
	RuleSet    string        `json:"rule_set,omitempty"`
	Prober     string        `json:"prober,omitempty"`
	Kernel     string        `json:"kernel,omitempty"`
}

func (v verdict) summary() string { return glia.Verdict(v).Summary() }

// disk is one disk as the nerve of its host sees it, with the verdict as it stands now: one that has
// expired is unknown.
type disk struct {
	Disk     glia.Disk       `json:"disk"`
	Verdict  verdict         `json:"verdict"`
	Evidence []glia.Evidence `json:"evidence,omitempty"`

	// Of glia disk only.
	Accepted []acceptedDoc `json:"accepted,omitempty"` // values that count no more, unless they grow
	History  []seriesDoc   `json:"history,omitempty"`
	Since    time.Time     `json:"history_since,omitzero"`
}

// refusal is one gate that holds a step back.
type refusal struct {
	Gate  string `json:"gate"`
	Value string `json:"value"`           // the figure it looked at
	Limit string `json:"limit,omitempty"` // what it allows
	Until string `json:"until,omitempty"` // what would change its mind
}

func (r refusal) words() string {
	s := clean(r.Gate) + ": " + clean(r.Value)
	if r.Limit != "" {
		s += " (limit " + clean(r.Limit) + ")"
	}
	return s
}

func refusalFrom(r *gliav1.Refusal) refusal {
	return refusal{Gate: r.GetGate(), Value: r.GetValue(), Limit: r.GetLimit(), Until: r.GetUntil()}
}

func refusalsFrom(in []*gliav1.Refusal) []refusal { return each(in, refusalFrom) }

// each converts a list; the result of an empty one is an empty list, not null in JSON.
func each[P, Q any](in []P, convert func(P) Q) []Q {
	out := make([]Q, 0, len(in))
	for _, p := range in {
		out = append(out, convert(p))
	}
	return out
}

func diskFrom(s *gliav1.DiskStatus, now time.Time) disk {
	d := api.DiskStatusFromProto(s)
	return disk{Disk: d.Disk, Verdict: verdict(d.Verdict.At(now)), Evidence: d.Evidence}
}

// deviceWords is the kernel name of a disk, or what is known instead.
func deviceWords(d glia.Disk) string {
	if d.Location.Device == "" {
		return ""
	}
	return d.DevicePath()
}

// pauseEntry is one pause that is or was in force.
type pauseEntry struct {
	ID     string    `json:"id"`
	Scope  string    `json:"scope"` // fleet, host:NAME or disk:SERIAL
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"` // absent: until it is resumed
}

func pauseFrom(p *gliav1.PauseEntry) pauseEntry {
	return pauseEntry{
		ID: p.GetId(), Scope: p.GetScope(), Owner: p.GetOwner(), Reason: p.GetReason(),
		Since: api.TimeFromProto(p.GetSince()), Until: api.TimeFromProto(p.GetUntil()),
	}
}

func (p pauseEntry) words(now time.Time) string {
	end := "until resumed"
	if !p.Until.IsZero() {
		end = "until " + stamp(p.Until)
	}
	return fmt.Sprintf("%s paused by %s %s, %s: %s", clean(p.Scope), clean(p.Owner), ago(now, p.Since), end, clean(p.Reason))
}
