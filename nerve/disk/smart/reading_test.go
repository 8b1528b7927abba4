package smart_test

import (
	"testing"

	"glia/nerve/disk/smart"
)

// echo is a disk that answers every command with the same page, but for REQUEST SENSE, and without work.
type echo struct{ page []byte }

func (e *echo) Send(c smart.Command, data []byte) (smart.Answer, error) {
	if c.Size() == smart.RequestSense.Size() {
		return smart.Answer{Length: copy(data, "\x70\x00\x00\x00\x00\x00\x00\x0a")}, nil
	}
	return smart.Answer{Length: copy(data, e.page)}, nil
}
func (e *echo) Close() error { return nil }

// A poll of a disk that answers as it should allocates nothing.
func TestReading_PollAllocatesNothing(t *testing.T) {
	full := func(kind smart.Kind) *smart.Offer {
		o := &smart.Offer{ATA: smart.ATAFeatures{SMART: true, Enabled: true, ErrorLog: true, SelfTest: true}, NVMe: smart.NVMeFeatures{SelfTest: true, ErrorEntries: 8}}
		if kind == smart.KindSCSI {
			o.Pages[smart.PageReadErrors] = true
		}
		return o
	}
	for kind, page := range map[smart.Kind][]byte{
		smart.KindATA:  sum(page(map[int]string{2: "05 0100 64 64 010000000000"})),
		smart.KindNVMe: append(page(map[int]string{0: "00 2a01 64 0a"}), make([]byte, 512)...),
		smart.KindSCSI: unhex("03 00 0008 0006 03 04 00000001"),
	} {
		d, o := smart.NewDevice(kind, &echo{page}, false), full(kind)
		var r smart.Reading
		if got := testing.AllocsPerRun(100, func() { r.Poll(t.Context(), d, o) }); got > 0 {
			t.Errorf("%s: %v allocations", kind, got)
		}
	}
}
