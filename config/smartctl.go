package config

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Smartctl is one element of [[smartctl]]: a block device that only smartctl can ask about its health.
type Smartctl struct {
	Device string   `toml:"device"` // absolute, below /dev
	Types  []string `toml:"types"`  // for smartctl's -d, one for each disk behind the device
}

// smartctlTypes are the device types of smartctl 7.0 to 7.5, without their numbers.
var smartctlTypes = []string{"3ware", "aacraid", "areca", "ata", "auto", "cciss", "hpt", "intelliprop", "jmb39x", "jmb39x-q", "jmb39x-q2", "jms56x", "marvell", "megaraid",
	"nvme", "sat", "scsi", "sntasmedia", "sntjmicron", "sntrealtek", "sssraid", "usbasm1352r", "usbcypress", "usbjmicron", "usbprolific", "usbsunplus"}

var smartctlType = regexp.MustCompile(`^[a-z0-9][a-z0-9,/+_-]{0,63}$`)

func (n Nerve) validateSmartctl(c *check) {
	seen := map[string]bool{}
	for i, s := range n.Smartctl {
		at := element("smartctl", i)
		switch clean := filepath.Clean(s.Device); {
		case s.Device == "":
			c.bad([]string{at + ".device"}, `is missing: name the device, for example "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4"`)
		case clean != s.Device || !strings.HasPrefix(s.Device, "/dev/"):
			c.bad([]string{at + ".device"}, "%q is not the absolute path of a device below /dev", s.Device)
		case seen[s.Device]:
			c.bad([]string{at + ".device"}, "there is another [[smartctl]] for %s: put all its types in one list", s.Device)
		}
		seen[s.Device] = true
		if len(s.Types) == 0 {
			c.bad([]string{at + ".types"}, `is missing: name what "smartctl -d" needs, for example ["megaraid,0", "megaraid,1"] or ["sat"]`)
		}
		for j, t := range s.Types {
			key := element(at+".types", j)
			name, _, _ := strings.Cut(strings.NewReplacer("+", ",").Replace(t), ",")
			switch {
			case !smartctlType.MatchString(t) || !slices.Contains(smartctlTypes, name):
				c.bad([]string{key, at + ".types"}, `%q is not a type of smartctl, such as "megaraid,0", "cciss,1", "areca,2/1" or "sat"`, t)
			case slices.Contains(s.Types[:j], t):
				c.bad([]string{key, at + ".types"}, "%q is there twice", t)
			}
		}
	}
	if len(n.Smartctl) > 0 && !n.Probe.Smart {
		c.bad([]string{"probe.smart", "smartctl"}, "disks are listed for smartctl, but with probe.smart = false none is asked: remove one of the two")
	}
}
