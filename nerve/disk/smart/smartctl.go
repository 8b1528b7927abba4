package smart

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Smartctl is what the JSON of "smartctl -j -x" says besides the pages.
type Smartctl struct {
	Model, Serial string
	Firmware      string
	Capacity      uint64           // bytes; 0 when it is not told
	Names         map[uint8]string // of the attributes
	Asleep        string           // how the disk sleeps; then there are no pages
}

// The bits of smartctl's exit status that say that there is no answer (smartctl(8), EXIT STATUS). The others
// judge the disk.
const (
	exitUsage  = 1 << 0
	exitNoOpen = 1 << 1 // also: asleep
)

// output is the part of smartctl's JSON, format 1, that is read. What a page needs is a pointer or checked, so
// that a missing value is not taken for zero.
type output struct {
	Format   []int `json:"json_format_version"`
	Smartctl *struct {
		Exit     *int `json:"exit_status"`
		Messages []struct {
			String   string `json:"string"`
			Severity string `json:"severity"`
		} `json:"messages"`
	} `json:"smartctl"`
	Device struct {
		Protocol string `json:"protocol"`
	} `json:"device"`
	Model        string `json:"model_name"`
	ModelSCSI    string `json:"scsi_model_name"`
	Firmware     string `json:"firmware_version"`
	RevisionSCSI string `json:"scsi_revision"`
	Serial       string `json:"serial_number"`
	Capacity     struct {
		Bytes uint64 `json:"bytes"`
	} `json:"user_capacity"`
	Status *struct {
		Passed *bool `json:"passed"`
		SCSI   *struct {
			ASC  *uint8 `json:"asc"`
			ASCQ *uint8 `json:"ascq"`
		} `json:"scsi"`
	} `json:"smart_status"`
	Temperature struct {
		Current *int64 `json:"current"`
	} `json:"temperature"`

	Attributes *struct {
		Table []struct {
			ID     uint8  `json:"id"`
			Name   string `json:"name"`
			Value  uint8  `json:"value"`
			Worst  uint8  `json:"worst"`
			Thresh *uint8 `json:"thresh"`
			Flags  struct {
				Value uint16 `json:"value"`
			} `json:"flags"`
			Raw struct {
				Value *uint64 `json:"value"`
			} `json:"raw"`
		} `json:"table"`
	} `json:"ata_smart_attributes"`
	ATATests struct {
		Standard *ataTests `json:"standard"`
		Extended *ataTests `json:"extended"`
	} `json:"ata_smart_self_test_log"`
	Statistics *struct {
		Pages []struct {
			Number uint8 `json:"number"`
			Table  []struct {
				Offset int    `json:"offset"`
				Value  *int64 `json:"value"`
				Flags  struct {
					Valid bool `json:"valid"`
				} `json:"flags"`
			} `json:"table"`
		} `json:"pages"`
	} `json:"ata_device_statistics"`

	Health *struct {
		Warning        *uint8 `json:"critical_warning"`
		Temperature    *int   `json:"temperature"`
		Spare          *uint8 `json:"available_spare"`
		SpareThreshold *uint8 `json:"available_spare_threshold"`
		PercentUsed    *uint8 `json:"percentage_used"`
		MediaErrors    *count `json:"media_errors"`
	} `json:"nvme_smart_health_information_log"`
	NVMeErrors *struct {
		Table []struct {
			Count  uint64 `json:"error_count"`
			Status *struct {
				Type uint16 `json:"status_code_type"`
				Code uint16 `json:"status_code"`
			} `json:"status_field"`
			LBA struct {
				Value uint64 `json:"value"`
			} `json:"lba"`
		} `json:"table"`
	} `json:"nvme_error_information_log"`
	NVMeTests *struct {
		Table []struct {
			Code   valued `json:"self_test_code"`
			Result valued `json:"self_test_result"`
			Hours  uint64 `json:"power_on_hours"`
		} `json:"table"`
	} `json:"nvme_self_test_log"`

	Counters map[string]struct {
		Corrected   *int64 `json:"total_errors_corrected"`
		Uncorrected *int64 `json:"total_uncorrected_errors"`
	} `json:"scsi_error_counter_log"`
	Grown     *int64 `json:"scsi_grown_defect_list"`
	Endurance *int64 `json:"scsi_percentage_used_endurance_indicator"`
}

