package repairer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// SynapseFeed follows the fleet view of one synapse and reconnects for ever. Safe for concurrent use.
type SynapseFeed struct {
	client gliav1connect.FleetServiceClient
	url    string
	log    *slog.Logger
	wake   func()

	mu   sync.Mutex
	view glia.FleetView
	err  error
}

var _ Feed = (*SynapseFeed)(nil)

// NewSynapseFeed makes a feed on the synapse at url; wake is called after each new view.
func NewSynapseFeed(client *http.Client, url string, wake func(), log *slog.Logger) *SynapseFeed {
	return &SynapseFeed{
		client: gliav1connect.NewFleetServiceClient(client, url), url: url, log: log, wake: wake,
		err: fmt.Errorf("the synapse at %s has not answered yet", url),
	}
}

// View is the newest view, and why there is no newer one.
func (f *SynapseFeed) View() (glia.FleetView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view, f.err
}

// reconnectAfter keeps a repairer from hammering a synapse that is down.
const reconnectAfter = time.Second

// Run follows the synapse until the context ends.
func (f *SynapseFeed) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		f.set(nil, fmt.Errorf("the synapse at %s does not answer: %w", f.url, err))
		select {
		case <-ctx.Done():
		case <-time.After(reconnectAfter):
		}
	}
}

func (f *SynapseFeed) follow(ctx context.Context) error {
	stream, err := f.client.WatchFleet(ctx, connect.NewRequest(&gliav1.WatchFleetRequest{}))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() // the stream has ended already
	for stream.Receive() {
		before, _ := f.View()
		v := leanView(stream.Msg().GetView(), before)
		stream.Msg().View = nil // the stream holds the message until the next one comes
		f.set(&v, nil)
	}
	if err := stream.Err(); err != nil {
		return err
	}
	return errors.New("it ended the stream")
}

// set keeps the old view when there is no new one: its age speaks for itself. A change between
// answering and not answering is one line of the log.
func (f *SynapseFeed) set(v *glia.FleetView, err error) {
	f.mu.Lock()
	was := f.err
	f.err = err
	if v != nil {
		f.view = *v
	}
	f.mu.Unlock()
	switch {
	case err != nil && (was == nil || was.Error() != err.Error()):
		f.log.Warn("no fleet view", "error", err)
	case err == nil && was != nil:
		f.log.Info("fleet view arrives", "synapse", f.url)
	}
	if err == nil {
		f.wake()
	}
}

// Nerves reaches the nerves at the addresses that they announce.
type Nerves struct {
	feed    Feed
	client  *http.Client
	scheme  string
	timeout time.Duration
}

var _ Hosts = (*Nerves)(nil)

// NewNerves makes the way to the nerves. The scheme is http or https; timeout bounds each call but
// Execute and Probe, which take as long as their context lets them.
func NewNerves(feed Feed, client *http.Client, scheme string, timeout time.Duration) *Nerves {
	return &Nerves{feed: feed, client: client, scheme: scheme, timeout: timeout}
}

func (n *Nerves) host(name string) (gliav1connect.HostServiceClient, error) {
	view, err := n.feed.View()
	for _, h := range view.Hosts {
		if h.Member.Announcement.Host != name {
			continue
		}
		switch {
		case h.Member.Status != glia.MemberAlive:
			return nil, fmt.Errorf("host %s is %s: %w", name, h.Member.Status, glia.ErrUnreachable)
		case h.Member.Announcement.API == "":
			return nil, fmt.Errorf("host %s announces no API address", name)
		}
		return gliav1connect.NewHostServiceClient(n.client, n.scheme+"://"+h.Member.Announcement.API), nil
	}
	if err != nil {
		return nil, fmt.Errorf("host %s: %w: %w", name, glia.ErrUnreachable, err)
	}
	return nil, fmt.Errorf("host %s is not in the fleet view: %w", name, glia.ErrUnreachable)
}

// Disks lists the disks of a host.
func (n *Nerves) Disks(ctx context.Context, host string) ([]glia.DiskStatus, error) {
	c, err := n.host(host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	r, err := c.ListDisks(ctx, connect.NewRequest(&gliav1.ListDisksRequest{}))
	if err != nil {
		return nil, fmt.Errorf("list the disks of %s: %w", host, plain(err))
	}
	return api.DiskStatusesFromProto(r.Msg.GetDisks()), nil
}

// Probe probes one disk now.
func (n *Nerves) Probe(ctx context.Context, host, serial string) (glia.DiskStatus, error) {
	c, err := n.host(host)
	if err != nil {
		return glia.DiskStatus{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	r, err := c.ProbeDisk(ctx, connect.NewRequest(&gliav1.ProbeDiskRequest{Serial: serial}))
	if err != nil {
		return glia.DiskStatus{}, fmt.Errorf("probe %s on %s: %w", serial, host, plain(err))
	}
	return api.DiskStatusFromProto(r.Msg.GetDisk()), nil
}

// Fence makes the hand of a host refuse older epochs.
func (n *Nerves) Fence(ctx context.Context, host string, epoch uint64) error {
	c, err := n.host(host)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	_, err = c.Fence(ctx, connect.NewRequest(&gliav1.FenceRequest{Epoch: epoch}))
	switch {
	case connect.CodeOf(err) == connect.CodeAborted && err != nil:
		return fmt.Errorf("%w: %w", glia.ErrStaleEpoch, plain(err))
	case err != nil:
		return reached(err)
	}
	return nil
}

// Execute sends an order to the hand.
func (n *Nerves) Execute(ctx context.Context, host string, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	c, err := n.host(host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	r, err := c.Execute(ctx, connect.NewRequest(&gliav1.ExecuteRequest{Order: o}))
	switch {
	case connect.CodeOf(err) == connect.CodeAborted && err != nil:
		return nil, fmt.Errorf("order %s to %s: %w: %w", o.GetKey(), host, glia.ErrStaleEpoch, plain(err))
	case err != nil:
		return nil, fmt.Errorf("order %s to %s: %w", o.GetKey(), host, reached(err))
	}
	return r.Msg, nil
}

// reached marks the errors of hosts that gave no answer at all, or one that was cut off: what came of the request is
// not known then.
func reached(err error) error {
	switch connect.CodeOf(err) {
	case connect.CodeUnknown, connect.CodeCanceled:
		if connect.IsWireError(err) {
			return plain(err)
		}
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
	default:
		return plain(err)
	}
	return fmt.Errorf("%w: %w", glia.ErrUnreachable, plain(err))
}

// plain drops the name of the code, which tells an operator nothing that the message does not.
func plain(err error) error {
	var c *connect.Error
	if errors.As(err, &c) && c.Message() != "" {
		return errors.New(c.Message())
	}
	return err
}
