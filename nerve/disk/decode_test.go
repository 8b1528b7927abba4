package disk_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"glia/nerve/disk"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// The pages are laid out by hand after SPC-6: serial number (7.7.18) and device identification (7.7.6).
var (
	// A SATA disk behind a translation layer: 20 bytes, padded in front.
	pageSATA = unhex("00 80 0014 20202020202020202020202057 44 31 32 33 34 35 36")
	// A SAS disk: NAA 5 of the unit, then NAA 5 of the port and of the target, which must not be taken.
	pageSAS = unhex("00 83 0024" +
		"01 03 00 08 5000c500a1b2c3d4" +
		"61 93 00 08 5000c500a1b2c3d5" +
		"61 a3 00 08 5000c500a1b2c3d6")
	// A RAID volume: vendor text first, then NAA 6.
	pageRAID = unhex("00 83 0028" +
		"02 01 00 0c 4c53492020202020 00000000" +
		"01 03 00 10 600508b1001c4a5b6c7d8e9fa0b1c2d3" + "00 00 00 00")
	// Only EUI-64.
	pageEUI = unhex("00 83 000c 01 02 00 08 0025385b71b0a1c2")
)

func TestDecodeSerialPage_TakesTheSerialWithoutPadding(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, page, want, err string }{
		{"padded in front", string(pageSATA), "WD123456", ""},
		{"padded with zero bytes", "\x00\x80\x00\x06ZA1\x00\x00\x00", "ZA1", ""},
		{"blank", "\x00\x80\x00\x04    ", "", ""},
		{"bytes after the page", "\x00\x80\x00\x03ZA1junk", "ZA1", ""},
		{"cut off", "\x00\x80\x00\x14ZA1", "", "announces 20 bytes and has 3"},
		{"another page", "\x00\x83\x00\x03ZA1", "", "it says it is page 83h"},
		{"empty", "", "", "too few for its header"},
	} {
		got, err := disk.DecodeSerialPage([]byte(c.page))
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %q, %v; want %q, %q", c.name, got, err, c.want, c.err)
		}
	}
}

func TestDecodeDevicePage_TakesTheBestNameOfTheUnit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		page       []byte
		ok         bool
	}{
		{"SAS disk", "naa.5000c500a1b2c3d4", pageSAS, true},
		{"RAID volume", "naa.600508b1001c4a5b6c7d8e9fa0b1c2d3", pageRAID, true},
		{"EUI-64", "eui.0025385b71b0a1c2", pageEUI, true},
		{"cut in a designator", "", append(unhex("00 83 0006"), pageSAS[4:10]...), false},
		{"no designator", "", unhex("00 83 0000"), true},
		{"another page", "", pageSATA, false},
	} {
		got, err := disk.DecodeDevicePage(c.page)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestNormalWWN_BringsAllFormsToOne(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"naa.5000C500A1B2C3D4":                      "naa.5000c500a1b2c3d4",
		"0x5000c500a1b2c3d4\n":                      "naa.5000c500a1b2c3d4",
		"0x600508b1001c4a5b6c7d8e9fa0b1c2d3":        "naa.600508b1001c4a5b6c7d8e9fa0b1c2d3",
		"0x600508b1001c4a5b":                        "", // cut: shared by all volumes of the controller
		"eui.0025385b71b0a1c2":                      "eui.0025385b71b0a1c2",
		"0x0025385b71b0a1c2":                        "eui.0025385b71b0a1c2",
		"uuid.2c3f0e2a-0b0e-4f3c-9d8a-1b2c3d4e5f60": "uuid.2c3f0e2a-0b0e-4f3c-9d8a-1b2c3d4e5f60",
		"t10.ATA     ST8000NM0055 ZA1":              "",
		"nvme.144d-533458-4d5a51-00000001":          "",
		"eui.0000000000000000":                      "",
		"naa.5000c500a1b2c3dz":                      "",
		"0x":                                        "",
		"":                                          "",
	} {
		if got := disk.NormalWWN(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestParseRecord_TakesLinksAndProperties(t *testing.T) {
	t.Parallel()
	r := disk.ParseRecord([]byte("S:disk/by-path/pci-0000:00:1f.2-ata-1\nI:1234\nE:ID_FS_LABEL=a=b\nE:broken\nE:=x\nS:\nQ:systemd\nV:1"))
	equal(t, "links", strings.Join(r.Links, " "), "disk/by-path/pci-0000:00:1f.2-ata-1")
	equal(t, "value with =", r.Properties["ID_FS_LABEL"], "a=b")
	equal(t, "properties", len(r.Properties), 1)
}

func FuzzDecodeSerialPage(f *testing.F) {
	f.Add(pageSATA)
	f.Add([]byte("\x00\x80\x00\x00"))
	f.Fuzz(func(t *testing.T, page []byte) {
		s, err := disk.DecodeSerialPage(page)
		if s != "" && (err != nil || !strings.Contains(string(page), s)) {
			t.Errorf("%q, %v", s, err)
		}
	})
}

func FuzzDecodeDevicePage(f *testing.F) {
	for _, p := range [][]byte{pageSAS, pageRAID, pageEUI} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		wwn, err := disk.DecodeDevicePage(page)
		if wwn == "" {
			return
		}
		_, digits, _ := strings.Cut(wwn, ".")
		id, bad := hex.DecodeString(digits)
		if err != nil || bad != nil || !strings.Contains(string(page), string(id)) {
			t.Errorf("%q, %v is not in the page", wwn, err)
		}
	})
}

func FuzzNormalWWN(f *testing.F) {
	f.Add("0x5000c500a1b2c3d4")
	f.Add("uuid.2c3f0e2a-0b0e-4f3c-9d8a-1b2c3d4e5f60")
	f.Fuzz(func(t *testing.T, s string) {
		if once := disk.NormalWWN(s); once != "" && disk.NormalWWN(once) != once {
			t.Errorf("%q becomes %q, which is not normal", s, once)
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte("S:disk/by-id/x\nE:ID_MODEL_ENC=ST\\x20\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := disk.ParseRecord(data)
		for k := range r.Properties {
			if k == "" || strings.Contains(k, "=") || strings.Contains(k, "\n") {
				t.Errorf("property %q", k)
			}
		}
	})
}
