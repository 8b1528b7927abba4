package selftest_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"glia/nerve/disk/selftest"
	"glia/nerve/disk/smart"
)

// wire is a disk that answers each command, named by its bytes, with the bytes of the test.
type wire struct {
	answers map[string][]byte
	sent    []string
}

// Send answers a command that it has no bytes for as a disk does that does not know it.
func (w *wire) Send(c smart.Command, data []byte) (smart.Answer, error) {
	command := hex.EncodeToString(c.Block())
	if opcode, namespace, dword10 := c.NVMe(); command == "" {
		command = fmt.Sprintf("%02x %08x %08x", opcode, namespace, dword10)
	}
	w.sent = append(w.sent, command)
	a, ok := w.answers[command]
	if !ok {
		return smart.Answer{Status: 2, NVMe: 1, Sense: []byte{0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0}}, nil
	}
	return smart.Answer{Length: copy(data, a)}, nil
}
func (w *wire) Close() error { return nil }

func newDisk(k smart.Kind, w *wire) selftest.Device { return selftest.New(smart.NewDevice(k, w, true)) }

// summed sets the last of 512 bytes so that all add up to zero.
func summed(b []byte) []byte {
	b[511] = 0
	var sum byte
	for _, v := range b {
		sum += v
	}
	b[511] = -sum
	return b
}

// The commands as ATA8-ACS 7.52 and SAT-3 12.2.2 give them.
const (
	ataRead  = "85080e00d000010000004f00c200b000"
	ataLog   = "85080e00d500010006004f00c200b000"
	ataStart = "85062000d400000001004f00c200b000"
)

func TestATA_Commands(t *testing.T) {
	t.Parallel()
	data := make([]byte, 512)
	data[2], data[7] = 5, 8     // 8 reallocated sectors
	data[14], data[19] = 197, 2 // 2 pending ones
	data[363], data[367], data[372] = 0xf4, 0x10, 2
	log := make([]byte, 512)
	log[508], log[2], log[3], log[4] = 1, 1, 0x70, 9 // failed reading, at hour 9
	binary.LittleEndian.PutUint32(log[7:], 4711)
	w := &wire{answers: map[string][]byte{ataRead: summed(data), ataLog: summed(log), ataStart: nil}}
	r, err := newDisk(smart.KindATA, w).Look()
	if err != nil {
		t.Fatal(err)
	}
	if got := selftest.Words(r.Counts); got != "reallocated sectors 8, pending sectors 2" {
		t.Errorf("counts %s", got)
	}
	if !r.Offers || !r.Running || r.Expect.Minutes() != 2 || r.Tests != 1 || r.Last.Result != smart.SelfTestFailed || r.Last.LBA != 4711 {
		t.Errorf("%+v", r)
	}
	if err := newDisk(smart.KindATA, w).Start(); err != nil || w.sent[len(w.sent)-1] != ataStart {
		t.Errorf("start: %v, sent %q", err, w.sent)
	}
	data[100] ^= 1
	if _, err := newDisk(smart.KindATA, w).Look(); !errors.Is(err, smart.ErrChecksum) {
		t.Errorf("a page with a wrong checksum: %v", err)
	}
}

func TestNVMe_Commands(t *testing.T) {
	t.Parallel()
	health := make([]byte, 512)
	health[1], health[2], health[3] = 0x2c, 0x01, 100
	health[160] = 3
	id := make([]byte, 4096)
	id[256] = 1 << 4
	log := make([]byte, 564)
	log[0], log[1] = 1, 30
	for i := range 20 {
		log[4+28*i] = 0x0f
	}
	log[4] = 0x10
	w := &wire{answers: map[string][]byte{"02 ffffffff 007f0002": health, "06 00000000 00000001": id, "02 ffffffff 008c0006": log, "14 ffffffff 00000001": nil}}
	r, err := newDisk(smart.KindNVMe, w).Look()
	if err != nil || selftest.Words(r.Counts) != "media errors 3" || !r.Offers || !r.Running || r.Tests != 1 || r.Last.Result != smart.SelfTestPassed {
		t.Errorf("%+v, %v", r, err)
	}
	if err := newDisk(smart.KindNVMe, w).Start(); err != nil {
		t.Errorf("start: %v, sent %q", err, w.sent)
	}
	id[256] = 0
	if r, err := newDisk(smart.KindNVMe, w).Look(); err != nil || r.Offers || len(r.Counts) != 1 {
		t.Errorf("without self-tests: %+v, %v", r, err)
	}
}

func TestSCSI_Commands(t *testing.T) {
	t.Parallel()
	const defects, sense, start = "b70d00000000000000080000", "4d005000000000020000", "1d2000000000"
	head := []byte{0, 0x0d, 0, 0, 0, 0, 0, 24} // three physical sectors of 8 bytes
	page := make([]byte, 404)
	page[0], page[3] = 0x10, 20 // one parameter of 20 bytes
	page[5], page[6], page[7] = 1, 0x03, 16
	page[8], page[11] = 0x20, 5 // a background short test, passed, at hour 5
	w := &wire{answers: map[string][]byte{defects: head, sense: page, start: nil}}
	r, err := newDisk(smart.KindSCSI, w).Look()
	if err != nil || selftest.Words(r.Counts) != "grown defects 3" || !r.Offers || r.Running || r.Tests != 1 || r.Last.Result != smart.SelfTestPassed {
		t.Errorf("%+v, %v; sent %q", r, err, w.sent)
	}
	if err := newDisk(smart.KindSCSI, w).Start(); err != nil {
		t.Errorf("start: %v, sent %q", err, w.sent)
	}
	delete(w.answers, sense)
	if r, err := newDisk(smart.KindSCSI, w).Look(); err != nil || r.Offers || len(r.Counts) != 1 {
		t.Errorf("without the page: %+v, %v", r, err)
	}
	delete(w.answers, defects)
	if _, err := newDisk(smart.KindSCSI, w).Look(); err == nil || !strings.Contains(err.Error(), "does not offer it") {
		t.Errorf("without both: %v", err)
	}
}
