// Package hand is what a storage host does when the repairer tells it to: run a hook, unmount, inspect,
// burn in, format, mount, switch a locate light, stop, make and start a Ceph OSD. It works on Linux, and needs
// root for all but hooks and inspection.
//
// It guarantees:
//   - an order of a repairer that was deposed is refused, also after a crash of the nerve;
//   - what an order names is checked at the moment of the act against a fresh inventory: the disk is on
//     this host exactly once, in that place, and does not carry the system;
//   - nothing is written to a disk that is not proven blank, and no option changes that;
//   - every act is in the journal, on the medium, before it begins, with its outcome after;
//   - an order that was done is not done again, however often and after whatever crash it is sent;
//   - a dry run changes nothing at all.
//
// It fails closed: what can not be read, told or recorded is a refusal with the reason, and nothing was
// changed then. What passes by itself is none: the order waits. A journal or epoch that it does not understand stops it at the start.
package hand

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/disk/selftest"
)

const (
	// patience is how long Execute waits for an act before it answers that the act is running.
	patience = 2 * time.Second

	// lookTimeout bounds the inventory that is taken before each act.
	lookTimeout = 30 * time.Second

	defaultHookTimeout  = time.Hour
	defaultMountTimeout = time.Minute
)

// ErrClosed is returned by Execute once Close was called. It wraps glia.ErrUnreachable: the acts that run go on for
// now, and what comes of them is not told any more.
var ErrClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string { return "the hand is closed" }

func (closedError) Unwrap() error { return glia.ErrUnreachable }

// Options are what a hand works with. Host, Inventory, System and StateDir are needed.
type Options struct {
	Host string

	// Inventory lists the disks of the host as they are now. It must not answer from a cache. Disks
	// without a kernel name are taken as gone.
	Inventory func(ctx context.Context) ([]glia.Disk, error)

	System   System
	StateDir string // of this hand alone; made if it does not exist

	// Hooks are commands of the operator, run without a shell; empty means that there is nothing to
	// do. They get GLIA_CASE, GLIA_SERIAL, GLIA_PLACE, GLIA_DEVICE (empty if the disk is gone),
	// GLIA_MOUNT and GLIA_HOST. They may be run again after a crash and must be idempotent.
	DrainHook, RejoinHook []string

	// LocateCommand switches the light of a disk on and off where the kernel does not: it is run with
	// locate=/dev/NAME or locate_off=/dev/NAME behind it, as ledctl takes them. Empty: there is none.
	LocateCommand []string

	Ceph *Ceph // nil: the OSDs of this host are not touched

	// LVs tells the logical volumes of the host, as disk.DecodeLVs reads them; nil: disk.ListLVs.
	LVs func(ctx context.Context) ([]byte, error)

	Sys    string // where sysfs is; empty: /sys
	BurnIn int64  // bytes that a burn-in writes at most, from 1 MiB; 0: 64 MiB

	// SelfTest opens the disk that the kernel calls by a name, to ask it about itself; nil: selftest.Open.
	SelfTest func(device string) (selftest.Device, error)

	HookTimeout  time.Duration // 0: one hour
	MountTimeout time.Duration // of mount and unmount; 0: one minute
	Now          func() time.Time
	Log          *slog.Logger
}

// Hand executes orders. It is safe for concurrent use.
type Hand struct {
	opts    Options
	fence   *fence
	journal *journal
	lock    *os.File // keeps a second hand off the state directory

	ctx    context.Context // of all acts; ends when Close loses patience
	cancel context.CancelCauseFunc
	acts   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	flights map[string]*flight // by key: acts that run, and outcomes that nobody has heard yet
}

