package synapse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// maxAnswer bounds the answer of one nerve. A host of 100 disks with evidence takes some hundred KiB.
const maxAnswer = 32 << 20

// HostClient is the part of a nerve's API that a synapse uses. It must return once ctx is done.
type HostClient interface {
	ListDisks(context.Context, *connect.Request[gliav1.ListDisksRequest]) (*connect.Response[gliav1.ListDisksResponse], error)
}

var _ HostClient = gliav1connect.HostServiceClient(nil)

// plainHTTP is a client for nerves: they are near, so no proxy of the environment stands between,
// and they never send one elsewhere.
func plainHTTP() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second,
			MaxIdleConnsPerHost: 1,
			IdleConnTimeout:     90 * time.Second,
			ForceAttemptHTTP2:   true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// dial returns the client for the API at addr, which comes from the registry and may be anything.
func dial(client connect.HTTPClient, scheme, addr string) (HostClient, error) {
	if addr == "" {
		return nil, errors.New("it announces no API address")
	}
	host, port, err := net.SplitHostPort(addr)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || !plainHost(host) {
		return nil, fmt.Errorf("the API address %q that it announces is not of the form host:port", addr)
	}
	return gliav1connect.NewHostServiceClient(client, scheme+"://"+net.JoinHostPort(host, port), connect.WithReadMaxBytes(maxAnswer)), nil
}

// plainHost says whether a host can stand in a URL as it is.
func plainHost(host string) bool {
	if net.ParseIP(host) != nil {
		return true
	}
	for _, c := range host {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return host != ""
}

// ask asks the nerve that announced a for its disks and the generation they belong to. An answer
// that speaks of another host is an error: its disks are not those that were announced.
func (f *Fleet) ask(ctx context.Context, a glia.Announcement) ([]glia.DiskStatus, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, f.o.FetchTimeout)
	defer cancel()
	client, err := f.o.Nerves(a)
	if err != nil {
		return nil, 0, fmt.Errorf("ask nerve of %s: %w", a.Host, err)
	}
	resp, err := client.ListDisks(ctx, connect.NewRequest(&gliav1.ListDisksRequest{}))
	if err != nil {
		return nil, 0, fmt.Errorf("ask nerve of %s at %s: %w", a.Host, a.API, err)
	}
	if resp.Msg.GetHost() != a.Host {
		return nil, 0, fmt.Errorf("ask nerve of %s at %s: it says that it is host %q", a.Host, a.API, resp.Msg.GetHost())
	}
	disks := api.DiskStatusesFromProto(resp.Msg.GetDisks())
	for _, d := range disks {
		if h := d.Disk.Location.Host; h != "" && h != a.Host {
			return nil, 0, fmt.Errorf("ask nerve of %s at %s: it tells of disk %s in host %q", a.Host, a.API, d.Disk.Serial(), h)
		}
	}
	return disks, resp.Msg.GetGeneration(), nil
}
