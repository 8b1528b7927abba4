package trial

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"glia/repairer"
)

// spoke sees events of no case that are in the log now, because somebody has paused, resumed, reset or forgiven, or
// because storm or breaker have moved.
func (w *world) spoke(kind repairer.Kind, n int) {
	if n > 0 {
		w.spoken[kind] += n
	}
	w.onlyRead("an event " + string(kind))
}

// audit checks the log as the store does when it is asked to, and then an export of it by its description alone:
// each line ends with prev and hash, and the hash is the SHA-256 of prev and of the line without the two.
func (w *world) audit(ctx context.Context, log repairer.Auditor) error {
	r, err := log.Verify(ctx)
	if err != nil {
		return err
	}
	if r.Problem != "" {
		w.violate("11", "glia audit verify: %s", r.Problem)
	}
	prev, told := strings.Repeat("0", 2*sha256.Size), map[repairer.Kind]int{}
	err = log.Export(ctx, func(line []byte) error {
		var e struct {
			Seq        uint64
			Case       string
			Kind       repairer.Kind
			Prev, Hash string
		}
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("a line of the export: %w", err)
		}
		own := bytes.TrimSuffix(line, fmt.Appendf(nil, `,"prev":"%s","hash":"%s"}`, e.Prev, e.Hash))
		sum := sha256.Sum256(slices.Concat([]byte(prev), own, []byte("}")))
		if e.Prev != prev || e.Hash != hex.EncodeToString(sum[:]) {
			w.violate("11", "event %d of the export does not hold what was before it", e.Seq)
		}
		if prev = e.Hash; e.Case == "" {
			told[e.Kind]++
		}
		return nil
	})
	if !maps.Equal(told, w.spoken) {
		w.violate("11", "the log tells of %v, and it came to %v", told, w.spoken)
	}
	return err
}
