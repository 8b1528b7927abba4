package hand

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	gliav1 "glia/api/glia/v1"
)

// Longest label that each filesystem type can carry, in bytes: s_volume_name of ext4's superblock
// and sb_fname of XFS's. A type that is not here is not made nor mounted by the hand.
var longestLabel = map[string]int{"ext4": 16, "xfs": 12}

var (
	keyPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@+=-]{0,199}$`)
	uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

const nilUUID = "00000000-0000-0000-0000-000000000000"

// System directories. Nothing is mounted on or unmounted from systemTrees or anything below them, nor
// from systemDirs themselves; below the latter (/var/lib/cassandra) is where people keep their data.
var (
	systemTrees = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sbin", "/sys", "/usr"}
	systemDirs  = []string{"/", "/home", "/opt", "/root", "/run", "/tmp", "/var", "/var/cache", "/var/lib", "/var/log", "/var/run", "/var/tmp"}
)

// subject is what an order is about: two orders with the same key must have the same one. The epoch
// is not part of it, because a new repairer goes on with the orders of the old one; nor are the
// checks that the order asks for (smallest size, retired disks), which are those of the moment.
type subject struct {
	Case    string `json:"case"`
	Verb    string `json:"verb"`
	Serial  string `json:"serial"`
	Place   string `json:"place"`
	Type    string `json:"type,omitempty"`
	Label   string `json:"label,omitempty"`
	UUID    string `json:"uuid,omitempty"`
	Target  string `json:"target,omitempty"`
	Options string `json:"options,omitempty"`
	On      bool   `json:"on,omitempty"`
	OSDs    string `json:"osds,omitempty"`
}

func subjectOf(o *gliav1.Order) subject {
	fs := o.GetFilesystem()
	return subject{
		Case: o.GetCaseId(), Verb: verbName(o.GetVerb()), Serial: o.GetSerial(), Place: o.GetPlace(),
		Type: fs.GetType(), Label: fs.GetLabel(), UUID: fs.GetUuid(), Target: fs.GetTarget(), Options: fs.GetOptions(), On: o.GetOn(),
		OSDs: osdWords(o),
	}
}

func (s subject) String() string { return fmt.Sprintf("%s of %s in %s", s.Verb, s.Serial, s.Place) }

// object is what the act is about beside the disk.
func (s subject) object() string {
	if s.OSDs != "" {
		return s.OSDs
	}
	if s.Type+s.Label+s.UUID+s.Target+s.Options == "" {
		return "no filesystem"
	}
	return fmt.Sprintf("filesystem %q label %q UUID %q on %q with %q", s.Type, s.Label, s.UUID, s.Target, s.Options)
}

// conflict says what two acts share, so that they must not run at the same time; empty if nothing.
func (s subject) conflict(other subject) string {
	switch {
	case s.Serial == other.Serial:
		return "disk " + s.Serial
	case s.Place == other.Place:
		return s.Place
	case s.Target != "" && s.Target == other.Target:
		return s.Target
	}
	return ""
}

// verbName is the verb as people say it: drain, unmount, …
func verbName(v gliav1.Verb) string {
	return strings.ToLower(strings.TrimPrefix(v.String(), "VERB_"))
}

// problemsOf tells everything that is wrong with an order as such, before anything is looked at.
func problemsOf(o *gliav1.Order) []string {
	if o == nil {
		return []string{"there is no order in the request"}
	}
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }

	if o.Epoch == 0 {
		add("epoch is 0, which no elected repairer has")
	}
	if !keyPattern.MatchString(o.Key) {
		add("key %q must be 1 to 200 letters, digits or ._:/@+=- and begin with a letter or digit", o.Key)
	}
	if !keyPattern.MatchString(o.CaseId) {
		add("case_id %q must be 1 to 200 letters, digits or ._:/@+=- and begin with a letter or digit", o.CaseId)
	}
	if _, known := gliav1.Verb_name[int32(o.Verb)]; !known || o.Verb == gliav1.Verb_VERB_UNSPECIFIED {
		add("verb %d is not known to this nerve", o.Verb)
	}
	if !plain(o.Serial, 128) {
		add("serial %q must be 1 to 128 printable characters without space around them", o.Serial)
	}
	if !plain(o.Place, 512) {
		add("place %q must be 1 to 512 printable characters without space around them", o.Place)
	}
	fs := o.GetFilesystem()
	switch o.Verb {
	case gliav1.Verb_VERB_UNMOUNT:
		out = append(out, targetProblems(fs.GetTarget())...)
		if fs.GetUuid() != "" {
			out = append(out, uuidProblems(fs.GetUuid())...)
		}
	case gliav1.Verb_VERB_INSPECT, gliav1.Verb_VERB_BURN_IN:
		out = append(out, sizeProblems(o.MinSize)...)
	case gliav1.Verb_VERB_FORMAT:
		out = append(out, sizeProblems(o.MinSize)...)
		out = append(out, typeProblems(fs.GetType())...)
		out = append(out, labelProblems(fs.GetType(), fs.GetLabel())...)
		out = append(out, uuidProblems(fs.GetUuid())...)
	case gliav1.Verb_VERB_MOUNT:
		out = append(out, typeProblems(fs.GetType())...)
		out = append(out, uuidProblems(fs.GetUuid())...)
		out = append(out, targetProblems(fs.GetTarget())...)
	case gliav1.Verb_VERB_OSD_STOP, gliav1.Verb_VERB_OSD_START, gliav1.Verb_VERB_OSD_DEACTIVATE,
		gliav1.Verb_VERB_OSD_PREPARE, gliav1.Verb_VERB_OSD_ACTIVATE:
		out = append(out, osdProblems(o)...)
	case gliav1.Verb_VERB_DRAIN, gliav1.Verb_VERB_REJOIN:
		if fs.GetTarget() != "" {
			out = append(out, targetProblems(fs.GetTarget())...)
		}
	}
	return out
}

func sizeProblems(size uint64) []string {
	if size == 0 {
		return []string{"min_size is missing: without the old disk's size nothing says that the new one is large enough"}
	}
	return nil
}

func typeProblems(fsType string) []string {
	if longestLabel[fsType] == 0 {
		return []string{fmt.Sprintf("filesystem.type %q is not supported; supported are ext4 and xfs", fsType)}
	}
	return nil
}

func labelProblems(fsType, label string) []string {
	var out []string
	if most := longestLabel[fsType]; most > 0 && len(label) > most {
		out = append(out, fmt.Sprintf("filesystem.label %q has %d bytes, %s holds at most %d", label, len(label), fsType, most))
	}
	if label != "" && !plain(label, 256) {
		out = append(out, fmt.Sprintf("filesystem.label %q must be printable characters without space around them", label))
	}
	return out
}

func uuidProblems(uuid string) []string {
	if !uuidPattern.MatchString(uuid) || uuid == nilUUID {
		return []string{fmt.Sprintf("filesystem.uuid %q must be a UUID of lower-case hex digits in the form 8-4-4-4-12, not all zero", uuid)}
	}
	return nil
}

// targetProblems says why a directory can not be the mount point of a disk in repair.
func targetProblems(target string) []string {
	switch {
	case !path.IsAbs(target) || path.Clean(target) != target:
		return []string{fmt.Sprintf("filesystem.target %q must be an absolute path without ., .., double or trailing slashes", target)}
	case !plain(target, 4095):
		return []string{fmt.Sprintf("filesystem.target %q must be printable characters without space around them", target)}
	}
	for _, d := range systemDirs {
		if target == d {
			return []string{fmt.Sprintf("filesystem.target %s is a directory of the system", target)}
		}
	}
	for _, d := range systemTrees {
		if target == d || strings.HasPrefix(target, d+"/") {
			return []string{fmt.Sprintf("filesystem.target %s is in %s, which belongs to the system", target, d)}
		}
	}
	return nil
}

// plain says whether s is text that can be stored, shown and given to a command: 1 to most bytes of
// printable UTF-8 with no space at either end.
func plain(s string, most int) bool {
	if s == "" || len(s) > most || !utf8.ValidString(s) || strings.TrimSpace(s) != s {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
