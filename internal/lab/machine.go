package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"glia/internal/lab/order"
)

// Spec is what a machine is made of.
type Spec struct {
	Name    string // its host name
	Image   Image
	Dir     string // for its console and sockets; they must not have long paths
	Disks   []Disk
	Memory  int       // MiB; 0: 384
	Counted bool      // its clock counts its instructions, a nanosecond each: CPU times do not depend on what else this machine does
	Console io.Reader // what is typed on its console; nil: nothing
	Screen  io.Writer // gets what it says on its console; nil: only the file does
}

// Machine is one running machine. Its methods are safe for concurrent use.
type Machine struct {
	name    string
	console string
	cmd     *exec.Cmd
	ended   chan struct{}
	monitor *monitor
	ports   map[int]string // host:port on this machine, by port of the machine

	mu    sync.Mutex
	disks map[string]Disk // by ID
}

// bootWithin bounds a boot. It takes four seconds on a machine that has nothing else to do.
const bootWithin = 5 * time.Minute

// Boot starts a machine and waits until it answers. The machine does not outlive this process.
func Boot(ctx context.Context, s Spec) (*Machine, error) {
	m, err := boot(ctx, s)
	if err != nil {
		err = fmt.Errorf("boot the machine %s: %w", s.Name, err)
	}
	return m, err
}

func boot(ctx context.Context, s Spec) (*Machine, error) {
	for _, d := range s.Disks {
		if err := d.check(); err != nil {
			return nil, err
		}
	}
	m := &Machine{name: s.Name, console: filepath.Join(s.Dir, "console"), ports: map[int]string{}, disks: map[string]Disk{}}
	for _, d := range s.Disks {
		m.disks[d.ID()] = d
	}
	socket := filepath.Join(s.Dir, "qmp")
	argv, err := s.argv(socket)
	if err != nil {
		return nil, err
	}
	if err := m.launch(argv, s); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, bootWithin)
	defer cancel()
	if err := m.reach(ctx, socket); err != nil {
		m.Kill()
		return nil, fmt.Errorf("%w; its console:\n%s", err, m.Said())
	}
	return m, nil
}

// argv is QEMU's command line.
func (s Spec) argv(socket string) ([]string, error) {
	memory := s.Memory
	if memory == 0 {
		memory = 384
	}
	netdev := "user,id=n0,restrict=on"
	for _, p := range []int{order.Port, order.APIPort, order.SerfPort} {
		netdev += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:0-:%d", p)
	}
	argv := []string{emulator, "-name", s.Name, "-no-user-config", "-nodefaults", "-display", "none",
		"-machine", "q35,smm=off,vmport=off,hpet=off", "-accel", "tcg,tb-size=256", "-cpu", "max", "-smp", "1", "-m", strconv.Itoa(memory),
		"-kernel", kernel, "-initrd", s.Image.path,
		"-append", "console=ttyS0 quiet loglevel=4 panic=-1 random.trust_cpu=on nokaslr mitigations=off no_timer_check net.ifnames=0 " + s.clock() + " hostname=" + s.Name, "-no-reboot",
		"-serial", "stdio", "-qmp", "unix:" + socket + ",server=on,wait=off",
		"-device", "virtio-rng-pci", "-device", "virtio-scsi-pci,id=scsi",
		"-netdev", netdev, "-device", "virtio-net-pci,netdev=n0,romfile="}
	if s.Counted {
		argv = append(argv, "-icount", "shift=0,sleep=on,align=off")
	}
	for i := range slots {
		argv = append(argv, "-device", fmt.Sprintf("pcie-root-port,id=slot%d,chassis=%d,slot=%d", i, i+1, i+1))
	}
	add := func(flag string, v map[string]any) error {
		b, err := json.Marshal(v)
		argv = append(argv, flag, string(b))
		return err
	}
	for _, d := range s.Disks {
		if err := errors.Join(add("-blockdev", d.file()), add("-blockdev", d.top(d.fileNode())), add("-device", d.device())); err != nil {
			return nil, err
		}
	}
	return argv, nil
}

