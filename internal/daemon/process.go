package daemon

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// Process is what a running daemon has from Main. It is safe for concurrent use.
type Process[C any] struct {
	Config C            // as it was at the start
	Log    *slog.Logger // its level follows the configuration

	ready    atomic.Bool
	reloaded atomic.Pointer[func(C) error]
}

// OnReload sets what is called with each new configuration, one at a time. It is never called with one
// that could not be loaded, and returns why one is not in force. Until it is set, a new configuration only changes the log level.
func (p *Process[C]) OnReload(f func(C) error) { p.reloaded.Store(&f) }

// Ready tells the service manager that the start is over.
func (p *Process[C]) Ready() {
	p.ready.Store(true)
	p.notify(sd.SdNotifyReady)
}

// Watchdog tells the service manager again and again, until ctx ends, that the daemon works. While alive
// returns an error nothing is told, so that the service manager restarts a daemon that stays like that.
// It returns at once when the service manager does not ask for it.
func (p *Process[C]) Watchdog(ctx context.Context, alive func() error) {
	interval, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		p.Log.Warn("watchdog of the service manager not understood, none is used", "err", err)
	}
	if err != nil || interval <= 0 {
		return
	}
	tick := time.NewTicker(interval / 3) // two may be lost
	defer tick.Stop()
	healthy := true
	for {
		err := alive()
		if err == nil {
			p.notify(sd.SdNotifyWatchdog)
		}
		if was := healthy; was != (err == nil) {
			healthy = !was
			p.Log.Warn("watchdog", "alive", healthy, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// notify tells the service manager something, if there is one. A failure changes nothing that the
// daemon could do better.
func (p *Process[C]) notify(state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		p.Log.Warn("service manager not told", "state", state, "err", err)
	}
}
