package smart

// Attribute is one of the up to 30 vendor attributes of the SMART data (SFF-8035i, 4.2; ATA has left
// these bytes to the makers ever since, who have kept to it).
type Attribute struct {
	ID      uint8
	Flags   uint16
	Current uint8 // normalised, 1 to 253; the higher the better
	Worst   uint8
	Vendor  [6]byte // the raw value, whose meaning is the maker's
}

// Prefail says whether the attribute predicts failure, rather than telling age (flag bit 0).
func (a Attribute) Prefail() bool { return a.Flags&1 != 0 }

// Raw is the raw value as one number of 48 bits.
func (a Attribute) Raw() uint64 {
	return uint64(le.Uint32(a.Vendor[:4])) | uint64(le.Uint16(a.Vendor[4:]))<<32
}

// Low16 is the lowest word of the raw value, where makers that pack several numbers keep the count.
func (a Attribute) Low16() uint16 { return le.Uint16(a.Vendor[:2]) }

// Low32 is the lower two words of the raw value.
func (a Attribute) Low32() uint32 { return le.Uint32(a.Vendor[:4]) }

// attributeCount is how many attributes fit into the 360 bytes of the page, 12 bytes each.
const attributeCount = 30

// Data is the answer to SMART READ DATA (ATA8-ACS, 7.52.6, table 62).
type Data struct {
	Attributes []Attribute // in the order of the page

	SelfTest        SelfTestStatus
	ShortMinutes    int // recommended polling time of the short self-test; 0: there is none
	ExtendedMinutes int // of the extended one
	CanSelfTest     bool
	CanLogErrors    bool

	store [attributeCount]Attribute
}

// Decode reads the 512 bytes of the answer.
func (d *Data) Decode(b []byte) error {
	if err := summed("SMART data", b); err != nil {
		return err
	}
	d.Attributes = d.store[:0]
	for i := range attributeCount {
		a := b[2+12*i:]
		if a[0] == 0 {
			continue // 0 is no attribute
		}
		d.Attributes = append(d.Attributes, Attribute{ID: a[0], Flags: le.Uint16(a[1:]), Current: a[3], Worst: a[4], Vendor: [6]byte(a[5:11])})
	}
	d.SelfTest = SelfTestStatus(b[363])
	d.CanSelfTest = b[367]&0x10 != 0
	d.CanLogErrors = b[370]&1 != 0
	d.ShortMinutes, d.ExtendedMinutes = int(b[372]), int(b[373])
	if b[373] == 0xff {
		d.ExtendedMinutes = int(le.Uint16(b[375:]))
	}
	return nil
}

// Attribute finds an attribute by its id.
func (d *Data) Attribute(id uint8) (Attribute, bool) {
	for _, a := range d.Attributes {
		if a.ID == id {
			return a, true
		}
	}
	return Attribute{}, false
}

// Thresholds are the makers' limits for the attributes' normalised values, by id; 0 where there is none
// (SFF-8035i, 4.3; command SMART READ ATTRIBUTE THRESHOLDS, obsolete in ATA but answered by all).
type Thresholds [256]uint8

// Decode reads the 512 bytes of the answer.
func (t *Thresholds) Decode(b []byte) error {
	if err := summed("SMART thresholds", b); err != nil {
		return err
	}
	*t = Thresholds{}
	for i := range attributeCount {
		if e := b[2+12*i:]; e[0] != 0 && t[e[0]] == 0 { // the first one counts, as with attributes
			t[e[0]] = e[1]
		}
	}
	return nil
}

// Exceeded says whether the attribute is at or below its threshold. Values and thresholds are valid from
// 1 to 253 (SFF-8035i, 4.2.1); with others the answer is no.
func (t *Thresholds) Exceeded(a Attribute) bool {
	const reserved = 254
	limit := t[a.ID]
	return limit > 0 && limit < reserved && a.Current > 0 && a.Current <= limit
}