type valued struct {
	Value *uint8 `json:"value"`
}

type ataTests struct {
	Table []struct {
		Status valued  `json:"status"`
		Type   valued  `json:"type"`
		Hours  uint64  `json:"lifetime_hours"`
		LBA    *uint64 `json:"lba"`
	} `json:"table"`
}

// scsiTest is one of scsi_self_test_0 to 19.
type scsiTest struct {
	Code   valued `json:"code"`
	Result valued `json:"result"`
	Hours  struct {
		Hours uint64 `json:"hours"`
	} `json:"power_on_time"`
}

// count is a number that smartctl writes as a number or, when it is too large for one, as a string.
type count Count

func (c *count) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	var n uint64
	if _, err := fmt.Sscan(text, &n); err != nil {
		if strings.Trim(text, "0123456789") != "" || text == "" {
			return fmt.Errorf("%q is no count", text)
		}
		n = math.MaxUint64 // more than 64 bits
	}
	*c = count{Lo: n}
	return nil
}

// Smartctl reads the output of "smartctl -j -x" in place of a disk: of recordings, and of disks that only smartctl
// can reach. The
// reading is the same as that of Poll, less what smartctl's JSON does not tell: the ATA error log, the medium
// scan of SCSI and its non-medium errors. An output that is no whole JSON document of format 1, that has a value
// of the wrong kind or size, or that says that smartctl could not ask, is an error.
func (r *Reading) Smartctl(b []byte) (Smartctl, error) {
	var o output
	if err := json.Unmarshal(b, &o); err != nil {
		return Smartctl{}, fmt.Errorf("output of smartctl: %w", err)
	}
	if len(o.Format) == 0 || o.Format[0] != 1 || o.Smartctl == nil || o.Smartctl.Exit == nil {
		return Smartctl{}, fmt.Errorf("output of smartctl: not of JSON format 1, but %v", o.Format)
	}
	if exit := *o.Smartctl.Exit; exit&(exitUsage|exitNoOpen) != 0 {
		var words []string
		for _, m := range o.Smartctl.Messages {
			if how, ok := strings.CutPrefix(m.String, "Device is in "); ok && exit&exitNoOpen != 0 {
				how, _, _ = strings.Cut(strings.ToLower(how), " mode")
				if how == "sleep" { // also what smartctl says when CHECK POWER MODE fails
					how += ", or it does not answer smartctl"
				}
				return Smartctl{Asleep: "in " + how}, nil
			}
			words = append(words, m.String)
		}
		return Smartctl{}, fmt.Errorf("smartctl ended with status %d: %s", exit, strings.Join(words, "; "))
	}
	s := Smartctl{Model: cmp.Or(o.Model, o.ModelSCSI), Serial: o.Serial, Firmware: cmp.Or(o.Firmware, o.RevisionSCSI), Capacity: o.Capacity.Bytes}
	switch o.Device.Protocol {
	case "ATA":
		r.reset(KindATA)
		s.Names = o.attributes(r)
		o.ataHealth(r)
		o.ataTests(r)
		o.statistics(r)
	case "NVMe":
		r.reset(KindNVMe)
		o.nvme(r)
	case "SCSI":
		r.reset(KindSCSI)
		o.scsi(r)
		if err := scsiTests(b, r); err != nil {
			return Smartctl{}, fmt.Errorf("output of smartctl: %w", err)
		}
	default:
		return Smartctl{}, fmt.Errorf("output of smartctl: protocol %q, which is not ATA, NVMe or SCSI", o.Device.Protocol)
	}
	return s, nil
}

