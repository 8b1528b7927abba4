package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/cavaliergopher/cpio"
)

// tools are the programs of this machine that machines get, beside busybox.
var tools = []string{"/sbin/dmsetup", "/sbin/lvm", "/sbin/mke2fs", "/usr/sbin/smartctl"}

// driveDB is what smartctl knows of models.
const driveDB = "/var/lib/smartmontools/drivedb/drivedb.h"

// lvmConf makes LVM do without udev and its daemons.
const lvmConf = `activation { udev_sync = 0  udev_rules = 0  monitoring = 0 }
devices { obtain_device_list_from_udev = 0  external_device_info_source = "none"  use_devicesfile = 0 }
global { use_lvmpolld = 0 }
`

// Where the machine's init finds its orders in the image.
const (
	moduleDir   = "/lab/modules"
	moduleOrder = "/lab/modules.order"
)

// Image is the file system that machines boot into, all of it in their memory. It is not changed by them, so
// that many machines can use one.
type Image struct {
	path string
}

// BuildImage makes an image in a folder. files are further files of this machine, by their path in the image.
// It builds nerve, so it must be called in the module's tree.
func BuildImage(ctx context.Context, dir string, files map[string]string) (Image, error) {
	if err := Installed(); err != nil {
		return Image{}, err
	}
	programs := map[string]string{"/init": "glia/internal/lab/guest", "/usr/sbin/nerve": "glia/cmd/nerve"}
	for to, pkg := range programs {
		bin := filepath.Join(dir, filepath.Base(to))
		if err := goBuild(ctx, pkg, bin); err != nil {
			return Image{}, err
		}
		programs[to] = bin
	}
	path := filepath.Join(dir, "image.cpio")
	out, err := os.Create(path)
	if err != nil {
		return Image{}, fmt.Errorf("image of the lab: %w", err)
	}
	buffered := bufio.NewWriterSize(out, 1<<20)
	w := &imageWriter{to: cpio.NewWriter(buffered), made: map[string]bool{"/": true}}
	w.fill(programs, files)
	if err := errors.Join(w.err, w.to.Close(), buffered.Flush(), out.Close()); err != nil {
		return Image{}, fmt.Errorf("image of the lab: %w", err)
	}
	return Image{path}, nil
}

// goBuild builds a program that needs no library.
func goBuild(ctx context.Context, pkg, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", to, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	return nil
}

// imageWriter writes files into an archive. After an error it writes nothing more.
type imageWriter struct {
	to   *cpio.Writer
	made map[string]bool
	err  error
}

func (w *imageWriter) fill(programs, files map[string]string) {
	for _, d := range []string{"/proc", "/sys", "/dev", "/run", "/tmp", "/mnt", "/root", "/var/lib"} {
		w.dir(d)
	}
	for to, from := range programs {
		w.file(to, from)
	}
	for to, from := range files {
		w.file(to, from)
	}
	w.busybox()
	for _, t := range tools {
		parts, err := withLibraries(t)
		w.fail(err)
		for _, p := range parts {
			w.file(p, p)
		}
	}
	w.link("/usr/sbin/mkfs.ext4", "/sbin/mke2fs")
	w.file(driveDB, driveDB)
	w.text("/etc/lvm/lvmlocal.conf", lvmConf)
	w.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	w.text("/etc/group", "root:x:0:\ndisk:x:6:\n")
	w.modules()
}

// busybox puts in busybox under all its names.
func (w *imageWriter) busybox() {
	const path = "/bin/busybox"
	w.file(path, path)
	names, err := exec.Command(path, "--list").Output()
	if err != nil {
		w.fail(fmt.Errorf("ask busybox for its names: %w: %w", ErrNotInstalled, err))
	}
	for name := range strings.FieldsSeq(string(names)) {
		if name != "busybox" {
			w.link("/bin/"+name, path)
		}
	}
}

// modules puts in the kernel's modules, and the order in which init has to load them.
func (w *imageWriter) modules() {
	tree, err := moduleTree(home + "/lib/modules")
	w.fail(err)
	if w.err != nil {
		return
	}
	order, err := inOrder(tree, modules)
	w.fail(err)
	all, err := inOrder(tree, append(append([]string(nil), modules...), onDemand...))
	w.fail(err)
	for _, m := range all {
		w.file(filepath.Join(moduleDir, filepath.Base(m)), m)
	}
	var list strings.Builder
	for _, m := range order {
		list.WriteString(filepath.Base(m) + "\n")
	}
	w.text(moduleOrder, list.String())
}

func (w *imageWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// Once is true the first time that it is asked about a path.
func (w *imageWriter) once(path string) bool {
	if w.err != nil || w.made[path] {
		return false
	}
	w.dir(filepath.Dir(path))
	w.made[path] = true
	return true
}

func (w *imageWriter) header(path string, mode cpio.FileMode, size int64) {
	if w.err == nil {
		w.err = w.to.WriteHeader(&cpio.Header{Name: path[1:], Mode: mode, Size: size, Links: 1})
	}
}

func (w *imageWriter) dir(path string) {
	if w.once(path) {
		w.header(path, cpio.TypeDir|0o755, 0)
	}
}

func (w *imageWriter) link(path, to string) {
	if w.once(path) {
		w.header(path, cpio.TypeSymlink|0o777, int64(len(to)))
		w.write(strings.NewReader(to))
	}
}

func (w *imageWriter) text(path, content string) {
	if w.once(path) {
		w.header(path, cpio.TypeReg|0o644, int64(len(content)))
		w.write(strings.NewReader(content))
	}
}

// file copies a file of this machine, what a link leads to instead of the link.
func (w *imageWriter) file(path, from string) {
	if !w.once(path) {
		return
	}
	f, err := os.Open(from)
	if err != nil {
		w.fail(err)
		return
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		w.fail(err)
		return
	}
	w.header(path, cpio.TypeReg|cpio.FileMode(st.Mode().Perm()), st.Size())
	w.write(f)
}

func (w *imageWriter) write(r io.Reader) {
	if w.err == nil {
		_, w.err = io.Copy(w.to, r)
	}
}
