package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"unicode/utf8"

	"glia"
)

// documentFormat is the version of the document that this release writes and reads.
const documentFormat = 1

// document is an announcement as registries hold it that keep whole documents. Readers ignore fields that
// they do not know, so that a later release may add some without a new format.
type document struct {
	Format int  `json:"format"`
	Left   bool `json:"left,omitempty"` // the host has said goodbye
	glia.Announcement
}

// EncodeDocument writes an announcement as one line of JSON. Equal announcements give equal bytes. Left says
// that the host has said goodbye with it.
func EncodeDocument(a glia.Announcement, left bool) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(document{Format: documentFormat, Left: left, Announcement: a}); err != nil {
		return nil, fmt.Errorf("write the announcement of %s: %w", a.Host, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// DecodeDocument reads what the announcer of a host wrote. What can not be read is left at its zero value, which
// is unknown, and told in Problem; it never fails. The status is MemberLeft for a host that has said
// goodbye, and else empty: whether it is alive is not in the document. All texts are valid UTF-8.
func DecodeDocument(host string, data []byte) glia.Member {
	var d document
	var problems []string
	problem := func(text string, args ...any) { problems = append(problems, fmt.Sprintf(text, args...)) }
	if !utf8.ValidString(host) {
		problem("its name %q is not valid UTF-8", host)
		host = strings.ToValidUTF8(host, "\uFFFD")
	}
	if err := json.Unmarshal(data, &d); err != nil {
		problem("its document is no announcement: %v", err)
		d = document{Format: documentFormat, Announcement: glia.Announcement{Host: host}}
	}
	if d.Format != documentFormat {
		problem("it announces in format %d, and this release reads %d", d.Format, documentFormat)
	}
	a := &d.Announcement
	if a.Host != host {
		problem("its document is of host %q", a.Host)
		a.Host = host
	}
	if len(problems) == 0 {
		if h, p, err := net.SplitHostPort(a.API); err != nil || h == "" || p == "" {
			problem("api %q is not an address of the form host:port", a.API)
			a.API = ""
		}
		if a.DiskCount < 0 {
			problem("disk_count %d is not a number of disks", a.DiskCount)
			a.DiskCount = 0
		}
		if a.More < 0 {
			problem("more %d is not a number of disks", a.More)
			a.More = 0
		}
	}
	m := glia.Member{Announcement: *a, Problem: strings.ToValidUTF8(strings.Join(problems, "; "), "\uFFFD")}
	if d.Left {
		m.Status = glia.MemberLeft
	}
	return m
}
