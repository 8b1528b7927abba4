package secret_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"glia/config/secret"
)

func TestQuiet_HidesTheSecretInComplaints(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fails" {
			w.WriteHeader(http.StatusForbidden)
		}
		fmt.Fprintf(w, "you sent %v", r.Header)
	}))
	t.Cleanup(web.Close)
	client := &http.Client{Transport: secret.Quiet{Secret: secret.Of(canary)}}
	for path, shown := range map[string]bool{"/fails": false, "/works": true} { // what is no complaint is passed on as it is
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Token", canary)
		a, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(a.Body)
		if closed := a.Body.Close(); err != nil || closed != nil {
			t.Error(err, closed)
		}
		if strings.Contains(string(b), canary) != shown || !strings.Contains(string(b), "you sent") {
			t.Errorf("%s: %s", path, b)
		}
	}
}
