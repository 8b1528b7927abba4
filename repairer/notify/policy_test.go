package notify_test

import (
	"fmt"
	"testing"
	"time"

	"glia/repairer/notify"
)

func clock(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("02 15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestPolicy_Due(t *testing.T) {
	t.Parallel()
	hours := func(from, to int) notify.Span {
		return notify.Span{From: time.Duration(from) * time.Hour, To: time.Duration(to) * time.Hour}
	}
	info, warning := notify.Notice{Severity: notify.Info}, notify.Notice{Severity: notify.Warning}
	urgent := notify.Notice{Severity: notify.Critical, Urgent: true}
	none := notify.Policy{Digest: -1}
	for _, tt := range []struct {
		name    string
		policy  notify.Policy
		what    []notify.Notice
		at      []string // of the notices
		sent    []string
		now     string
		told    int
		again   string // empty: never
		because string
	}{
		{"nothing", none, nil, nil, nil, "01 12:00", 0, "", ""},
		{"at once", none, []notify.Notice{info}, []string{"01 12:00"}, nil, "01 12:00", 1, "", ""},
		{"the first waits for others", notify.Policy{Digest: -1, Group: time.Hour}, []notify.Notice{info, warning}, []string{"01 12:00", "01 12:30"}, nil, "01 12:59", 0, "01 13:00", "grouping"},
		{"and takes them along", notify.Policy{Digest: -1, Group: time.Hour}, []notify.Notice{info, warning}, []string{"01 12:00", "01 12:30"}, nil, "01 13:00", 2, "", ""},
		{"what is urgent does not wait", notify.Policy{Digest: -1, Group: time.Hour, Quiet: hours(12, 14), PerHour: 1}, []notify.Notice{info, urgent}, []string{"01 12:00", "01 12:30"}, []string{"01 12:29"}, "01 12:30", 1, "01 12:30", "an urgent notice goes first"},
		{"quiet in the night", notify.Policy{Digest: -1, Quiet: hours(22, 7)}, []notify.Notice{warning}, []string{"01 23:00"}, nil, "01 23:00", 0, "02 07:00", "quiet hours"},
		{"still quiet after midnight", notify.Policy{Digest: -1, Quiet: hours(22, 7)}, []notify.Notice{warning}, []string{"01 23:00"}, nil, "02 06:59", 0, "02 07:00", "quiet hours"},
		{"not quiet in the morning", notify.Policy{Digest: -1, Quiet: hours(22, 7)}, []notify.Notice{warning, info}, []string{"01 23:00", "02 01:00"}, nil, "02 07:00", 2, "", ""},
		{"quiet at noon", notify.Policy{Digest: -1, Quiet: hours(12, 13)}, []notify.Notice{warning}, []string{"01 12:10"}, nil, "01 12:10", 0, "01 13:00", "quiet hours"},
		{"too many", notify.Policy{Digest: -1, PerHour: 2}, []notify.Notice{info}, []string{"01 12:00"}, []string{"01 10:00", "01 11:30", "01 11:40"}, "01 12:00", 0, "01 12:30", "rate"},
		{"not too many any more", notify.Policy{Digest: -1, PerHour: 2}, []notify.Notice{info, info}, []string{"01 12:00", "01 12:01"}, []string{"01 11:30", "01 11:40"}, "01 12:30", 2, "", ""},
		{"a digest of what asks for nothing", notify.Policy{Digest: 8 * time.Hour}, []notify.Notice{info, warning}, []string{"01 12:00", "01 12:00"}, nil, "01 12:00", 1, "02 08:00", "digest"},
		{"in the morning", notify.Policy{Digest: 8 * time.Hour}, []notify.Notice{info, info}, []string{"01 12:00", "02 07:59"}, nil, "02 08:00", 2, "", ""},
	} {
		var pending []notify.Notice
		for i, n := range tt.what {
			n.At, n.Seq = clock(t, tt.at[i]), uint64(i+1)
			pending = append(pending, n)
		}
		var sent []time.Time
		for _, s := range tt.sent {
			sent = append(sent, clock(t, s))
		}
		told, again, why := tt.policy.Due(pending, sent, clock(t, tt.now))
		got, want := fmt.Sprint(len(told), again, why), fmt.Sprint(tt.told, time.Time{}, tt.because)
		if tt.again != "" {
			want = fmt.Sprint(tt.told, clock(t, tt.again), tt.because)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", tt.name, got, want)
		}
	}
}

func TestPolicy_QuietFollowsTheClocksOfTheSite(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("this host has no time zones: ", err)
	}
	p := notify.Policy{Digest: -1, Quiet: notify.Span{From: 22 * time.Hour, To: 7 * time.Hour}, Zone: berlin}
	n := []notify.Notice{{Seq: 1}}
	// In the night to 29 March 2026 the clocks go forward: 7 o'clock is 5 UTC after it, and 6 UTC before.
	for now, want := range map[time.Time]time.Time{
		time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC): time.Date(2026, 3, 29, 5, 0, 0, 0, time.UTC),
		time.Date(2026, 3, 27, 23, 0, 0, 0, time.UTC): time.Date(2026, 3, 28, 6, 0, 0, 0, time.UTC),
	} {
		if _, again, why := p.Due(n, nil, now); !again.Equal(want) || why != "quiet hours" {
			t.Errorf("at %s: until %s (%s), want %s", now, again.UTC(), why, want)
		}
	}
}
