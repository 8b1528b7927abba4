// Command guest is the init of the lab's machines: it loads the kernel's modules, brings up the network, and then
// runs what the host asks it for. It ends only with the machine; when it can not do its work, the kernel panics and
// the machine with it, so that whoever waits for it is told at once.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"glia/internal/lab/order"
)

func main() {
	if err := boot(); err != nil {
		fmt.Println("init:", err)
		os.Exit(1)
	}
}

func boot() error {
	if err := mounts(); err != nil {
		return err
	}
	if err := os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"); err != nil {
		return err
	}
	// Nobody else makes the device nodes of LVM and the device mapper.
	if err := os.Setenv("DM_DISABLE_UDEV", "1"); err != nil {
		return err
	}
	if err := loadAll("/lab/modules.order"); err != nil {
		return err
	}
	for _, argv := range [][]string{{"ip", "link", "set", "lo", "up"}, {"ip", "addr", "add", order.Address + "/24", "dev", "eth0"}, {"ip", "link", "set", "eth0", "up"}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
		}
	}
	for _, port := range []int{order.APIPort, order.SerfPort} {
		if err := lead(port); err != nil {
			return err
		}
	}
	go shell()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+order.RunPath, run)
	mux.HandleFunc("GET "+order.FilePath, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, r.FormValue("path")) })
	mux.HandleFunc("PUT "+order.FilePath, put)
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", order.Address, order.Port))
	if err != nil {
		return err
	}
	fmt.Println(order.Ready)
	return http.Serve(l, mux)
}

func mounts() error {
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"}} {
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	return nil
}

// loadAll loads the modules that a file lists, in that order.
func loadAll(list string) error {
	f, err := os.Open(list)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	s := bufio.NewScanner(f)
	for s.Scan() {
		if err := load(filepath.Join("/lab/modules", s.Text())); err != nil {
			return fmt.Errorf("load %s: %w", s.Text(), err)
		}
	}
	return s.Err()
}

func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// lead leads a port of the machine's address on to the same one of its loopback, where nerve listens, which
// wants certificates for anything else.
func lead(port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", order.Address, port))
	if err != nil {
		return err
	}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go join(from, fmt.Sprintf("127.0.0.1:%d", port))
		}
	}()
	return nil
}

func join(from net.Conn, address string) {
	defer func() { _ = from.Close() }()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	go func() {
		_, _ = io.Copy(to, from) // the other direction tells of the end
		_ = to.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(from, to)
}

// shell is on the console, for people.
func shell() {
	for {
		sh := exec.Command("setsid", "-c", "sh")
		sh.Dir, sh.Stdin, sh.Stdout, sh.Stderr = "/root", os.Stdin, os.Stdout, os.Stderr
		if sh.Run() != nil {
			return
		}
	}
}

func run(w http.ResponseWriter, r *http.Request) {
	var c order.Command
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil || len(c.Argv) == 0 {
		http.Error(w, "no command", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(execute(r, c)) // whoever asked may have gone
}

func execute(r *http.Request, c order.Command) order.Result {
	if c.Detach {
		cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return order.Result{Error: err.Error()}
		}
		go func() {
			fmt.Printf("%s%s: %v\n", order.Ended, c.Argv[0], cmd.Wait())
		}()
		return order.Result{PID: cmd.Process.Pid}
	}
	out, err := exec.CommandContext(r.Context(), c.Argv[0], c.Argv[1:]...).CombinedOutput()
	result := order.Result{Output: string(out)}
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
		result.Code = ended.ExitCode()
	} else if err != nil {
		result.Error = err.Error()
	}
	return result
}

func put(w http.ResponseWriter, r *http.Request) {
	path := r.FormValue("path")
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755); err == nil {
			_, err = io.Copy(f, r.Body)
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
