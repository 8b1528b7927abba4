package disk

import (
	"strconv"
	"strings"
)

// Record is what udev's database holds about one device.
type Record struct {
	Links      []string          // symbolic links below /dev, such as disk/by-path/pci-0000:00:1f.2-ata-1
	Properties map[string]string // such as ID_SERIAL_SHORT
}

// ParseRecord reads a file of /run/udev/data. Lines it does not know are skipped, as udev itself does,
// so it never fails.
func ParseRecord(data []byte) Record {
	r := Record{Properties: map[string]string{}}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if link, ok := strings.CutPrefix(line, "S:"); ok && link != "" {
			r.Links = append(r.Links, link)
		}
		if property, ok := strings.CutPrefix(line, "E:"); ok {
			if key, value, ok := strings.Cut(property, "="); ok && key != "" {
				r.Properties[key] = value
			}
		}
	}
	return r
}

// serial prefers the serial that the SCSI disk itself gives. Where udev has none, its ID_SERIAL_SHORT of
// a SCSI disk is the WWN, which is no serial.
func (r Record) serial() string {
	if s := r.Properties["ID_SCSI_SERIAL"]; s != "" {
		return s
	}
	s := r.Properties["ID_SERIAL_SHORT"]
	if wwn := r.wwn(); wwn != "" && NormalWWN("0x"+strings.TrimPrefix(s, "0x")) == wwn {
		return ""
	}
	return s
}

// wwn is the whole worldwide name; ID_WWN alone is cut to 16 digits.
func (r Record) wwn() string {
	if w := NormalWWN(r.Properties["ID_WWN_WITH_EXTENSION"]); w != "" {
		return w
	}
	return NormalWWN(r.Properties["ID_WWN"])
}

func (r Record) model() string {
	if m := trim(unescapeUdev(r.Properties["ID_MODEL_ENC"])); m != "" {
		return m
	}
	return r.Properties["ID_MODEL"]
}

// unescapeUdev undoes udev's encoding of bytes that are unsafe in names: \x20 for a blank.
func unescapeUdev(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			if c, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