// clock is what the kernel takes the time from. A kernel that is kept waiting at its boot measures the TSC wrongly, and its
// clock may then run eight times too fast. The ACPI timer has a frequency that is known.
func (s Spec) clock() string {
	if s.Counted {
		return "tsc=reliable"
	}
	return "clocksource=acpi_pm tsc=unstable"
}

// launch starts QEMU. It gets a signal when this process ends, however it does.
func (m *Machine) launch(argv []string, s Spec) error {
	out, err := os.Create(m.console)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	m.cmd, m.ended = exec.Command(argv[0], argv[1:]...), make(chan struct{})
	m.cmd.Stdin, m.cmd.Stdout, m.cmd.Stderr = s.Console, out, out
	if s.Screen != nil {
		m.cmd.Stdout = io.MultiWriter(out, s.Screen)
	}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	begun := make(chan error)
	go func() {
		runtime.LockOSThread() // QEMU gets its signal when this thread ends
		err := m.cmd.Start()
		begun <- err
		if err == nil {
			_ = m.cmd.Wait() // it is killed; its console says what else
			close(m.ended)
		}
	}()
	return <-begun
}

// reach connects to QEMU and waits for the machine's init.
func (m *Machine) reach(ctx context.Context, socket string) error {
	err := m.wait(ctx, "QEMU", func() (err error) {
		m.monitor, err = dialMonitor(socket)
		return err
	})
	if err != nil {
		return err
	}
	if err := m.readPorts(); err != nil {
		return err
	}
	// It is not asked before, because QEMU takes connections that nobody in the machine answers, and tries them
	// again only after seconds.
	return m.wait(ctx, "its init", func() error {
		if !strings.Contains(m.Said(), order.Ready) {
			return errors.New("it has not said so far that it is ready")
		}
		return nil
	})
}

// wait tries until it works, QEMU ends or ctx does.
func (m *Machine) wait(ctx context.Context, what string, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-m.ended:
			return fmt.Errorf("QEMU has ended before %s answered", what)
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

var forwarded = regexp.MustCompile(`TCP\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+\S+\s+(\d+)`)

// readPorts asks QEMU which ports it has taken.
func (m *Machine) readPorts() error {
	answer, err := m.monitor.call("human-monitor-command", map[string]any{"command-line": "info usernet"})
	if err != nil {
		return err
	}
	var text string
	if err := json.Unmarshal(answer, &text); err != nil {
		return fmt.Errorf("ports of the machine: %w", err)
	}
	for _, f := range forwarded.FindAllStringSubmatch(text, -1) {
		port, _ := strconv.Atoi(f[3]) // the pattern has digits only
		m.ports[port] = net.JoinHostPort(f[1], f[2])
	}
	if len(m.ports) < 3 {
		return fmt.Errorf("QEMU forwards no ports to the machine: %s", text)
	}
	return nil
}

// API is the host:port of this machine at which the machine's nerve serves its API.
func (m *Machine) API() string { return m.ports[order.APIPort] }

// Serf is the host:port of this machine at which the machine's nerve serves Serf's RPC.
func (m *Machine) Serf() string { return m.ports[order.SerfPort] }

// Said is what stands on the console: what the kernel and the programs that run in the background have said.
func (m *Machine) Said() string {
	b, err := os.ReadFile(m.console)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Ended is closed when the machine has ended, by itself or by Kill.
func (m *Machine) Ended() <-chan struct{} { return m.ended }

// Kill ends the machine as a power cut would, and waits until it is gone.
func (m *Machine) Kill() {
	if m.monitor != nil {
		_ = m.monitor.Close() // nobody is asked any more
	}
	_ = m.cmd.Process.Kill() // it may have ended
	<-m.ended
}
