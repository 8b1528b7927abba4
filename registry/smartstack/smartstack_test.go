package smartstack_test

import (
	"reflect"
	"strings"
	"testing"

	"glia/registry/smartstack"
)

func weight(n int) *int { return &n }

// The bytes were written by nerve 0.9.7 itself.
const (
	full    = `{"host":"10.0.0.1","port":3000,"name":"i-1","weight":2,"haproxy_server_options":"backup","labels":{"az":"us-east-1a"}}`
	labeled = `{"host":"10.0.0.1","port":3000,"name":"i-1","labels":{"az":"us-east-1a"}}`
	inPath  = `base64_100_eyJob3N0IjoiMTAuMC4wLjEiLCJwb3J0IjozMDAwLCJuYW1lIjoiaS0xIiwibGFiZWxzIjp7ImF6IjoidXMtZWFzdC0xYSJ9fQ==_`
)

func TestEncode_WritesTheBytesOfNerve(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]smartstack.Service{
		full: {Host: "10.0.0.1", Port: 3000, Name: "i-1", Weight: weight(2), Options: "backup", Labels: map[string]string{"az": "us-east-1a"}},
		// The option is for synapses that know neither weights nor the last key.
		`{"host":"h","port":1,"name":"n","weight":0,"haproxy_server_options":"weight 0","draining":true}`: {Host: "h", Port: 1, Name: "n", Weight: weight(0), Draining: true},
		`{"host":"h","port":1,"name":"n","weight":0,"haproxy_server_options":"weight 9 weight 0","draining":true}`: {
			Host: "h", Port: 1, Name: "n", Weight: weight(0), Options: "weight 9", Draining: true},
		labeled: {Host: "10.0.0.1", Port: 3000, Name: "i-1", Labels: map[string]string{"az": "us-east-1a"}},
		`{"host":"h","port":1,"name":"<&>\"\\\u0001` + "\u2028é" + `","weight":0}`: {Host: "h", Port: 1, Name: "<&>\"\\\x01\u2028é", Weight: weight(0)},
	} {
		got, err := smartstack.Encode(s)
		if err != nil || string(got) != want {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
		if back, err := smartstack.Decode(got, ""); err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("read again it is %+v, %v; was %+v", back, err, s)
		}
	}
	for want, s := range map[string]smartstack.Service{
		"has no host":     {Port: 1},
		"port 0 is not":   {Host: "h"},
		"port 65536":      {Host: "h", Port: 65536},
		"weight -1":       {Host: "h", Port: 1, Weight: weight(-1)},
		"no announcement": {Host: "h", Port: 1, Down: true},
	} {
		if got, err := smartstack.Encode(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %s, error %v, want %q", got, err, want)
		}
	}
}

func TestDecode_OddButLegal(t *testing.T) {
	t.Parallel()
	const set = `{"additionalEndpoints":{"http":{"host":"h","port":31944}},"serviceEndpoint":{"host":"h","port":31943},"shard":0,"status":"ALIVE"}`
	for _, c := range []struct {
		data, endpoint string
		want           smartstack.Service
	}{
		{`{"host":"h","port":"3000","name":null}`, "", smartstack.Service{Host: "h", Port: 3000}},
		{`{"host":"h","port":80,"colour":"blue","weight":"3"}`, "", smartstack.Service{Host: "h", Port: 80}},
		{`{"host":"h","port":80,"weight":-1,"labels":[],"haproxy_server_options":7}`, "", smartstack.Service{Host: "h", Port: 80}},
		{`{"host":"h","port":80,"labels":{"a":"b","c":1}}`, "", smartstack.Service{Host: "h", Port: 80, Labels: map[string]string{"a": "b"}}},
		{`{"available":true,"host":"h","port":80,"name":"n","weight":255}`, "", smartstack.Service{Host: "h", Port: 80, Name: "n", Weight: weight(255)}},
		{`{"available":false,"host":"h","port":80}`, "", smartstack.Service{Host: "h", Port: 80, Down: true}},
		{set, "", smartstack.Service{Host: "h", Port: 31943}},
		{set, "http", smartstack.Service{Host: "h", Port: 31944}},
		{strings.Replace(set, "ALIVE", "DEAD", 1), "", smartstack.Service{Host: "h", Port: 31943, Down: true}},
	} {
		if got, err := smartstack.Decode([]byte(c.data), c.endpoint); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v", c.data, got, err, c.want)
		}
	}
}

func TestDecode_Refuses(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		``:                                 "no announcement",
		`null`:                             "has no host",
		`[]`:                               "no announcement",
		`{"host":null,"port":1}`:           "has no host: it is null",
		`{"host":"","port":1}`:             "has no host",
		`{"host":"h"}`:                     "port missing",
		`{"host":"h","port":0}`:            "port 0",
		`{"host":"h","port":65536}`:        "port 65536",
		`{"host":"h","port":"80x"}`:        `port "80x"`,
		`{"host":"h","port":80.5}`:         "port 80.5",
		`{"serviceEndpoint":{"host":"h"}}`: "port missing",
	} {
		if got, err := smartstack.Decode([]byte(data), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, error %v, want %q", data, got, err, want)
		}
	}
	if _, err := smartstack.Decode([]byte(`{"serviceEndpoint":{"host":"h","port":1}}`), "http"); err == nil {
		t.Error("an endpoint that is not there")
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	if got := smartstack.NodeName("i-1", []byte(labeled), true); got != inPath {
		t.Errorf("got  %s\nwant %s", got, inPath)
	}
	if got := smartstack.NodeName("i-1", []byte(labeled), false); got != "i-1_" {
		t.Errorf("plain name %s", got)
	}
	if got := smartstack.NodeName("i-1", make([]byte, 50000), true); got != "i-1_" {
		t.Errorf("too long for a path, yet %.40s", got)
	}
	for _, c := range []struct {
		name, data string
		number     uint64
		numbered   bool
		err        string
	}{
		{inPath + "0000000017", labeled, 17, true, ""},
		{"i-1_0000000005", "", 5, true, ""},
		{"i_1", "", 1, true, ""},
		{"name", "", 0, false, ""},
		{"web_10.0.0.1_c_0123456789abcdef0123456789abcdef0000000003", "", 0, false, ""},
		{"base64_9_abc_1", "", 1, true, `its length "9" is wrong`},
		{"base64_x_abc_1", "", 1, true, `its length "x" is wrong`},
		{"base64_4_a!bc_1", "", 1, true, "illegal base64"},
	} {
		data, number, numbered, err := smartstack.ParseName(c.name)
		if string(data) != c.data || number != c.number || numbered != c.numbered || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %q, %d, %t, %v; want %+v", c.name, data, number, numbered, err, c)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{full, labeled, `{"serviceEndpoint":{"host":"h","port":1},"status":"ALIVE"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := smartstack.Decode(data, "")
		if err != nil || s.Down {
			return
		}
		again, err := smartstack.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := smartstack.Decode(again, ""); err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("written and read again it is %+v, %v; was %+v", back, err, s)
		}
	})
}

func FuzzParseName(f *testing.F) {
	f.Add(inPath + "0000000017")
	f.Add("i-1_0000000005")
	f.Fuzz(func(t *testing.T, name string) {
		data, _, _, err := smartstack.ParseName(name)
		if err != nil || data == nil {
			return
		}
		back, _, _, err := smartstack.ParseName(smartstack.NodeName("x", data, true) + "0000000001")
		if err != nil || string(back) != string(data) {
			t.Errorf("%q became %q, %v", data, back, err)
		}
	})
}
