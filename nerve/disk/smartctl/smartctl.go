// Package smartctl reads what smartctl -j prints into the same values as the pages of the disk itself, for
// recordings and for disks that only smartctl reaches.
//
// It is pure. What the output does not have is not known, which is never good or bad. Output that is no JSON, has
// a field of another type, or is of no protocol that is known, is an error.
package smartctl

import (
	"encoding/json"
	"errors"
	"fmt"

	"glia"
	"glia/nerve/disk/smart"
)

// Output is what one run of smartctl told of a disk.
type Output struct {
	Identity glia.Identity
	Reading  smart.Reading
	Names    map[uint8]string // of the ATA attributes, by id
}

// document is the part of the output that is read (smartmontools 7, scsiprint.cpp, ataprint.cpp, nvmeprint.cpp).
type document struct {
	Device struct {
		Protocol string `json:"protocol"`
	} `json:"device"`
	Model    string `json:"model_name"`
	SCSI     string `json:"scsi_model_name"`
	Firmware string `json:"firmware_version"`
	Revision string `json:"scsi_revision"`
	Serial   string `json:"serial_number"`
	Capacity struct {
		Bytes uint64 `json:"bytes"`
	} `json:"user_capacity"`
	Status *struct {
		Passed bool `json:"passed"`
		SCSI   *struct {
			ASC  uint8 `json:"asc"`
			ASCQ uint8 `json:"ascq"`
		} `json:"scsi"`
	} `json:"smart_status"`
	Temperature *struct {
		Current int64 `json:"current"`
	} `json:"temperature"`
	Attributes *struct {
		Table []attribute `json:"table"`
	} `json:"ata_smart_attributes"`
	NVMe  *health                     `json:"nvme_smart_health_information_log"`
	Count map[string]map[string]count `json:"scsi_error_counter_log"`
	Grown *int64                      `json:"scsi_grown_defect_list"`
	Used  *int64                      `json:"scsi_percentage_used_endurance_indicator"`
}

type attribute struct {
	ID     uint8  `json:"id"`
	Name   string `json:"name"`
	Value  uint8  `json:"value"`
	Worst  uint8  `json:"worst"`
	Thresh uint8  `json:"thresh"`
	Flags  struct {
		Value uint16 `json:"value"`
	} `json:"flags"`
	Raw struct {
		Value uint64 `json:"value"`
	} `json:"raw"`
}

type health struct {
	Warning        uint8  `json:"critical_warning"`
	Temperature    int    `json:"temperature"`
	Spare          uint8  `json:"available_spare"`
	SpareThreshold uint8  `json:"available_spare_threshold"`
	Used           uint8  `json:"percentage_used"`
	MediaErrors    uint64 `json:"media_errors"`
}

// count is a number of an error counter page. Others than the one that is read may be texts.
type count struct {
	Value int64
	Valid bool
}

// UnmarshalJSON takes whole numbers and leaves texts alone.
func (c *count) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return nil
	}
	err := json.Unmarshal(b, &c.Value)
	c.Valid = err == nil
	return err
}

// Read reads the output of smartctl -j with at least -i -H -A.
func Read(data []byte) (*Output, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("output of smartctl: %w", err)
	}
	o := &Output{Identity: glia.Identity{Serial: d.Serial, Model: d.Model, Firmware: d.Firmware, Size: d.Capacity.Bytes}}
	switch d.Device.Protocol {
	case "ATA":
		o.Reading.Kind = smart.KindATA
		o.ata(&d)
	case "NVMe":
		o.Reading.Kind = smart.KindNVMe
		o.nvme(&d)
	case "SCSI":
		o.Reading.Kind = smart.KindSCSI
		if o.Identity.Model == "" {
			o.Identity.Model = d.SCSI
		}
		if o.Identity.Firmware == "" {
			o.Identity.Firmware = d.Revision
		}
		o.scsi(&d)
	default:
		return nil, fmt.Errorf("output of smartctl: its protocol is %q, and not ATA, NVMe or SCSI", d.Device.Protocol)
	}
	return o, nil
}

var errNotTold = errors.New("smartctl does not tell")

func (o *Output) ata(d *document) {
	r := &o.Reading
	r.Health.Err, r.Data.Err = errNotTold, errNotTold
	if d.Status != nil {
		r.Health = smart.Page[smart.Health]{Value: smart.HealthBad, Known: true}
		if d.Status.Passed {
			r.Health.Value = smart.HealthGood
		}
	}
	if d.Attributes == nil {
		return
	}
	r.Data.Known, r.Data.Err, r.Thresholds.Known = true, nil, true
	o.Names = map[uint8]string{}
	for _, a := range d.Attributes.Table {
		x := smart.Attribute{ID: a.ID, Flags: a.Flags.Value, Current: a.Value, Worst: a.Worst}
		for i := range x.Vendor {
			x.Vendor[i] = byte(a.Raw.Value >> (8 * i))
		}
		r.Data.Value.Attributes = append(r.Data.Value.Attributes, x)
		r.Thresholds.Value[a.ID] = a.Thresh
		o.Names[a.ID] = a.Name
	}
}

func (o *Output) nvme(d *document) {
	r, n := &o.Reading, d.NVMe
	if r.NVMe.Err = errNotTold; n == nil {
		return
	}
	r.NVMe = smart.Page[smart.NVMe]{Known: true, Value: smart.NVMe{
		Warning: n.Warning, Temperature: n.Temperature, HasTemperature: true, Spare: n.Spare, SpareThreshold: n.SpareThreshold,
		PercentUsed: n.Used, MediaErrors: smart.Count{Lo: n.MediaErrors},
	}}
}

func (o *Output) scsi(d *document) {
	r := &o.Reading
	r.Exception.Err = errNotTold
	switch s := d.Status; {
	case s == nil:
	case s.SCSI != nil:
		r.Exception = smart.Page[smart.Sense]{Known: true, Value: smart.Sense{ASC: s.SCSI.ASC, ASCQ: s.SCSI.ASCQ}}
	case s.Passed:
		r.Exception = smart.Page[smart.Sense]{Known: true}
	}
	for name, page := range map[string]*smart.Page[smart.ErrorCounters]{"read": &r.ReadErrors, "write": &r.WriteErrors, "verify": &r.VerifyErrors} {
		if c, ok := d.Count[name]["total_uncorrected_errors"]; ok && c.Valid {
			page.Known, page.Value.Uncorrected = true, smart.Statistic(c)
		}
	}
	for page, v := range map[*smart.Page[smart.Statistic]]*int64{&r.Grown: d.Grown, &r.Endurance: d.Used} {
		if v != nil {
			*page = smart.Page[smart.Statistic]{Known: true, Value: smart.Statistic{Value: *v, Valid: true}}
		}
	}
	if d.Temperature != nil {
		r.Temperature = smart.Page[smart.Statistic]{Known: true, Value: smart.Statistic{Value: d.Temperature.Current, Valid: true}}
	}
}
