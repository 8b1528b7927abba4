package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"github.com/hashicorp/serf/client"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/internal/lab/order"
	"glia/registry/serf"
)

// StartNerve starts the machine's nerve on a configuration, in the words of nerve.toml, and waits until it is ready.
// The addresses that are built in are those that API and Serf lead to, and API may do everything. What it logs is on the console.
func (m *Machine) StartNerve(ctx context.Context, config string) error {
	const file = "/etc/glia/nerve.toml"
	if err := m.Put(ctx, file, strings.NewReader(config+"\n[access]\nloopback = \"destroy\"\n")); err != nil {
		return err
	}
	if err := m.Start(ctx, "nerve", "-config", file); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bootWithin)
	defer cancel()
	err := m.wait(ctx, "its nerve", func() error {
		if strings.Contains(m.Said(), order.Ended+"nerve") {
			return nil
		}
		return m.ready(ctx)
	})
	if err == nil {
		err = m.ready(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w; the console of %s:\n%s", err, m.name, m.Said())
	}
	return nil
}

func (m *Machine) ready(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.API()+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := bounded.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(answer.Body) // the status says enough
		return errors.New(string(b))
	}
	return nil
}

// Disks is what the machine's nerve tells of its disks, by serial. The nerve looks at its inventory for it.
func (m *Machine) Disks(ctx context.Context) (map[string]glia.DiskStatus, error) {
	answer, err := m.nerve().ListDisks(ctx, connect.NewRequest(&gliav1.ListDisksRequest{}))
	if err != nil {
		return nil, fmt.Errorf("%s: disks: %w", m.name, err)
	}
	out := map[string]glia.DiskStatus{}
	for _, d := range api.DiskStatusesFromProto(answer.Msg.GetDisks()) {
		out[d.Disk.Serial()] = d
	}
	return out, nil
}

// Probe lets the machine's nerve probe a disk now, and tells what it says of it then.
func (m *Machine) Probe(ctx context.Context, serial string) (glia.DiskStatus, error) {
	answer, err := m.nerve().ProbeDisk(ctx, connect.NewRequest(&gliav1.ProbeDiskRequest{Serial: serial}))
	if err != nil {
		return glia.DiskStatus{}, fmt.Errorf("%s: probe %s: %w", m.name, serial, err)
	}
	return api.DiskStatusFromProto(answer.Msg.GetDisk()), nil
}

func (m *Machine) nerve() gliav1connect.HostServiceClient {
	return gliav1connect.NewHostServiceClient(bounded, "http://"+m.API())
}

// Registry reads what the machine's nerve announces, as any member of its Serf cluster is told. It is safe for
// concurrent use.
type Registry struct {
	rpc *client.RPCClient
}

// Registry connects to Serf.
func (m *Machine) Registry() (*Registry, error) {
	rpc, err := client.NewRPCClient(m.Serf())
	if err != nil {
		return nil, fmt.Errorf("%s: connect to its Serf: %w", m.name, err)
	}
	return &Registry{rpc}, nil
}

// Close ends the connection.
func (r *Registry) Close() error { return r.rpc.Close() }

// Announcement is what is announced now. Nothing happens in the nerve for it.
func (r *Registry) Announcement() (glia.Announcement, error) {
	members, err := r.rpc.Members()
	if err != nil {
		return glia.Announcement{}, fmt.Errorf("ask Serf for its members: %w", err)
	}
	for _, m := range members {
		if a, ok := serf.DecodeDigest(m.Name, m.Tags); ok {
			return a.Announcement, nil
		}
	}
	return glia.Announcement{}, errors.New("no member of the Serf cluster announces a host")
}
