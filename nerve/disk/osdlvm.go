package disk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"glia"
)

// lvsTimeout bounds one run of lvs. It reads the beginning of every disk, so a disk that hangs keeps it.
const lvsTimeout = 20 * time.Second

// lookAgain is how old an answer of lvs may be before lvs is asked again, though nothing shows a change.
const lookAgain = time.Minute

// ListLVs runs lvs and returns its answer for DecodeLVs. It takes no locks and does not ask the device
// mapper, which is what --readonly means to lvs.
func ListLVs(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lvsTimeout, fmt.Errorf("no answer after %s", lvsTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, "lvs", "--readonly", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", "lv_tags,lv_name,vg_name,lv_uuid,lv_size,devices")
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "LVM_SUPPRESS_FD_WARNINGS=1")
	cmd.WaitDelay = time.Second
	var words bytes.Buffer
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("lvs: %w: %s", err, strings.TrimSpace(words.String()))
	}
	return out, nil
}

// LV is one logical volume.
type LV struct {
	Name string // VG/LV
	UUID string
	Size uint64            // bytes; 0: not told
	Tags map[string]string // those of ceph-volume, without the leading "ceph."
	PVs  []string          // kernel names below /dev of what it lies on; empty when something else holds it
}

// DecodeLVs reads the report of lvs, with the columns that ListLVs asks for. ceph-volume keeps what it
// knows of an OSD in the tags: ceph.KEY=VALUE, separated by commas (ceph_volume/api/lvm.py). An LV with
// several segments has several rows.
func DecodeLVs(report []byte) ([]LV, error) {
	var doc struct {
		Report []struct {
			LV []struct {
				Tags    string `json:"lv_tags"`
				Name    string `json:"lv_name"`
				VG      string `json:"vg_name"`
				UUID    string `json:"lv_uuid"`
				Size    string `json:"lv_size"` // bytes, as a number without a unit
				Devices string `json:"devices"`
			} `json:"lv"`
		} `json:"report"`
	}
	if err := json.Unmarshal(report, &doc); err != nil {
		return nil, fmt.Errorf("report of lvs: %w", err)
	}
	if len(doc.Report) == 0 {
		return nil, fmt.Errorf("report of lvs: it has no part named report")
	}
	var out []LV
	at := map[string]int{}
	for _, part := range doc.Report {
		for _, row := range part.LV {
			if row.UUID == "" || row.Name == "" || row.VG == "" {
				return nil, fmt.Errorf("report of lvs: a row lacks lv_uuid, lv_name or vg_name")
			}
			i, seen := at[row.UUID]
			if !seen {
				i = len(out)
				at[row.UUID] = i
				size, _ := strconv.ParseUint(row.Size, 10, 64) // an answer without it leaves the size untold
				out = append(out, LV{Name: row.VG + "/" + row.Name, UUID: row.UUID, Size: size, Tags: cephTags(row.Tags)})
			}
			for segment := range strings.SplitSeq(row.Devices, ",") {
				device, _, _ := strings.Cut(segment, "(")
				if name, ok := strings.CutPrefix(device, "/dev/"); ok {
					out[i].PVs = append(out[i].PVs, name)
				}
			}
		}
	}
	return out, nil
}

func cephTags(list string) map[string]string {
	out := map[string]string{}
	for tag := range strings.SplitSeq(list, ",") {
		if tag, ok := strings.CutPrefix(tag, "ceph."); ok {
			if key, value, ok := strings.Cut(tag, "="); ok {
				out[key] = value
			}
		}
	}
	return out
}

// role is what ceph-volume's word for the part of an OSD means; empty for none.
func (v LV) role() glia.OSDRole {
	switch v.Tags["type"] {
	case "block":
		return glia.RoleBlock
	case "db":
		return glia.RoleDB
	case "wal":
		return glia.RoleWAL
	}
	return ""
}

// volumes remembers what lvs said. It is safe for concurrent use.
type volumes struct {
	mu     sync.Mutex
	asking bool
	when   time.Time
	sign   string // of what lay on physical volumes then
	list   []LV
	err    error
}

// lvs tells the logical volumes of the host. sign stands for everything the kernel shows of them: as long
// as it does not change, an answer holds, and is asked for again after lookAgain. An lvs that is slow or
// hangs costs one scan the patience; until it ends, the answer before it stands if sign is the same, and else
// there is none.
func (s *Source) lvs(ctx context.Context, sign string) ([]LV, error) {
	list := s.LVs
	if list == nil {
		list = ListLVs
	}
	v := &s.volumes
	v.mu.Lock()
	if v.sign == sign && time.Since(v.when) < lookAgain && v.err == nil {
		defer v.mu.Unlock()
		return v.list, nil
	}
	before, holds := v.list, v.sign == sign && v.err == nil && !v.when.IsZero()
	if v.asking {
		v.mu.Unlock()
		if holds {
			return before, nil
		}
		return nil, fmt.Errorf("lvs has not answered yet")
	}
	v.asking = true
	v.mu.Unlock()
	done := make(chan struct{})
	var got []LV
	var err error
	go func() {
		defer close(done)
		var report []byte
		// Not with ctx: the answer is good for the next scan, too.
		if report, err = list(context.WithoutCancel(ctx)); err == nil {
			got, err = DecodeLVs(report)
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		v.asking, v.when, v.sign, v.list, v.err = false, time.Now(), sign, got, err
	}()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-done:
		return got, err
	case <-late.C:
		if holds {
			return before, nil
		}
		return nil, fmt.Errorf("lvs has not answered after %s", patience)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
