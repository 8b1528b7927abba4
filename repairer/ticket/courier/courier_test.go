package courier_test

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/repairer/ticket/courier"
)

// answers is a server with one answer.
type answers struct {
	status int
	header http.Header
	body   io.Reader
	asked  int
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked++
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(a.body), Request: r}, nil
}

func TestCourier_TakesOnlyAnswersOfTheAPI(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		status      int
		kind, retry string
		body        string
		want        string // in the error; empty: a success
		missing     bool
		heldFor     time.Duration
	}{
		"JSON":                        {status: 200, kind: "application/json; charset=utf-8", body: "{}"},
		"nothing":                     {status: 204},
		"a login page":                {status: 200, kind: "text/html", body: "<html>", want: "GET /issues/7: 200 OK: the answer is text/html, not JSON"},
		"no type":                     {status: 200, body: "hello", want: "the answer is of no type, not JSON"},
		"a redirect":                  {status: 302, kind: "text/html", want: "Desk redirects"},
		"an issue that is not there":  {status: 404, want: "404 Not Found: read as 404", missing: true},
		"a fault":                     {status: 500, want: "500 Internal Server Error: read as 500"},
		"a refused login":             {status: 401, want: "asked again after 2026-03-01T12:05:00Z", heldFor: 5 * time.Minute},
		"too many":                    {status: 429, retry: "90", want: "asked again after 2026-03-01T12:01:30Z", heldFor: 90 * time.Second},
		"too many, until a date":      {status: 503, retry: "Sun, 01 Mar 2026 12:10:00 GMT", want: "12:10:00Z", heldFor: 10 * time.Minute},
		"too many, for years":         {status: 429, retry: "99999999999", want: "13:00:00Z", heldFor: time.Hour},
		"too many, until a far date":  {status: 429, retry: "Mon, 02 Mar 2026 12:10:00 GMT", want: "13:00:00Z", heldFor: time.Hour},
		"too many, until a past date": {status: 429, retry: "Sat, 28 Feb 2026 12:10:00 GMT", want: "429"},
		"too many, nonsense":          {status: 429, retry: "soon", want: "429"},
		"an endless answer":           {status: 200, kind: "application/json", body: strings.Repeat(" ", 8<<20+1), want: "larger than 8388608 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := &answers{status: tc.status, header: http.Header{"Content-Type": {tc.kind}, "Retry-After": {tc.retry}}, body: strings.NewReader(tc.body)}
			clock := now
			c := &courier.Courier{Base: server, Name: "Desk", Now: func() time.Time { return clock },
				Sign: func(r *http.Request) { r.Header.Set("Authorization", "Bearer secret") },
				Read: func(a courier.Answer) courier.Meaning {
					return courier.Meaning{Reason: "read as " + strconv.Itoa(a.Status),
						Missing: a.Status == 404, Refused: a.Status == 401}
				}}
			ask := func() error {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://desk/issues/7", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := c.RoundTrip(r)
				if err == nil {
					err = answer.Body.Close()
				}
				return err
			}
			err := ask()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Fatalf("%v, want %q", err, tc.want)
			}
			if errors.Is(err, glia.ErrNotFound) != tc.missing {
				t.Errorf("not found: %t", !tc.missing)
			}
			if tc.heldFor == 0 {
				return
			}
			clock = now.Add(tc.heldFor - time.Second)
			if err := ask(); err == nil || server.asked != 1 {
				t.Errorf("asked %d times within the time in which it wants to be left alone: %v", server.asked, err)
			}
			clock = now.Add(tc.heldFor)
			if _ = ask(); server.asked != 2 {
				t.Errorf("asked %d times after it", server.asked)
			}
		})
	}
}
