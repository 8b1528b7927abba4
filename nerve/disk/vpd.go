package disk

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// The codes of the vital product data pages, SPC-6 section 7.7.
const (
	pageSerial = 0x80
	pageDevice = 0x83
)

// vpdBody checks the header of a vital product data page and returns what follows it. All pages start
// with the peripheral device type, the page code and the length of the rest (two bytes, big endian).
func vpdBody(page []byte, code byte) ([]byte, error) {
	switch {
	case len(page) < 4:
		return nil, fmt.Errorf("VPD page %02xh: %d bytes are too few for its header", code, len(page))
	case page[1] != code:
		return nil, fmt.Errorf("VPD page %02xh: it says it is page %02xh", code, page[1])
	}
	n := int(binary.BigEndian.Uint16(page[2:]))
	if len(page) < 4+n {
		return nil, fmt.Errorf("VPD page %02xh: it announces %d bytes and has %d", code, n, len(page)-4)
	}
	return page[4 : 4+n], nil
}

// DecodeSerialPage reads the serial from VPD page 80h, Unit Serial Number, without its padding. A disk
// may leave the serial blank, which gives an empty string and no error.
func DecodeSerialPage(page []byte) (string, error) {
	body, err := vpdBody(page, pageSerial)
	return trim(string(body)), err
}

// DecodeDevicePage reads the worldwide name from VPD page 83h, Device Identification, in the form of
// NormalWWN. Only designators of the logical unit count; those of ports and targets are as many as there
// are cables. The best one wins: NAA 6 (registered extended), other NAA, EUI-64. A page without any of
// these gives an empty string and no error.
func DecodeDevicePage(page []byte) (string, error) {
	body, err := vpdBody(page, pageDevice)
	if err != nil {
		return "", err
	}
	best, rank := "", 0
	for len(body) > 0 {
		if len(body) < 4 || len(body) < 4+int(body[3]) {
			return "", fmt.Errorf("VPD page %02xh: its last designator is cut off", pageDevice)
		}
		codeSet, association, kind := body[0]&0x0f, body[1]>>4&0x3, body[1]&0x0f
		id := body[4 : 4+int(body[3])]
		body = body[4+int(body[3]):]
		if association != 0 || codeSet != 1 { // of the logical unit, in binary
			continue
		}
		if wwn, r := designator(kind, id); r > rank && NormalWWN(wwn) != "" {
			best, rank = wwn, r
		}
	}
	return best, nil
}

// designator is the worldwide name in a binary designator and its rank; 0 means that it holds none.
func designator(kind byte, id []byte) (string, int) {
	switch n := len(id); {
	case kind == 3 && n == 16 && id[0]>>4 == 6:
		return "naa." + hex.EncodeToString(id), 3
	case kind == 3 && n == 8 && (id[0]>>4 == 2 || id[0]>>4 == 3 || id[0]>>4 == 5):
		return "naa." + hex.EncodeToString(id), 2
	case kind == 2 && (n == 8 || n == 12 || n == 16):
		return "eui." + hex.EncodeToString(id), 1
	}
	return "", 0
}
