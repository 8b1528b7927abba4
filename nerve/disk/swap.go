package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// swapArea is one line of /proc/swaps.
type swapArea struct {
	path string
	file bool // a file on a filesystem, rather than a device
}

// parseSwaps reads the swap table: a heading, then path, type, size, used and priority on each line.
func parseSwaps(table string) ([]swapArea, error) {
	var out []swapArea
	for i, line := range strings.Split(strings.TrimSuffix(table, "\n"), "\n") {
		f := strings.Fields(line)
		switch {
		case i == 0 || len(f) == 0:
			continue
		case len(f) < 5 || f[1] != "partition" && f[1] != "file":
			return nil, fmt.Errorf("line %d is not understood: %q", i+1, line)
		}
		path := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(f[0])
		out = append(out, swapArea{path: strings.TrimSuffix(path, deletedMark), file: f[1] == "file"})
	}
	return out, nil
}

// swaps tells the devices that are swap and the uses that follow. A kernel without swap has no table.
func (r resolver) swaps(mounts []mounted) (names []string, uses []Use, err error) {
	table, err := os.ReadFile(r.path("proc/swaps"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("swap table: %w", err)
	}
	areas, err := parseSwaps(string(table))
	if err != nil {
		return nil, nil, fmt.Errorf("swap table: %w", err)
	}
	for _, a := range areas {
		u := Use{What: "swap", FSType: "swap", Source: a.path}
		if a.file {
			u.What, u.FSType = "swap file "+a.path, ""
			if i := mountOf(mounts, a.path); i >= 0 {
				u.On, u.Known, u.FSType = mounts[i].on, mounts[i].known, mounts[i].FSType
			}
		} else if name, ok := r.device(a.path); ok {
			u.On, u.Known = []string{name}, true
			names = append(names, name)
		}
		uses = append(uses, u)
	}
	return names, uses, nil
}
