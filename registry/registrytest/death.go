package registrytest

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"glia"
	"glia/internal/figures"
	"glia/registry"
)

// Leaver is an announcer that can say goodbye.
type Leaver interface {
	registry.Announcer
	Close(ctx context.Context) error
}

// announcerEnv makes the test program an announcer instead.
const announcerEnv = "GLIA_TEST_ANNOUNCER"

// AnnouncerMain is called by TestMain. In a process that Deaths has started it announces a host, says goodbye on SIGTERM and
// never returns; in one that Scale has started it watches; else it does nothing. The first of the arguments is the name of the host.
func AnnouncerMain(open func(host string, args []string) (Leaver, error)) {
	jumpIfAsked()
	if args := strings.Fields(os.Getenv(watcherEnv)); len(args) > 0 {
		l, err := open("watcher", args)
		w, ok := l.(registry.Watcher)
		if err != nil || !ok {
			fmt.Fprintln(os.Stderr, "no watcher:", err)
			os.Exit(1)
		}
		watch(w)
		os.Exit(0)
	}
	args := strings.Fields(os.Getenv(announcerEnv))
	if len(args) == 0 {
		return
	}
	if err := announcer(args[0], func() (Leaver, error) { return open(args[0], args[1:]) }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Lease is that of an announcer or a watcher in a process: the argument, or else the one of the other tests.
func Lease(args []string, usual time.Duration) time.Duration {
	if len(args) > 0 {
		if d, err := time.ParseDuration(args[0]); err == nil {
			return d
		}
	}
	return usual
}

func announcer(host string, open func() (Leaver, error)) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	l, err := open()
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := l.Announce(ctx, Announcement(host, 1)); err == nil {
			break
		}
	}
	fmt.Println("announced")
	<-ctx.Done()
	bye, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	return l.Close(bye)
}

// Deaths kills an announcer in a process of its own, and has another one end by SIGTERM. It tells how long it takes until the
// watcher shows the one as gone, which must not be later than within, and the other one as left.
func Deaths(t testing.TB, w registry.Watcher, within time.Duration, args ...string) (killed, ended time.Duration) {
	t.Helper()
	die := func(host string, s syscall.Signal, want glia.MemberStatus) time.Duration {
		t.Helper()
		p := startAnnouncer(t, host, args)
		is := func(status glia.MemberStatus) func([]glia.Member) bool {
			return func(all []glia.Member) bool {
				for _, m := range all {
					if m.Announcement.Host == host {
						return m.Status == status
					}
				}
				return false
			}
		}
		Await(t, w, host, is(glia.MemberAlive))
		began := time.Now()
		p.signal(t, s)
		Await(t, w, host+" after its end", is(want))
		return time.Since(began)
	}
	killed, ended = die("killed", syscall.SIGKILL, glia.MemberGone), die("ended", syscall.SIGTERM, glia.MemberLeft)
	t.Logf("gone %v after SIGKILL, promised are %v; left %v after SIGTERM", killed, within, ended)
	if killed > within+busy || ended > busy {
		t.Errorf("too late")
	}
	return killed, ended
}

// startAnnouncer starts a process that announces a host, and waits until it has.
func startAnnouncer(t testing.TB, host string, args []string, env ...string) *process {
	t.Helper()
	p := spawn(t, append(env, announcerEnv+"="+host+" "+strings.Join(args, " "))...)
	if line := p.line(t); line != "announced" {
		t.Fatalf("the announcer says %q", line)
	}
	return p
}

// ReportDeaths is the benchmark of Deaths.
func ReportDeaths(b *testing.B, w registry.Watcher, within time.Duration, args ...string) {
	var killed, ended time.Duration
	for b.Loop() {
		k, e := Deaths(b, w, within, args...)
		killed, ended = killed+k, ended+e
	}
	b.ReportMetric(float64(killed.Milliseconds())/float64(b.N), "ms-until-gone-after-kill")
	b.ReportMetric(float64(ended.Milliseconds())/float64(b.N), "ms-until-left-after-term")
	b.ReportMetric(float64(within.Milliseconds()), "ms-until-gone-after-kill"+figures.AtMost)
	b.ReportMetric(0, "ns/op")
}
