package hand

import (
	"context"
	"fmt"
	"strings"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
)

// inspect looks at what is in the place of the old disk, which the order names, and says whether it
// may take the old disk's part. It changes nothing.
func (h *Hand) inspect(ctx context.Context, o *gliav1.Order) (step, error) {
	disks, err := h.disks(ctx)
	if err != nil {
		return step{}, err
	}
	return step{inspection: inspectPlace(ctx, disks, o)}, nil
}

func inspectPlace(ctx context.Context, disks []glia.Disk, o *gliav1.Order) *gliav1.Inspection {
	there := inPlace(disks, o.GetPlace())
	switch len(there) {
	case 0:
		return &gliav1.Inspection{Findings: []string{o.GetPlace() + " is empty"}}
	case 1:
	default:
		return &gliav1.Inspection{Findings: []string{fmt.Sprintf("several disks claim to be in %s: %s", o.GetPlace(), serials(there))}}
	}
	d := there[0]
	in := &gliav1.Inspection{Disk: api.DiskToProto(d)}
	if d.Serial() == o.GetSerial() {
		in.Findings = []string{"still the old disk"}
		return in
	}
	in.Findings = candidateFindings(d, o.GetMinSize(), o.GetRetired())
	if d.Serial() != "" {
		if _, err := find(disks, d.Serial()); err != nil {
			in.Findings = append(in.Findings, err.Error())
		}
	}
	if old, err := find(disks, o.GetSerial()); err == nil {
		in.Findings = append(in.Findings, fmt.Sprintf("the old disk %s is still in this host, in %s", o.GetSerial(), orNone(old.Location.Place())))
	}
	in.Findings = append(in.Findings, prove(ctx, d).findings()...)
	in.Acceptable = len(in.Findings) == 0
	return in
}

// inWords joins findings to one sentence for a refusal.
func inWords(findings []string) string { return strings.Join(findings, "; ") }
