package ceph

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// claimer claims the ids of so many OSDs, many at a time, in one process: the mon takes about 50 a second
// from many commands, and from one command after the other far fewer.
const claimer = `
import concurrent.futures, json, rados, sys, uuid
cluster = rados.Rados(conffile=sys.argv[1], name="client.admin")
cluster.connect()
def claim(_):
    ret, _, status = cluster.mon_command(json.dumps({"prefix": "osd new", "uuid": str(uuid.uuid4())}), b"")
    if ret != 0:
        sys.exit("osd new: %d %s" % (ret, status))
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    list(pool.map(claim, range(int(sys.argv[2]))))
`

// mapOSDs puts the OSDs into the map that have no disk and no daemon, on hosts m0, m1, …
func (c *Cluster) mapOSDs(ctx context.Context) error {
	const perHost, atOnce = 24, 300 // atOnce end within patience, also on a slow machine
	for left := c.opts.MapOnly; left > 0; left -= atOnce {
		if _, err := c.tool(ctx, nil, "/usr/bin/python3", "-c", claimer, c.Conf, strconv.Itoa(min(left, atOnce))); err != nil {
			return err
		}
	}
	return c.editCRUSH(ctx, func(text string) (string, error) {
		devices, buckets, ok := strings.Cut(text, "# types")
		buckets, rules, found := strings.Cut(buckets, "# rules")
		if !ok || !found {
			return "", fmt.Errorf("crushtool writes the map in an unknown form: %s", text)
		}
		root, next := "root mapped {\n\talg straw2\n\thash 0\n", 0
		for h := range (c.opts.MapOnly + perHost - 1) / perHost {
			host := "host m" + strconv.Itoa(h) + " {\n\talg straw2\n\thash 0\n"
			first := next
			for ; next < min(c.opts.MapOnly, first+perHost); next++ {
				devices += fmt.Sprintf("device %[1]d osd.%[1]d class hdd\n", next)
				host += fmt.Sprintf("\titem osd.%d weight 7.3\n", next)
			}
			buckets += host + "}\n"
			root += fmt.Sprintf("\titem m%d weight %.1f\n", h, 7.3*float64(next-first))
		}
		return devices + "# types" + buckets + root + "}\n# rules" + rules, nil
	})
}

// editCRUSH changes the CRUSH map as text.
func (c *Cluster) editCRUSH(ctx context.Context, edit func(string) (string, error)) error {
	binary, text := filepath.Join(c.Dir, "crush.map"), filepath.Join(c.Dir, "crush.txt")
	if err := c.run(ctx, "osd", "getcrushmap", "-o", binary); err != nil {
		return err
	}
	if _, err := c.tool(ctx, nil, "crushtool", "-d", binary, "-o", text); err != nil {
		return err
	}
	b, err := os.ReadFile(text)
	if err != nil {
		return err
	}
	changed, err := edit(string(b))
	if err != nil {
		return err
	}
	if err := os.WriteFile(text, []byte(changed), 0o600); err != nil {
		return err
	}
	if _, err := c.tool(ctx, nil, "crushtool", "-c", text, "-o", binary); err != nil {
		return err
	}
	return c.run(ctx, "osd", "setcrushmap", "-i", binary)
}