func (o *output) attributes(r *Reading) map[uint8]string {
	if o.Attributes == nil {
		return nil
	}
	d, names := &r.Data.Value, map[uint8]string{}
	d.Attributes, r.Thresholds.Value = d.store[:0], Thresholds{}
	r.Thresholds.Known = true
	for _, a := range o.Attributes.Table[:min(len(o.Attributes.Table), attributeCount)] {
		if a.ID == 0 || a.Raw.Value == nil {
			continue
		}
		out := Attribute{ID: a.ID, Flags: a.Flags.Value, Current: a.Value, Worst: a.Worst}
		var raw [8]byte
		le.PutUint64(raw[:], *a.Raw.Value)
		copy(out.Vendor[:], raw[:])
		d.Attributes = append(d.Attributes, out)
		names[a.ID] = a.Name
		if a.Thresh == nil {
			r.Thresholds.Known = false
		} else {
			r.Thresholds.Value[a.ID] = *a.Thresh
		}
	}
	r.Data.Known = true
	return names
}

// attributeCheck is smartctl's warning that it has made the verdict itself, because the disk did not give one.
const attributeCheck = "based on an Attribute check"

func (o *output) ataHealth(r *Reading) {
	if o.Status == nil || o.Status.Passed == nil {
		return
	}
	for _, m := range o.Smartctl.Messages {
		if strings.Contains(m.String, attributeCheck) {
			r.Health.put(errKept)
			return
		}
	}
	r.Health.Value, r.Health.Known = HealthBad, true
	if *o.Status.Passed {
		r.Health.Value = HealthGood
	}
}

func (o *output) ataTests(r *Reading) {
	log := o.ATATests.Extended
	if log == nil {
		log = o.ATATests.Standard
	}
	if log == nil {
		return
	}
	l := &r.Tests.Value
	l.Entries, l.Running, l.Remaining, r.Tests.Known = l.store[:0], false, 0, true
	for _, e := range log.Table[:min(len(log.Table), selfTests)] {
		if e.Status.Value == nil {
			continue
		}
		s := SelfTestStatus(*e.Status.Value)
		t := SelfTest{Result: s.Result(), Part: s.Part(), Hours: e.Hours, Extended: e.Type.Value != nil && *e.Type.Value&0x7f == 2}
		if e.LBA != nil && t.Result == SelfTestFailed {
			t.LBA, t.HasLBA = *e.LBA, true
		}
		l.Entries = append(l.Entries, t)
	}
}

func (o *output) statistics(r *Reading) {
	if o.Statistics == nil {
		return
	}
	s := &r.Statistics.Value
	*s, r.Statistics.Known = DeviceStatistics{}, true
	for _, p := range o.Statistics.Pages {
		for _, e := range p.Table {
			into := s.field(p.Number, e.Offset)
			if into != nil && e.Value != nil && e.Flags.Valid {
				*into = Statistic{Value: *e.Value, Valid: true}
			}
		}
	}
}

// field is the statistic at a place of the log, if it is read.
func (d *DeviceStatistics) field(page uint8, offset int) *Statistic {
	switch [2]int{int(page), offset} {
	case [2]int{PageRotating, 0x20}:
		return &d.Reallocated
	case [2]int{PageRotating, 0x38}:
		return &d.Candidates
	case [2]int{PageErrors, 0x08}:
		return &d.Uncorrectable
	case [2]int{PageTemp, 0x08}:
		return &d.Temperature
	case [2]int{PageTransport, 0x18}:
		return &d.CRCErrors
	case [2]int{PageSSD, 0x08}:
		return &d.PercentUsed
	}
	return nil
}

