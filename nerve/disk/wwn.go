package disk

import "strings"

// NormalWWN brings a worldwide name to one form, so that those of different sources can be compared: the
// kernel's, in lower case, with the kind in front: naa.5000c500a1b2c3d4, eui.0025385b71b0a1c2 or
// uuid.…. It takes the kernel's and udev's forms (0x5000c500a1b2c3d4). Everything else, such as the
// t10. and nvme. strings that are made of model and serial, is no worldwide name and gives nothing.
func NormalWWN(s string) string {
	s = strings.ToLower(trim(s))
	if digits, ok := strings.CutPrefix(s, "0x"); ok && digits != "" {
		// The first digit of an NAA identifier is its format; 2, 3, 5 and 6 are assigned (SPC-6).
		if strings.ContainsRune("2356", rune(digits[0])) {
			s = "naa." + digits
		} else {
			s = "eui." + digits
		}
	}
	kind, digits, _ := strings.Cut(s, ".")
	switch kind {
	case "naa":
		// Format 6 has 16 bytes, the others 8. A shorter one was cut, and what is left of it is shared
		// by all disks of one array.
		if strings.HasPrefix(digits, "6") != (len(digits) == 32) || len(digits) != 32 && len(digits) != 16 {
			return ""
		}
	case "eui":
		if n := len(digits); n != 16 && n != 24 && n != 32 {
			return ""
		}
	case "uuid":
		if len(digits) != 36 {
			return ""
		}
		digits = strings.ReplaceAll(digits, "-", "")
	default:
		return ""
	}
	if strings.Trim(digits, "0123456789abcdef") != "" || strings.Trim(digits, "0") == "" {
		return ""
	}
	return s
}
