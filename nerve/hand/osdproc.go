package hand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"glia"
)

// process is the daemon of an OSD.
type process struct {
	pid     int
	started string // clock ticks since boot: with the pid, it is that very process
	manager Manager
	service string // systemd unit or runit service directory
	foreign string // who else manages it, so that the hand must not; empty: nobody
}

func (p process) String() string { return fmt.Sprintf("pid %d", p.pid) }

// daemonsOf finds the processes that run an OSD, by program, id and name of the cluster. A process that
// is ending (a zombie has no program any more) is not among them.
func daemonsOf(r osdRef) ([]process, error) {
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var out []process
	for _, dir := range procs {
		exe, err := os.Readlink(dir + "/exe")
		if err != nil || !strings.HasPrefix(filepath.Base(exe), "ceph-osd") {
			continue
		}
		line, err := os.ReadFile(dir + "/cmdline")
		if err != nil {
			continue
		}
		id, cluster := osdOfCommand(strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00"))
		if id != strconv.Itoa(r.ID) || cluster != r.cluster {
			continue
		}
		if err := dirBelongs(dir+"/root", r); err != nil {
			return nil, fmt.Errorf("pid %d: %w", pidOf(dir), err)
		}
		p := process{pid: pidOf(dir), started: startOf(pidOf(dir))}
		p.managed(dir)
		out = append(out, p)
	}
	return out, nil
}

// osdOfCommand reads id and cluster from the command line of ceph-osd: -i, --id, -n, --name and --cluster,
// with the value behind or after an equals sign.
func osdOfCommand(argv []string) (id, cluster string) {
	cluster = "ceph"
	for i := 1; i < len(argv); i++ {
		key, value, joined := strings.Cut(argv[i], "=")
		if !joined && i+1 < len(argv) {
			value = argv[i+1]
		}
		switch key {
		case "-i", "--id":
			id = value
		case "-n", "--name":
			id = strings.TrimPrefix(value, "osd.")
		case "--cluster":
			cluster = value
		case "--mkfs", "--mkkey", "--mkjournal":
			return "", cluster // makes one, and is no daemon
		}
	}
	return id, cluster
}

// unitOfCgroup finds the unit of an OSD, such as ceph-osd@3.service, in a line of /proc/PID/cgroup.
var unitOfCgroup = regexp.MustCompile(`/([^/\n]*osd[^/\n]*\.service)(/|$)`)

// containers are parts of the cgroups that container runtimes make.
var containers = []string{"libpod-", "docker-", "/docker/", "crio-", "cri-containerd-", "kubepods"}

// runBy tells who runs a process from its cgroups and from its parent's name and working directory: the
// cgroup names the systemd unit, and runsv, which runs what runit runs, works in the directory of the service.
// It is pure.
func runBy(cgroups, parent, parentDir string) (by Manager, service, foreign string) {
	by = ManagerCommand
	for line := range strings.Lines(cgroups) {
		line = strings.TrimSpace(line)
		if slices.ContainsFunc(containers, func(word string) bool { return strings.Contains(line, word) }) {
			foreign = "it runs in a container (" + line + ")"
		}
		if m := unitOfCgroup.FindStringSubmatch(line); m != nil {
			by, service = ManagerSystemd, m[1]
		}
	}
	if parent == "runsv" {
		by, service = ManagerRunit, parentDir
	}
	return by, service, foreign
}

func (p *process) managed(dir string) {
	groups, _ := os.ReadFile(dir + "/cgroup")
	parent := fmt.Sprintf("/proc/%d", parentOf(p.pid))
	name, _ := os.ReadFile(parent + "/comm")
	cwd, _ := os.Readlink(parent + "/cwd")
	p.manager, p.service, p.foreign = runBy(string(groups), strings.TrimSpace(string(name)), cwd)
}

// statOf are the fields of /proc/PID/stat from the state on (proc_pid_stat(5)); nil when the process is
// gone.
func statOf(pid int) []string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	if f := strings.Fields(rest); ok && len(f) > 19 {
		return f
	}
	return nil
}

func parentOf(pid int) int {
	if f := statOf(pid); f != nil {
		parent, _ := strconv.Atoi(f[1])
		return parent
	}
	return 0
}

func startOf(pid int) string {
	if f := statOf(pid); f != nil {
		return f[19]
	}
	return ""
}

func (p process) runs() bool {
	f := statOf(p.pid)
	return f != nil && f[19] == p.started && f[0] != "Z"
}

// holdersOf names the processes that have one of the devices open for writing, at most mostUsers. Who only
// reads, as udev and this nerve do, does not hold a device.
func holdersOf(numbers map[string]string) []process {
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/[0-9]*")
	var out []process
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil || !strings.HasPrefix(to, "/dev/") {
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
			continue
		}
		if _, ours := numbers[fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))]; !ours || !writes(fd) {
			continue
		}
		pid := pidOf(filepath.Dir(filepath.Dir(fd)))
		if len(out) < mostUsers && !slices.ContainsFunc(out, func(p process) bool { return p.pid == pid }) {
			out = append(out, process{pid: pid, started: startOf(pid)})
		}
	}
	return out
}

// openForWriting is the passing reason while a process has a disk, or what is built on it, open for writing.
func openForWriting(d glia.Disk) error {
	numbers, err := numbersAbove(d)
	if err != nil {
		return err
	}
	if by := holdersOf(numbers); len(by) > 0 {
		return passing{fmt.Errorf("%s is open for writing: %s", d.DevicePath(), inProcesses(by))}
	}
	return nil
}

// writes says whether a file is open for writing, by the octal flags in fdinfo.
func writes(fd string) bool {
	b, _ := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(fd)), "fdinfo", filepath.Base(fd)))
	for line := range strings.Lines(string(b)) {
		if flags, ok := strings.CutPrefix(line, "flags:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(flags), 8, 64)
			return err == nil && n&unix.O_ACCMODE != unix.O_RDONLY
		}
	}
	return false
}

func inProcesses(list []process) string {
	var out []string
	for _, p := range list {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.pid))
		out = append(out, fmt.Sprintf("pid %d %s", p.pid, text(strings.TrimSpace(string(name)))))
	}
	return strings.Join(out, ", ")
}

// lookPause is between two looks at something that takes its time.
const lookPause = 100 * time.Millisecond

// await looks until there is nothing to wait for any more. The error says what was.
func await(ctx context.Context, timeout time.Duration, look func() (waits string, err error)) error {
	ctx, cancel := withTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(lookPause)
	defer tick.Stop()
	for {
		waits, err := look()
		if err != nil || waits == "" {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", waits, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

var errForeign = errors.New("the daemon is managed by somebody else")
