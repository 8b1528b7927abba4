package smart

import "fmt"

// The SCSI log pages that are read (SPC-4, 7.3, and SBC-3, 6.4).
const (
	PageSupported      = 0x00
	PageWriteErrors    = 0x02
	PageReadErrors     = 0x03
	PageVerifyErrors   = 0x05
	PageNonMedium      = 0x06
	PageTemperature    = 0x0d
	PageSelfTests      = 0x10
	PageSolidState     = 0x11
	PageBackgroundScan = 0x15
	PageExceptions     = 0x2f
)

// params walks over the parameters of a log page.
type params struct {
	rest []byte
	code uint16
	data []byte
}

// logPage checks the head of a log page (SPC-4, 7.3.2). A page that is longer than the buffer is read as
// far as it goes, without its last, cut parameter.
func logPage(b []byte, page byte) (params, error) {
	if len(b) < 4 {
		return params{}, fmt.Errorf("log page %02Xh: %w: %d bytes", page, ErrShort, len(b))
	}
	if got := b[0] & 0x3f; got != page {
		return params{}, fmt.Errorf("log page %02Xh: %w: %02Xh", page, ErrOtherPage, got)
	}
	if b[0]&0x40 != 0 && b[1] != 0 {
		return params{}, fmt.Errorf("log page %02Xh: %w: subpage %02Xh", page, ErrOtherPage, b[1])
	}
	return params{rest: b[4:min(len(b), 4+int(be.Uint16(b[2:])))]}, nil
}

func (p *params) next() bool {
	if len(p.rest) < 4 {
		return false
	}
	n := 4 + int(p.rest[3])
	if n > len(p.rest) {
		return false
	}
	p.code, p.data = be.Uint16(p.rest), p.rest[4:n]
	p.rest = p.rest[n:]
	return true
}

// LogPages are the log pages that a disk offers.
type LogPages [64]bool

// Decode reads page 00h (SPC-4, 7.3.21).
func (l *LogPages) Decode(b []byte) error {
	p, err := logPage(b, PageSupported)
	if err != nil {
		return err
	}
	*l = LogPages{}
	for _, page := range p.rest {
		l[page&0x3f] = true
	}
	return nil
}

// number reads a counter of 1 to 8 bytes, or of more whose upper bytes are zero.
func number(b []byte) (uint64, bool) {
	for len(b) > 8 {
		if b[0] != 0 {
			return 0, false
		}
		b = b[1:]
	}
	var v uint64
	for _, x := range b {
		v = v<<8 | uint64(x)
	}
	return v, len(b) > 0
}

// ErrorCounters are one of the error counter pages (SPC-4, 7.3.8).
type ErrorCounters struct {
	Fast        Statistic // corrected without substantial delay
	Delayed     Statistic // corrected with possible delay
	Retried     Statistic // rereads or rewrites
	Corrected   Statistic // in all
	Bytes       Statistic // processed; capped at the largest number
	Uncorrected Statistic
}

// Decode reads page 02h, 03h or 05h.
func (c *ErrorCounters) Decode(page byte, b []byte) error {
	p, err := logPage(b, page)
	if err != nil {
		return err
	}
	var out ErrorCounters
	for p.next() {
		v, ok := number(p.data)
		if !ok {
			continue
		}
		s := Statistic{Value: int64(min(v, 1<<63-1)), Valid: true}
		switch p.code {
		case 0:
			out.Fast = s
		case 1:
			out.Delayed = s
		case 2:
			out.Retried = s
		case 3:
			out.Corrected = s
		case 5:
			out.Bytes = s
		case 6:
			out.Uncorrected = s
		}
	}
	*c = out
	return nil
}

// NonMedium reads page 06h: the count of errors that are not the medium's (SPC-4, 7.3.15).
func NonMedium(b []byte) (Statistic, error) {
	p, err := logPage(b, PageNonMedium)
	if err != nil {
		return Statistic{}, err
	}
	for p.next() {
		if v, ok := number(p.data); ok && p.code == 0 {
			return Statistic{Value: int64(min(v, 1<<63-1)), Valid: true}, nil
		}
	}
	return Statistic{}, nil
}

