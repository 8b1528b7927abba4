package serf

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/memberlist"

	"glia"
)

// The tags of a digest. A member that has tagFormat announces a host; all other members of the
// cluster are none of our business. Tags with other names belong to others and are left alone.
const (
	tagFormat      = "glia"       // version of this format
	tagDisks       = "disks"      // the most pressing state of any disk
	tagDiskCount   = "disk_count" // how many disks the host has
	tagBad         = "bad"        // sdk:failing,sdq:suspect,+7; absent when no disk is bad
	tagGeneration  = "gen"        // glia.Announcement.Generation
	tagAPI         = "api"        // host:port
	tagFinding     = "finding"    // a fault of the host, cut where there is no room for all of it; absent without
	tagFingerprint = "fp"         // SHA-256, base64url without padding; absent without TLS
)

// format is the version of the digest that this release writes and reads.
const format = "1"

// MaxTags is how many bytes the tags of one member may take in all, as Serf encodes them.
const MaxTags = memberlist.MetaMaxSize

// digestTags are the names above.
var digestTags = []string{tagFormat, tagDisks, tagDiskCount, tagBad, tagGeneration, tagAPI, tagFinding, tagFingerprint}

func owned(tag string) bool { return slices.Contains(digestTags, tag) }

// Size is the number of bytes that Serf needs for these tags: a magic byte and a MessagePack map in
// the old raw format, which knows no lengths of one byte.
func Size(tags map[string]string) int {
	size := 1 + 1
	if len(tags) > 15 {
		size += 2
	}
	for k, v := range tags {
		size += sizeOfString(k) + sizeOfString(v)
	}
	return size
}

func sizeOfString(s string) int {
	switch n := len(s); {
	case n <= 31:
		return 1 + n
	case n <= 1<<16-1:
		return 3 + n
	default:
		return 5 + n
	}
}

// EncodeDigest returns the tags that announce a, together with those of the present tags that
// belong to others. They fit into MaxTags: the list of bad disks is cut at its end where it must
// be, with the number of those cut as its last entry. When not even the rest fits, the error tells
// the sizes. The host is not part of it: it is the name of the member.
func EncodeDigest(a glia.Announcement, present map[string]string) (map[string]string, error) {
	tags := map[string]string{}
	for k, v := range present {
		if !owned(k) {
			tags[k] = v
		}
	}
	foreign, others := Size(tags), slices.Sorted(maps.Keys(tags))
	tags[tagFormat] = format
	tags[tagDisks] = a.Worst.String()
	tags[tagDiskCount] = strconv.Itoa(a.DiskCount)
	tags[tagGeneration] = strconv.FormatUint(a.Generation, 10)
	tags[tagAPI] = a.API
	if a.Fingerprint != "" {
		sum, err := hex.DecodeString(a.Fingerprint)
		if err != nil {
			return nil, fmt.Errorf("digest of %s: certificate fingerprint %q is not hexadecimal", a.Host, a.Fingerprint)
		}
		tags[tagFingerprint] = base64.RawURLEncoding.EncodeToString(sum)
	}
	if size := Size(tags); size > MaxTags {
		return nil, fmt.Errorf("digest of %s: needs %d bytes beside %d bytes of other tags (%s), and Serf allows %d in all; remove some of those tags or shorten the API's address",
			a.Host, size-foreign, foreign, strings.Join(others, ", "), MaxTags)
	}
	addFinding(tags, a.Finding)
	addBad(tags, a.Bad, a.More)
	return tags, nil
}

// maxFinding is as much of a finding as takes its place before the bad disks: enough for what is suspected.
const maxFinding = 100

// addFinding sets the finding, as long as it may be.
func addFinding(tags map[string]string, finding string) {
	if finding == "" {
		return
	}
	text := strings.ToValidUTF8(finding, "\uFFFD")
	for n := min(len(text), maxFinding); n > 0; n-- {
		tags[tagFinding] = strings.ToValidUTF8(text[:n], "")
		if Size(tags) <= MaxTags {
			return
		}
	}
	delete(tags, tagFinding)
}

// mostCut is the largest number of cut disks that is written or believed: no host has so many.
const mostCut = 1 << 20

// addBad sets the list of bad disks, as long as it may be. When there is not even room for their
// number it sets none: the state and the generation still make a watcher fetch the detail.
func addBad(tags map[string]string, bad []glia.BadDisk, more int) {
	if len(bad)+more == 0 {
		return
	}
	var entries []string
	for _, b := range bad[:min(len(bad), MaxTags)] {
		entries = append(entries, url.QueryEscape(b.Device)+":"+b.State.String())
	}
	for n := len(entries); n >= 0; n-- {
		list := entries[:n:n]
		if cut := len(bad) - n + more; cut > 0 {
			list = append(list, "+"+strconv.Itoa(min(cut, mostCut)))
		}
		tags[tagBad] = strings.Join(list, ",")
		if Size(tags) <= MaxTags {
			return
		}
	}
	delete(tags, tagBad)
}
