package probe

import (
	"context"
	"strings"

	"glia"
)

// Excuser says why a fault of a mounted filesystem does not speak about the disk; empty when it knows no reason. It
// may be asked by several workers at once.
type Excuser interface {
	Excuse(ctx context.Context, d glia.Disk, m glia.Mount) string
}

// Excuses are asked one after the other; the first reason counts.
type Excuses []Excuser

// excuse makes faults of a mounted filesystem unknown when something excuses it.
func (x Excuses) excuse(ctx context.Context, d glia.Disk, m glia.Mount, faults ...glia.Evidence) []glia.Evidence {
	asked, why := false, ""
	for i, e := range faults {
		if e.Unknown != "" || e.Value <= 0 {
			continue
		}
		if !asked {
			asked, why = true, x.why(ctx, d, m)
		}
		if why != "" {
			faults[i].Value, faults[i].Unknown = 0, strings.TrimSpace(m.Target+": "+why)
		}
	}
	return faults
}

func (x Excuses) why(ctx context.Context, d glia.Disk, m glia.Mount) string {
	for _, e := range x {
		if why := e.Excuse(ctx, d, m); why != "" {
			return why
		}
	}
	return ""
}
