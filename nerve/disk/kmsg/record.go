// Package kmsg reads what the kernel logs about disks and charges it to the disks that it is about.
//
// It guarantees that a message is counted once, also over restarts of nerve, because the count and the
// number of the newest message that is in it are kept together; and that a message is never charged to a
// disk that was not, for certain, the one that it names: kernel names are given to other disks, so a
// message counts only for a disk that had the name before and after it, or for which the log itself shows
// when it got the name. What can not be charged is counted as such. Only the kernel is believed: what
// processes write to /dev/kmsg carries another facility, which they can not hide.
//
// The kernel's buffer is a ring. What was overwritten before it was read is lost, and is told as a number
// of messages. Texts of messages are no interface; those that are looked for are in Patterns, each with
// where it comes from, and a kernel that words them otherwise is one that tells nothing here.
//
// The reader is our own: github.com/euank/go-kmsg-parser ends for good at the first loss (it compares a
// wrapped EPIPE), does not tell of it, keeps neither facility nor dictionary nor escapes apart from the
// text, takes the time of boot in whole seconds, and blocks a goroutine that can not be stopped.
package kmsg

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Record is one message. Format: Documentation/ABI/testing/dev-kmsg.
type Record struct {
	Seq      uint64        // grows by one with each message since boot
	At       time.Duration // since boot, by the clock of printk, which no one sets
	Facility int           // 0 is the kernel; processes can not write with it
	Level    int           // 0, emergency, to 7, debug
	Text     string

	// Of the dictionary, where a driver gave one: SUBSYSTEM=scsi, DEVICE=+scsi:0:0:5:0.
	Subsystem, Device string
}

var errNoRecord = errors.New("not a message of /dev/kmsg")

// Decode reads what one read of /dev/kmsg returned: "level,number,microseconds,flags[,…];text", then lines
// with a leading blank that are KEY=value. Unknown fields in front of the semicolon and unknown keys are
// skipped, as the format asks for.
func Decode(b []byte) (Record, error) {
	head, rest, found := strings.Cut(string(b), ";")
	if !found {
		return Record{}, fmt.Errorf("%w: no semicolon", errNoRecord)
	}
	fields := strings.Split(head, ",")
	if len(fields) < 4 {
		return Record{}, fmt.Errorf("%w: %d fields", errNoRecord, len(fields))
	}
	priority, err1 := strconv.ParseUint(fields[0], 10, 16)
	seq, err2 := strconv.ParseUint(fields[1], 10, 64)
	micro, err3 := strconv.ParseUint(fields[2], 10, 63)
	if err := errors.Join(err1, err2, err3); err != nil {
		return Record{}, fmt.Errorf("%w: %w", errNoRecord, err)
	}
	if micro > uint64(1<<63-1)/uint64(time.Microsecond) {
		return Record{}, fmt.Errorf("%w: %d microseconds since boot", errNoRecord, micro)
	}
	r := Record{Seq: seq, At: time.Duration(micro) * time.Microsecond, Facility: int(priority >> 3), Level: int(priority & 7)}
	text, dictionary, _ := strings.Cut(rest, "\n")
	r.Text = unescape(text)
	for line := range strings.SplitSeq(dictionary, "\n") {
		switch key, value, _ := strings.Cut(strings.TrimPrefix(line, " "), "="); key {
		case "SUBSYSTEM":
			r.Subsystem = unescape(value)
		case "DEVICE":
			r.Device = unescape(value)
		}
	}
	return r, nil
}

// unescape takes back what the kernel writes for bytes that are not printable, and for the backslash: \x5c.
func unescape(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			if n, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
