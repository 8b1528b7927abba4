package repairer_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/repairer"
)

// fixedFeed is a view that stays.
type fixedFeed glia.FleetView

func (f fixedFeed) View() (glia.FleetView, error) { return glia.FleetView(f), nil }

// cutting answers the first request with the text and closes the connection.
func cutting(t *testing.T, text string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(c, text)
	}()
	t.Cleanup(func() { ln.Close(); <-ended })
	return ln.Addr().String()
}

// What became of an order whose answer was cut off is not known: the hand may be at it. Only what the hand itself has
// said is an answer.
func TestNerves_KnowNothingOfAnOrderWhoseAnswerWasCutOff(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\n"
	for _, tt := range []struct {
		name, answer string
		unreachable  bool
	}{
		{"none", "", true},
		{"half a head", "HTTP/1.1 200 OK\r\n", true},
		{"half a body", ok + "Content-Length: 10\r\n\r\n\x08", true},
		{"half a chunk", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\n\x08", true},
		{"a proxy without a nerve", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", true},
		{"the nerve stops", "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n" + `{"code":"unavailable"}`, true},
		{"the hand says no", "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n" + `{"code":"internal"}`, false},
		{"the hand says so", "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n" + `{"code":"unknown"}`, false},
		{"who asks may not", "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 28\r\n\r\n" + `{"code":"permission_denied"}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			view := fixedFeed{Hosts: []glia.HostView{{Member: glia.Member{Status: glia.MemberAlive, Announcement: glia.Announcement{Host: "h", API: cutting(t, tt.answer)}}}}}
			nerves := repairer.NewNerves(view, &http.Client{Transport: &http.Transport{}}, "http", time.Minute)
			r, err := nerves.Execute(t.Context(), "h", &gliav1.Order{Key: "k"})
			if err == nil || errors.Is(err, glia.ErrUnreachable) != tt.unreachable {
				t.Errorf("got %v, %v", r, err)
			}
		})
	}
}
