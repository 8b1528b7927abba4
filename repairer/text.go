package repairer

import (
	"fmt"
	"strings"

	"glia"
)

// ticketTitle carries the serial, because that is what the person compares before pulling a disk.
func ticketTitle(c Case) string {
	return fmt.Sprintf("Replace disk %s in %s of %s", c.Serial(), c.Disk.Location.Place(), c.Host())
}

// ticketBody is written for the person with the screwdriver. The ticket is filed only when the disk
// is out of use, so that the text never has to say "not yet".
func ticketBody(c Case) string {
	var b strings.Builder
	id := c.Disk.Identity
	fmt.Fprintf(&b, "SAFE TO PULL: the disk is out of use.\n\n")
	fmt.Fprintf(&b, "Serial:    %s   <- compare with the label on the disk. If it differs, do not pull.\n", id.Serial)
	fmt.Fprintf(&b, "Host:      %s\nPlace:     %s\n", c.Host(), c.Disk.Location.Place())
	fmt.Fprintf(&b, "Model:     %s\nSize:      %s\nClass:     %s\n", orUnknown(id.Model), FormatSize(id.Size), orUnknown(string(id.Class)))
	if id.WWN != "" {
		fmt.Fprintf(&b, "WWN:       %s\n", id.WWN)
	}
	for _, m := range c.Disk.Mounts {
		fmt.Fprintf(&b, "Was used:  %s (%s)\n", m.Target, m.FSType)
	}
	for _, o := range c.Disk.OSDs {
		fmt.Fprintf(&b, "Was used:  osd.%d (%s)\n", o.ID, o.Role)
	}
	if c.Light != "" {
		fmt.Fprintf(&b, "Light:     %s\n", c.Light)
	}
	if words := approvalWords(c); words != "" {
		fmt.Fprintf(&b, "Plan:      %s, %s\n", c.Plan.Hash(), words)
	}
	b.WriteString("\nWhy it is replaced:\n")
	for _, r := range c.Verdict.Reasons {
		fmt.Fprintf(&b, "- %s: %s", r.State, r.Words)
		if r.Evidence.Detail != "" {
			fmt.Fprintf(&b, " (%s)", r.Evidence.Detail)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\nPut in: an empty disk of at least %s", FormatSize(id.Size))
	if id.Class != glia.ClassUnknown {
		fmt.Fprintf(&b, ", class %s", id.Class)
	}
	fmt.Fprintf(&b, ", in the same place. glia never writes to a disk that carries any data.\n")
	fmt.Fprintf(&b, "Then resolve this ticket: glia ticket resolve ID. glia checks the new disk and closes the ticket itself.\n\nCase: %s\n", c.ID)
	return b.String()
}

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
