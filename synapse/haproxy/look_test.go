package haproxy_test

import (
	"strings"
	"testing"

	"glia/synapse/haproxy"
)

// stat is what HAProxy 2.6 answers, but for columns that nobody reads.
const stat = "# pxname,svname,status,weight,check_status,last_chk,\nweb,a_10.0.0.1:80,DOWN,1,L4CON,\"Layer4, refused\",\nweb,b_10.0.0.2:80,MAINT,0,,,\nother,x,UP,1,L4OK,,\n"

func TestParseStat(t *testing.T) {
	t.Parallel()
	got, err := haproxy.ParseStat(stat, "web")
	if a, b := got["a_10.0.0.1:80"], got["b_10.0.0.2:80"]; err != nil || len(got) != 2 || a.Status != "DOWN" || a.Weight != 1 || a.Check != "L4CON Layer4, refused" || b.Check != "" {
		t.Errorf("%+v, %v", got, err)
	}
	for text, want := range map[string]string{"": "answered with", "Unknown proxy": "answered with", "# pxname,svname\n": "has no column status"} {
		if _, err := haproxy.ParseStat(text, "web"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add(stat)
	f.Add("# a,\"")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := haproxy.ParseStat(text, "web")
		if err != nil && len(got) > 0 {
			t.Errorf("%v and %v", got, err)
		}
	})
}
