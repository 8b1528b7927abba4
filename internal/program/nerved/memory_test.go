package nerved_test

import (
	"testing"

	"glia/internal/program/nerved"
)

func TestGarbage_IsBoundedByWhatIsInUse(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for live, want := range map[uint64]int{0: 50, 1 * mb: 50, 4 * mb: 50, 5 * mb: 40, 9 * mb: 22, 10 * mb: 20, 100 * mb: 20} {
		if got := nerved.Garbage(live); got != want {
			t.Errorf("%d MiB in use: %d %%, want %d %%", live/mb, got, want)
		}
	}
}