// Temperatures reads page 0Dh: the temperature and the one up to which the disk may run, in degrees
// Celsius (SPC-4, 7.3.22).
func Temperatures(b []byte) (now, limit Statistic, err error) {
	p, err := logPage(b, PageTemperature)
	if err != nil {
		return now, limit, err
	}
	for p.next() {
		if len(p.data) < 2 || p.data[1] == 0xff {
			continue
		}
		switch s := (Statistic{Value: int64(p.data[1]), Valid: true}); p.code {
		case 0:
			now = s
		case 1:
			limit = s
		}
	}
	return now, limit, nil
}

// Endurance reads page 11h: how much of the endurance is used, in percent, up to 255 (SBC-3, 6.4.8).
func Endurance(b []byte) (Statistic, error) {
	p, err := logPage(b, PageSolidState)
	if err != nil {
		return Statistic{}, err
	}
	for p.next() {
		if p.code == 1 && len(p.data) >= 4 {
			return Statistic{Value: int64(p.data[3]), Valid: true}, nil
		}
	}
	return Statistic{}, nil
}

// Exception reads page 2Fh: the informational exception that the disk would report now (SPC-4, 7.3.11).
// ok is false when the page has none of it.
func Exception(b []byte) (s Sense, ok bool, err error) {
	p, err := logPage(b, PageExceptions)
	if err != nil {
		return s, false, err
	}
	for p.next() {
		if p.code == 0 && len(p.data) >= 2 {
			return Sense{ASC: p.data[0], ASCQ: p.data[1]}, true, nil
		}
	}
	return s, false, nil
}

// BackgroundScan is page 15h: what the disk's own medium scan has met (SBC-3, 6.4.2).
type BackgroundScan struct {
	Minutes uint32 // powered on
	Status  uint8  // 1: a medium scan runs
	Scans   uint16
	Medium  int // entries with a medium or hardware error that is not repaired
	Fixed   int // entries whose sector was reassigned or written again
}

// Decode reads the page. An entry is fixed when its reassign status is 2, 5, 6 or 7 (reassigned by the
// disk, rewritten in place, reassigned by the host); any other one with the sense key of a medium or
// hardware error is a sector that still can not be read.
func (s *BackgroundScan) Decode(b []byte) error {
	p, err := logPage(b, PageBackgroundScan)
	if err != nil {
		return err
	}
	var out BackgroundScan
	for p.next() {
		switch {
		case p.code == 0 && len(p.data) >= 8:
			out.Minutes, out.Status, out.Scans = be.Uint32(p.data), p.data[5], be.Uint16(p.data[6:])
		case p.code >= 1 && p.code <= 0x800 && len(p.data) >= 8:
			status, key := p.data[4]>>4, p.data[4]&0x0f
			switch {
			case status == 2 || status >= 5 && status <= 7:
				out.Fixed++
			case key == KeyMedium || key == KeyHardware:
				out.Medium++
			}
		}
	}
	*s = out
	return nil
}

// GrownDefects reads the head of the answer to READ DEFECT DATA (12) for the grown list (SBC-3, 5.18):
// how many sectors the disk has replaced since it was made. The list itself need not be in b.
func GrownDefects(b []byte) (Statistic, error) {
	if len(b) < 8 {
		return Statistic{}, fmt.Errorf("defect list: %w: %d of 8 bytes", ErrShort, len(b))
	}
	if b[1]&0x08 == 0 {
		return Statistic{}, nil // the grown list is not in the answer
	}
	size := uint32(8)
	switch b[1] & 0x07 {
	case 0: // short block format
		size = 4
	case 1, 2, 3, 4, 5: // bytes from index and physical sector, plain or extended; long block
	default:
		return Statistic{}, nil
	}
	return Statistic{Value: int64(be.Uint32(b[4:]) / size), Valid: true}, nil
}
