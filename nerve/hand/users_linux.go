package hand

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// usersOf names up to most processes that use the filesystem on a directory: by working directory,
// root, program, open file or mapping, or because their own mount namespace has the device mounted.
// It reads links only and opens nothing below the directory, so that it can not hang on a dead disk.
func usersOf(target, number string, most int) []string {
	own, _ := os.Readlink("/proc/self/ns/mnt")
	procs, _ := filepath.Glob("/proc/[0-9]*")
	slices.SortFunc(procs, func(a, b string) int { return pidOf(a) - pidOf(b) })
	var out []string
	for _, proc := range procs {
		if len(out) >= most {
			break
		}
		how := useBy(proc, target)
		if ns, err := os.Readlink(proc + "/ns/mnt"); how == "" && err == nil && ns != own && mountedIn(pidOf(proc), number) {
			how = "its mount namespace"
		}
		if how != "" {
			name, _ := os.ReadFile(proc + "/comm")
			out = append(out, fmt.Sprintf("pid %d %s (%s)", pidOf(proc), text(strings.TrimSpace(string(name))), how))
		}
	}
	return out
}

func pidOf(proc string) int {
	pid, _ := strconv.Atoi(filepath.Base(proc))
	return pid
}

func useBy(proc, target string) string {
	inside := func(link string) bool {
		path, err := os.Readlink(link)
		return err == nil && (path == target || strings.HasPrefix(path, target+"/"))
	}
	for _, link := range []string{"cwd", "root", "exe"} {
		if inside(proc + "/" + link) {
			return link
		}
	}
	fds, _ := filepath.Glob(proc + "/fd/*")
	if slices.ContainsFunc(fds, inside) {
		return "open file"
	}
	maps, _ := os.ReadFile(proc + "/maps")
	if bytes.Contains(maps, []byte(" "+target+"/")) {
		return "mapped file"
	}
	return ""
}

func mountedIn(pid int, number string) bool {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	table, err := mountinfo.GetMountsFromReader(f, nil)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(table, func(m *mountinfo.Info) bool { return numberOf(m) == number })
}
