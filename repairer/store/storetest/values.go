package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"glia"
	"glia/repairer"
)

func values(t *testing.T, b Backend) {
	s := b.open(t)
	if _, err := s.Get(t.Context(), "breaker"); !errors.Is(err, glia.ErrNotFound) {
		t.Errorf("before it was set: %v", err)
	}
	for _, want := range []string{"open", "shut"} {
		if err := s.Set(t.Context(), "breaker", want, repairer.Event{At: At, Text: "why"}); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), "breaker"); err != nil || got != want {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// valuesAtOnce: each writer knows the newest value of its own key, and all fight for one key more.
func valuesAtOnce(t *testing.T, b Backend) {
	s := b.open(t)
	last := map[string]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, key := range []string{"breaker", "storm", "flap/N1S2", "it's \"%\" \\ ключ"} {
		wg.Go(func() {
			for n := range 10 {
				value := fmt.Sprintf(`{"n":%d,"key":%q}`, n, key)
				if err := s.Set(t.Context(), key, value, repairer.Event{At: At, Text: "why"}); err != nil {
					t.Error(err)
				}
				if got, err := s.Get(t.Context(), key); err != nil || got != value {
					t.Errorf("%s: %q, %v; want %q", key, got, err, value)
				}
				if err := s.Set(t.Context(), "shared", strings.Repeat(fmt.Sprint(i), 10_000), repairer.Event{At: At}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				last[key] = value
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if got := must[string](t)(s.Get(t.Context(), "shared")); len(got) != 10_000 || strings.Trim(got, got[:1]) != "" {
		t.Errorf("%d bytes, of several writers", len(got))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = b.open(t)
	if err := b.Exec(b.Deposing); err != nil {
		t.Fatal(err)
	}
	for key, want := range last {
		if err := s.Set(t.Context(), key, "of a deposed one", repairer.Event{At: At}); !errors.Is(err, glia.ErrStaleEpoch) {
			t.Errorf("a deposed repairer sets %s: %v", key, err)
		}
		if got, err := s.Get(t.Context(), key); err != nil || got != want {
			t.Errorf("%s after a restart: %q, %v; want %q", key, got, err, want)
		}
	}
}
