package smart

import "fmt"

// The sense keys that are looked at (SPC-4, table 48).
const (
	KeyNone      = 0x0
	KeyRecovered = 0x1
	KeyNotReady  = 0x2
	KeyMedium    = 0x3
	KeyHardware  = 0x4
	KeyIllegal   = 0x5
	KeyAttention = 0x6
	KeyAborted   = 0xb
)

// Sense is what a SCSI disk says of a command that did not simply succeed.
type Sense struct {
	Key       uint8
	ASC, ASCQ uint8
	Deferred  bool // it speaks of an earlier command
	LBA       uint64
	HasLBA    bool
}

// Decode reads sense data in fixed or descriptor format (SPC-4, 4.5).
func (s *Sense) Decode(b []byte) error {
	if len(b) < 4 {
		return fmt.Errorf("sense data: %w: %d bytes", ErrShort, len(b))
	}
	code := b[0] & 0x7f
	switch code {
	case 0x70, 0x71:
		if len(b) < 8 {
			return fmt.Errorf("sense data: %w: %d of 8 bytes", ErrShort, len(b))
		}
		out := Sense{Key: b[2] & 0x0f, Deferred: code == 0x71}
		if len(b) >= 14 {
			out.ASC, out.ASCQ = b[12], b[13]
		}
		if b[0]&0x80 != 0 {
			out.LBA, out.HasLBA = uint64(be.Uint32(b[3:])), true
		}
		*s = out
	case 0x72, 0x73:
		if len(b) < 8 {
			return fmt.Errorf("sense data: %w: %d of 8 bytes", ErrShort, len(b))
		}
		out := Sense{Key: b[1] & 0x0f, ASC: b[2], ASCQ: b[3], Deferred: code == 0x73}
		for rest := b[8:min(len(b), 8+int(b[7]))]; len(rest) >= 2; {
			n := 2 + int(rest[1])
			// Information descriptor (SPC-4, 4.5.2.2).
			if rest[0] == 0x00 && n >= 12 && len(rest) >= 12 && rest[2]&0x80 != 0 {
				out.LBA, out.HasLBA = be.Uint64(rest[4:]), true
			}
			rest = rest[min(n, len(rest)):]
		}
		*s = out
	default:
		return fmt.Errorf("sense data: %w: response code %02Xh", ErrOtherPage, code)
	}
	return nil
}

func (s Sense) String() string { return fmt.Sprintf("sense %X/%02X/%02X", s.Key, s.ASC, s.ASCQ) }

// Asleep says how a disk sleeps that answers a REQUEST SENSE so, and nothing when it does not (SPC-4, 5.12; SBC-3,
// 4.21). Idle conditions are not sleep: the disk turns in them.
func (s Sense) Asleep() string {
	switch {
	case s.ASC == 0x5e:
		switch s.ASCQ {
		case 0x02, 0x04, 0x09, 0x0a, 0x43, 0x45: // standby and standby_y by timer and by command, standby, sleep
			return "in standby"
		}
	case s.Key == KeyNotReady && s.ASC == 0x04 && s.ASCQ == 0x02:
		return "stopped"
	}
	return ""
}

// Prediction is what an informational exception says of a disk (SPC-4, annex D, additional sense codes
// 0Bh and 5Dh).
type Prediction int

// The predictions.
const (
	PredictNothing     Prediction = iota
	PredictFailure                // the disk expects to fail
	PredictSpare                  // its spare area is nearly used up
	PredictWear                   // its rated endurance is used up
	PredictTemperature            // it is too hot or too cold
	PredictMedium                 // its own scan or self-test has met a medium error
	PredictCache                  // its cache is not safe at a loss of power any more
	PredictUnknown                // a self-test runs, or a warning that says nothing of the disk's future
)

// Prediction reads the additional sense code of an informational exception, from log page 2Fh or from a
// REQUEST SENSE, as T10 names them (asc-num.txt): all of 5Dh but the last three below predict a failure, also
// 5Dh/1Dh "hardware impending failure power loss protection circuit", and those that no list has yet. 5Dh/03h is
// "spare area exhaustion prediction threshold exceeded", 5Dh/73h "media impending failure endurance limit met", and
// 5Dh/FFh "(false)" a test of the reporting itself, which says nothing.
func (s Sense) Prediction() Prediction {
	switch {
	case s.ASC == 0x5d && s.ASCQ == 0xff:
		return PredictNothing
	case s.ASC == 0x5d && s.ASCQ == 0x03:
		return PredictSpare
	case s.ASC == 0x5d && s.ASCQ == 0x73:
		return PredictWear
	case s.ASC == 0x5d:
		return PredictFailure
	case s.ASC == 0x0b:
		switch s.ASCQ {
		case 0x01, 0x0a, 0x0b, 0x0c, 0x0d:
			return PredictTemperature
		case 0x03, 0x04, 0x05:
			return PredictMedium
		case 0x06, 0x07, 0x08:
			return PredictCache
		}
		return PredictUnknown
	case s.ASC == 0x04 && s.ASCQ == 0x09:
		return PredictUnknown // a self-test is in progress
	}
	return PredictNothing
}

// The two halves of the qualifiers 10h to 6Ch of 5Dh: what expects to fail, and why.
var (
	failureParts = map[uint8]string{1: "hardware", 2: "controller", 3: "data channel", 4: "servo", 5: "spindle", 6: "firmware"}
	failureWhys  = [...]string{"general failure", "error rate too high", "data error rate too high", "seek error rate too high", "too many reassigned blocks",
		"access times too long", "start times too long", "channel parameters", "found by the controller", "throughput", "seek times", "spin-up retries", "calibration retries"}
	predictionWords = map[[2]uint8]string{
		{0x5d, 0x00}: "failure predicted", {0x5d, 0x01}: "medium failure predicted", {0x5d, 0x02}: "failure of the logical unit predicted",
		{0x5d, 0x03}: "spare area nearly used up", {0x5d, 0x1d}: "protection against loss of power predicted to fail", {0x5d, 0x73}: "endurance used up", {0x5d, 0xff}: "test of the prediction",
		{0x0b, 0x00}: "warning", {0x0b, 0x01}: "temperature limit exceeded", {0x0b, 0x02}: "enclosure degraded", {0x0b, 0x03}: "background self-test failed",
		{0x0b, 0x04}: "medium error found by the pre-scan", {0x0b, 0x05}: "medium error found by the background scan",
		{0x0b, 0x06}: "cache is volatile now", {0x0b, 0x07}: "power of the cache degraded", {0x0b, 0x08}: "loss of power expected",
		{0x0b, 0x0a}: "critical temperature exceeded", {0x0b, 0x0b}: "critically cold", {0x0b, 0x0c}: "operating temperature exceeded", {0x0b, 0x0d}: "too cold to operate",
		{0x04, 0x09}: "self-test in progress",
	}
)

// Words tell the additional sense code of an informational exception, or its numbers.
func (s Sense) Words() string {
	if w, ok := predictionWords[[2]uint8{s.ASC, s.ASCQ}]; ok {
		return w
	}
	part, why := failureParts[s.ASCQ>>4], int(s.ASCQ&0x0f)
	if s.ASC == 0x5d && part != "" && why < len(failureWhys) {
		return part + " predicted to fail: " + failureWhys[why]
	}
	return fmt.Sprintf("additional sense %02X/%02X", s.ASC, s.ASCQ)
}
