package repairer

import "fmt"

// factSucceeded names the case in which the new disk of this one was replaced in turn.
const factSucceeded = "succeeded-by"

func closingText(c Case) string {
	if next := c.Facts[factSucceeded]; next != "" {
		return fmt.Sprintf("%s took the place of %s, failed as well, and was replaced in case %s. Thank you.", c.Replacement.Serial(), c.Serial(), next)
	}
	return fmt.Sprintf("%s is in place of %s, healthy and in use. Thank you.", c.Replacement.Serial(), c.Serial())
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// FormatSize writes bytes as disks are labelled: decimal units, three digits.
func FormatSize(bytes uint64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	v, i := float64(bytes), 0
	for v >= 999.5 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.3g %s", v, units[i])
}
