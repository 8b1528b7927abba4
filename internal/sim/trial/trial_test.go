package trial_test

import (
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"glia/internal/sim/trial"
)

// once broke a promise, or a check that was wrong, and must stay mended.
var once = []uint64{2227, 21571, 21648, 30974, 70156}

// seeds is how many seeds each run of the tests plays; make sim plays more.
func seeds(t *testing.T) uint64 {
	if s := os.Getenv("SEEDS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SEEDS: %v", err)
		}
		return n
	}
	if testing.Short() {
		return 20
	}
	return 60
}

func TestRun_KeepsEveryPromise(t *testing.T) {
	t.Parallel()
	const lanes = 4
	n := seeds(t)
	for lane := range uint64(lanes) {
		t.Run(strconv.FormatUint(lane, 10), func(t *testing.T) {
			t.Parallel()
			var mine []uint64
			for seed := 1 + lane; seed <= n; seed += lanes {
				mine = append(mine, seed)
			}
			if lane == 0 {
				mine = append(mine, once...)
			}
			for _, seed := range mine {
				script := trial.Script(seed)
				r, err := trial.Run(t.Context(), seed, script)
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if v := r.Broken; v != nil {
					script, v = trial.Shrink(t.Context(), seed, script, v, 20*time.Second)
					t.Fatalf("seed %d breaks %s\n%v", seed, v, script)
				}
			}
		})
	}
}

func TestScript_IsDecidedByTheSeed(t *testing.T) {
	t.Parallel()
	if !reflect.DeepEqual(trial.Script(7), trial.Script(7)) {
		t.Error("one seed gives two scripts")
	}
	if reflect.DeepEqual(trial.Script(7), trial.Script(8)) {
		t.Error("two seeds give one script")
	}
}

// Two runs of a seed leave the same log, to the letter.
func TestRun_RepeatsExactly(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		var logs [2]string
		for i := range logs {
			log, err := trial.Log(t.Context(), seed, trial.Script(seed))
			if err != nil {
				t.Fatal(err)
			}
			logs[i] = log
		}
		if logs[0] != logs[1] || logs[0] == "" {
			t.Errorf("seed %d gives two logs:\n%s\n%s", seed, logs[0], logs[1])
		}
	}
}

func BenchmarkRun(b *testing.B) {
	seed := uint64(0)
	for b.Loop() {
		seed++
		if r, err := trial.Run(b.Context(), seed, trial.Script(seed)); err != nil || r.Broken != nil {
			b.Fatal(r.Broken, err)
		}
	}
}
