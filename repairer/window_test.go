package repairer_test

import (
	"slices"
	"testing"
	"time"

	"glia/repairer"
)

func TestWindow_Contains(t *testing.T) {
	t.Parallel()
	night := repairer.Window{Days: []time.Weekday{time.Monday, time.Friday}, From: 22 * time.Hour, To: 4 * time.Hour}
	noon := repairer.Window{From: 11*time.Hour + 30*time.Minute, To: 13 * time.Hour}
	for _, tc := range []struct {
		w    repairer.Window
		at   string // in March 2026; the 2nd is a Monday
		want bool
	}{
		{night, "02 22:00", true}, {night, "02 21:59", false}, {night, "03 03:59", true}, {night, "03 04:00", false},
		{night, "02 03:00", false}, {night, "03 22:00", false}, {night, "07 01:00", true}, {night, "08 01:00", false},
		{noon, "01 11:30", true}, {noon, "04 12:59", true}, {noon, "04 13:00", false}, {noon, "04 11:29", false},
	} {
		at, err := time.Parse("2006-01 02 15:04", "2026-03 "+tc.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := tc.w.Contains(at.In(time.FixedZone("east", 5*3600))); got != tc.want {
			t.Errorf("%s at %s: %v", tc.w, at.Format("Mon 15:04"), got)
		}
	}
}

func TestGates_Window(t *testing.T) {
	t.Parallel()
	open, shut := repairer.Window{From: 11 * time.Hour, To: 13 * time.Hour}, repairer.Window{From: 13 * time.Hour, To: 14 * time.Hour}
	of := func(w repairer.Window, pools ...string) repairer.Window { w.Pools = pools; return w }
	for _, tc := range []struct {
		name    string
		windows []repairer.Window
		want    []string
	}{
		{"none", nil, nil},
		{"open", []repairer.Window{open}, nil},
		{"shut", []repairer.Window{shut}, []string{"window"}},
		{"one of two is open", []repairer.Window{shut, open}, nil},
		{"shut for another pool", []repairer.Window{of(shut, "default")}, nil},
		{"open for another pool", []repairer.Window{of(shut, "fast"), of(open, "default")}, []string{"window"}},
	} {
		c, f := good()
		f.Windows, f.Pools = tc.windows, []repairer.Pool{{Name: "fast", Hosts: []string{"node-*"}}}
		if got := gatesOf(t, c, f); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v refuse, want %v", tc.name, got, tc.want)
		}
	}
}
