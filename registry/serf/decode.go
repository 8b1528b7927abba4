package serf

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"glia"
)

// DecodeDigest reads the announcement of a member from its tags. It reports false when the member
// announces no host at all. Whatever cannot be read is left at its zero value, which is unknown,
// and told in Problem. The status is not in the tags and is left empty.
func DecodeDigest(host string, tags map[string]string) (glia.Member, bool) {
	if _, ok := tags[tagFormat]; !ok {
		return glia.Member{}, false
	}
	d := decoder{tags: tags}
	if !utf8.ValidString(host) {
		d.problem("its name %q is not valid UTF-8", host)
		host = strings.ToValidUTF8(host, "\uFFFD")
	}
	if f := tags[tagFormat]; f != format {
		d.problem("it announces in format %q, and this release reads %q", f, format)
	}
	a := glia.Announcement{
		Host:        host,
		Worst:       d.worst(),
		DiskCount:   d.count(),
		Generation:  d.generation(),
		API:         d.api(),
		Fingerprint: d.fingerprint(),
		Finding:     strings.ToValidUTF8(tags[tagFinding], "\uFFFD"),
	}
	a.Bad, a.More = d.bad()
	return glia.Member{Announcement: a, Problem: strings.Join(d.problems, "; ")}, true
}

type decoder struct {
	tags     map[string]string
	problems []string
}

func (d *decoder) problem(text string, args ...any) {
	d.problems = append(d.problems, fmt.Sprintf(text, args...))
}

func (d *decoder) required(tag string) string {
	v := d.tags[tag]
	if v == "" {
		d.problem("tag %s is missing or empty", tag)
	}
	return v
}

func (d *decoder) worst() glia.State {
	v := d.required(tagDisks)
	if v == "" {
		return glia.StateUnknown
	}
	return d.state(tagDisks, v)
}

func (d *decoder) state(tag, name string) glia.State {
	s, err := glia.ParseState(name)
	if err != nil {
		d.problem("tag %s: %v", tag, err)
	}
	return s
}

func (d *decoder) count() int {
	v := d.required(tagDiskCount)
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil && v != "" {
		d.problem("tag %s: %q is not a number of disks", tagDiskCount, v)
		return 0
	}
	return int(n)
}

func (d *decoder) generation() uint64 {
	v := d.required(tagGeneration)
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil && v != "" {
		d.problem("tag %s: %q is not a generation", tagGeneration, v)
		return 0
	}
	return n
}

func (d *decoder) api() string {
	v := d.required(tagAPI)
	if v == "" {
		return ""
	}
	if host, port, err := net.SplitHostPort(v); err != nil || host == "" || port == "" || !utf8.ValidString(v) {
		d.problem("tag %s: %q is not an address of the form host:port", tagAPI, v)
		return ""
	}
	return v
}

func (d *decoder) fingerprint() string {
	v := d.tags[tagFingerprint]
	sum, err := base64.RawURLEncoding.DecodeString(v)
	if err != nil {
		d.problem("tag %s: %q is not base64url", tagFingerprint, v)
		return ""
	}
	return hex.EncodeToString(sum)
}

// bad reads the list of bad disks, and the number of those that were cut.
func (d *decoder) bad() (out []glia.BadDisk, more int) {
	v, ok := d.tags[tagBad]
	if !ok {
		return nil, 0
	}
	entries := strings.Split(v, ",")
	for i, entry := range entries {
		if cut, ok := strings.CutPrefix(entry, "+"); ok && i == len(entries)-1 {
			if n, err := strconv.ParseUint(cut, 10, 31); err == nil && n <= mostCut {
				more = int(n)
				break
			}
		}
		escaped, state, ok := strings.Cut(entry, ":")
		device, err := url.QueryUnescape(escaped)
		if !ok || err != nil || !utf8.ValidString(device) {
			d.problem("tag %s: %q is not of the form device:state", tagBad, entry)
			continue
		}
		out = append(out, glia.BadDisk{Device: device, State: d.state(tagBad, state)})
	}
	return out, more
}
