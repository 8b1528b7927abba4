package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Server is a private PostgreSQL server on a unix socket, from Debian's package. It ends with the process
// that started it.
type Server struct {
	dir       string
	bin       string
	who       *syscall.SysProcAttr
	args      []string
	cmd       *exec.Cmd
	ended     chan error
	databases atomic.Int64
}

// ErrNoServer says that PostgreSQL is not installed.
var ErrNoServer = errors.New("no PostgreSQL server below /usr/lib/postgresql")

// startWithin bounds the start and the end of a server.
const startWithin = 30 * time.Second

// StartPostgres makes a cluster of databases in a temporary directory and serves it. The settings are as on the
// server's command line; fsync=off makes tests faster that do not cut the power. As root it runs as the
// user postgres, because the server refuses to be root.
func StartPostgres(ctx context.Context, settings ...string) (_ *Server, err error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return nil, ErrNoServer
	}
	slices.Sort(found)
	s := &Server{bin: filepath.Dir(found[len(found)-1]), who: &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}}
	// Short, because the name of a socket may have 107 bytes only.
	if s.dir, err = os.MkdirTemp("", "glia-pg-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(s.dir)
		}
	}()
	if os.Getuid() == 0 {
		if err := s.drop(); err != nil {
			return nil, err
		}
	}
	initdb := exec.CommandContext(ctx, s.bin+"/initdb", "-D", s.data(), "-U", "glia", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = &syscall.SysProcAttr{Credential: s.who.Credential}, s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	s.args = []string{"-D", s.data(), "-c", "listen_addresses=", "-c", "unix_socket_directories=" + s.dir}
	for _, setting := range settings {
		s.args = append(s.args, "-c", setting)
	}
	return s, s.Start(ctx)
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Dir is where the server may write.
func (s *Server) Dir() string { return s.dir }

func (s *Server) drop() error {
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	s.who.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(s.dir, int(uid), int(gid))
}

// Start serves again after Stop, and returns once the server answers.
func (s *Server) Start(ctx context.Context) error {
	log, err := os.OpenFile(s.dir+"/log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	s.cmd, s.ended = exec.Command(s.bin+"/postgres", s.args...), make(chan error, 1)
	s.cmd.SysProcAttr, s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.who, s.dir, log, log
	begun := make(chan error)
	go func() {
		runtime.LockOSThread() // the server gets its signal when this thread ends
		err := s.cmd.Start()
		begun <- err
		if err == nil {
			s.ended <- s.cmd.Wait()
		}
	}()
	if err := <-begun; err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		err := s.Exec(ctx, "postgres", `SELECT 1`)
		if err == nil {
			return nil
		}
		select {
		case why := <-s.ended:
			text, _ := os.ReadFile(s.dir + "/log")
			return fmt.Errorf("the server ended: %w: %s", why, text)
		case <-ctx.Done():
			return errors.Join(err, s.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop ends the server and its sessions; the data stays.
func (s *Server) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case err := <-s.ended:
		return err
	case <-time.After(startWithin):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		return fmt.Errorf("the server did not end: %w", <-s.ended)
	}
}

// Close ends the server and removes everything.
func (s *Server) Close() error {
	return errors.Join(s.Stop(), os.RemoveAll(s.dir))
}

// URL is the address of a database.
func (s *Server) URL(database string) string {
	return "postgres:///" + database + "?host=" + s.dir + "&user=glia"
}

// NewDatabase makes an empty database and returns its name.
func (s *Server) NewDatabase(ctx context.Context, options string) (string, error) {
	name := fmt.Sprintf("glia%d", s.databases.Add(1))
	return name, s.Exec(ctx, "postgres", `CREATE DATABASE `+name+` TEMPLATE template0 `+options)
}

// Exec runs one statement in a session of its own.
func (s *Server) Exec(ctx context.Context, database, query string) error {
	db, err := sql.Open("pgx", s.URL(database))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(ctx, query)
	return err
}