func (o *output) nvme(r *Reading) {
	if h := o.Health; h != nil {
		if h.Warning == nil || h.Spare == nil || h.SpareThreshold == nil || h.PercentUsed == nil || h.MediaErrors == nil {
			r.NVMe.put(errNothingFilled)
		} else {
			r.NVMe.Value = NVMe{Warning: *h.Warning, Spare: *h.Spare, SpareThreshold: *h.SpareThreshold, PercentUsed: *h.PercentUsed, MediaErrors: Count(*h.MediaErrors)}
			if h.Temperature != nil {
				r.NVMe.Value.Temperature, r.NVMe.Value.HasTemperature = *h.Temperature, true
			}
			r.NVMe.put(r.NVMe.Value.Check())
		}
	}
	if o.NVMeErrors != nil {
		l := &r.NVMeErrors.Value
		l.Entries, r.NVMeErrors.Known = l.store[:0], true
		for _, e := range o.NVMeErrors.Table[:min(len(o.NVMeErrors.Table), nvmeErrors)] {
			if e.Status != nil {
				l.Entries = append(l.Entries, NVMeError{Count: e.Count, Status: e.Status.Type&7<<8 | e.Status.Code&0xff, LBA: e.LBA.Value})
			}
		}
	}
	if o.NVMeTests == nil {
		return
	}
	l := &r.Tests.Value
	l.Entries, l.Running, l.Remaining, r.Tests.Known = l.store[:0], false, 0, true
	for _, e := range o.NVMeTests.Table[:min(len(o.NVMeTests.Table), selfTests)] {
		if e.Result.Value != nil {
			l.Entries = append(l.Entries, SelfTest{Result: nvmeSelfTestResult(*e.Result.Value), Hours: e.Hours, Extended: e.Code.Value != nil && *e.Code.Value == 2})
		}
	}
}

func (o *output) scsi(r *Reading) {
	switch s := o.Status; {
	case s == nil || s.Passed == nil:
	case *s.Passed:
		r.Exception.Value, r.Exception.Known = Sense{}, true
	case s.SCSI == nil || s.SCSI.ASC == nil || s.SCSI.ASCQ == nil:
		r.Exception.put(errors.New("smartctl says that the disk predicts something, and only from version 7.3 on what"))
	default:
		r.Exception.Value, r.Exception.Known = Sense{ASC: *s.SCSI.ASC, ASCQ: *s.SCSI.ASCQ}, true
	}
	for name, into := range map[string]*Page[ErrorCounters]{"read": &r.ReadErrors, "write": &r.WriteErrors, "verify": &r.VerifyErrors} {
		c, ok := o.Counters[name]
		if !ok {
			continue
		}
		into.Value, into.Known = ErrorCounters{}, true
		into.Value.Corrected, into.Value.Uncorrected = known(c.Corrected), known(c.Uncorrected)
	}
	for value, into := range map[*int64]*Page[Statistic]{o.Grown: &r.Grown, o.Endurance: &r.Endurance, o.Temperature.Current: &r.Temperature} {
		if value != nil {
			into.Value = known(value)
			into.Known = into.Value.Valid
		}
	}
}

// known is a number that is there and not less than zero.
func known(v *int64) Statistic {
	if v == nil || *v < 0 {
		return Statistic{}
	}
	return Statistic{Value: *v, Valid: true}
}

// scsiTests reads the self-tests, each of which has a key of its own.
func scsiTests(b []byte, r *Reading) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	l := &r.Tests.Value
	l.Entries, l.Running, l.Remaining = l.store[:0], false, 0
	for n := range selfTests {
		raw, ok := all[fmt.Sprintf("scsi_self_test_%d", n)]
		if !ok {
			break
		}
		var t scsiTest
		if err := json.Unmarshal(raw, &t); err != nil {
			return fmt.Errorf("self-test %d: %w", n, err)
		}
		if t.Result.Value == nil {
			continue
		}
		result := scsiSelfTestResult(*t.Result.Value)
		l.Running = l.Running || result == SelfTestRunning
		l.Entries = append(l.Entries, SelfTest{Result: result, Hours: t.Hours.Hours, Extended: t.Code.Value != nil && slices.Contains([]uint8{2, 6}, *t.Code.Value)})
		r.Tests.Known = true
	}
	return nil
}