// New opens the state directory. A journal or epoch that is damaged, and a directory that another
// hand uses, are errors.
func New(opts Options) (*Hand, error) {
	if opts.Host == "" || opts.Inventory == nil || opts.System == nil || opts.StateDir == "" {
		return nil, errors.New("hand: Host, Inventory, System and StateDir are needed")
	}
	if opts.HookTimeout == 0 {
		opts.HookTimeout = defaultHookTimeout
	}
	if opts.MountTimeout == 0 {
		opts.MountTimeout = defaultMountTimeout
	}
	if opts.BurnIn == 0 {
		opts.BurnIn = defaultBurnIn
	}
	if opts.Sys == "" {
		opts.Sys = "/sys"
	}
	if opts.SelfTest == nil {
		opts.SelfTest = selftest.Open
	}
	if opts.Ceph != nil {
		ceph := *opts.Ceph
		ceph.resolve()
		opts.Ceph = &ceph
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hand{opts: opts, flights: map[string]*flight{}}
	h.ctx, h.cancel = context.WithCancelCause(context.Background())
	if err := h.open(); err != nil {
		if h.lock != nil {
			h.lock.Close()
		}
		return nil, fmt.Errorf("hand: %w", err)
	}
	return h, nil
}

func (h *Hand) open() (err error) {
	dir := h.opts.StateDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if h.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if err := unix.Flock(int(h.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("state directory %s is used by another nerve: %w", dir, err)
	}
	if h.fence, err = openFence(dir); err != nil {
		return err
	}
	if h.journal, err = openJournal(dir, h.opts.Now()); err != nil {
		return err
	}
	// The epoch is written before any act, so a journal that is ahead of it means that the file was
	// lost or put back from a backup.
	if newest := h.journal.Newest(); newest > h.fence.highest {
		h.journal.Close()
		return fmt.Errorf("highest epoch: %s says %d, but the journal has an act of epoch %d; write the repairer's present epoch and a newline into it", h.fence.path, h.fence.highest, newest)
	}
	return nil
}

// Close takes no more orders and waits for the acts that run. When ctx ends first, their commands are
// killed; the orders can be sent again to the next hand.
func (h *Hand) Close(ctx context.Context) error {
	h.mu.Lock()
	again := h.closed
	h.closed = true
	h.mu.Unlock()
	if again {
		return nil
	}
	ended := make(chan struct{})
	go func() { h.acts.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		h.cancel(errors.New("nerve stops"))
		<-ended
	}
	h.cancel(ErrClosed)
	// A process that is being started has a copy of the lock until its exec, which would keep the next hand out.
	unlocked := os.NewSyscallError("flock", unix.Flock(int(h.lock.Fd()), unix.LOCK_UN))
	return errors.Join(h.journal.Close(), unlocked, h.lock.Close())
}

// Fence makes orders of older epochs be refused from now on, also after a crash. An act that has not begun yet
// is stopped. The error wraps glia.ErrStaleEpoch when a newer epoch is known.
func (h *Hand) Fence(epoch uint64) error {
	if epoch == 0 {
		return errors.New("epoch is 0, which no elected repairer has")
	}
	raised, err := h.fence.Admit(epoch)
	if raised {
		h.opts.Log.Info("new repairer epoch", "epoch", epoch)
	}
	return err
}

// Execute carries out one order, or tells how it stands. It waits up to two seconds, or until ctx
// ends, for the act, which goes on in any case; the same order sent again gives the outcome.
//
// What the hand can not or may not do is told by the state and reason of the answer. An order that waits, for
// another act on its disk or until the disks can be listed, is told as running, with the reason. The errors are
// one that wraps glia.ErrStaleEpoch, ErrClosed, and failures to remember a new epoch; nothing was
// done in each of these cases.
func (h *Hand) Execute(ctx context.Context, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	if problems := problemsOf(o); len(problems) > 0 {
		return h.refuse(o, fmt.Errorf("order is not valid: %s", inWords(problems))), nil
	}
	if o.DryRun {
		return h.preview(ctx, o)
	}
	raised, err := h.fence.Admit(o.Epoch)
	if err != nil {
		h.opts.Log.Warn("order refused", "key", o.Key, "case", o.CaseId, "error", err)
		return nil, err
	}
	if raised {
		h.opts.Log.Info("new repairer epoch", "epoch", o.Epoch)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		f, answer, err := h.claim(o)
		if f == nil {
			return answer, err
		}
		select {
		case <-f.ended:
			answer, err := h.deliver(f)
			// The act was begun by a repairer that is deposed by now, and stopped for it. This order
			// is not its own.
			if errors.Is(err, glia.ErrStaleEpoch) && h.fence.Check(o.Epoch) == nil {
				continue
			}
			return answer, err
		case <-timer.C:
		case <-ctx.Done():
		}
		return h.progress(f), nil
	}
}

// preview tells what the order would do now. It runs nothing and records nothing, the epoch included.
func (h *Hand) preview(ctx context.Context, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	if err := h.fence.Check(o.Epoch); err != nil {
		return nil, err
	}
	if r, known := h.journal.Lookup(o.Key); known {
		if r.begun.subject != subjectOf(o) {
			return h.refuse(o, mismatch(o, r.begun.subject)), nil
		}
		if r.end != nil && r.end.Event == done {
			return recorded(r), nil
		}
	}
	st, err := h.prepare(ctx, o)
	if err != nil {
		return h.refuse(o, err), nil
	}
	return &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_DONE, Commands: st.commands, Inspection: st.inspection, Output: "dry run: nothing was changed"}, nil
}

// disks takes a fresh inventory. A disk without a kernel name is not there.
func (h *Hand) disks(ctx context.Context) ([]glia.Disk, error) {
	ctx, cancel := withTimeout(ctx, lookTimeout)
	defer cancel()
	all, err := h.opts.Inventory(ctx)
	if err != nil {
		return nil, passing{fmt.Errorf("inventory: %w", err)}
	}
	var out []glia.Disk
	for _, d := range all {
		if d.Location.Device != "" {
			out = append(out, d)
		}
	}
	return out, nil
}

func (h *Hand) run(ctx context.Context, timeout time.Duration, argv, env []string) (string, error) {
	ctx, cancel := withTimeout(ctx, timeout)
	defer cancel()
	return h.opts.System.Run(ctx, argv, env)
}

func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("not finished after %s", d))
}
