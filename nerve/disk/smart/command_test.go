package smart_test

import (
	"fmt"
	"testing"

	"glia/nerve/disk/smart"
)

// The bytes are laid out by hand after SAT-3 12.2.2 with ATA8-ACS, SPC-4, SBC-3 and the NVM Express Base
// Specification. There are no other commands: they can not be made outside the package.
func TestCommands(t *testing.T) {
	t.Parallel()
	var none smart.Command
	for _, c := range []struct {
		command smart.Command
		name    string
		bytes   string // of NVMe: opcode, namespace, dword 10
		size    int
		starts  bool
	}{
		{smart.CheckPowerMode, "CHECK POWER MODE", "850620000000000000000000 0000e500", 0, false},
		{smart.IdentifyDevice, "IDENTIFY DEVICE", "85080e000000010000000000 0000ec00", 512, false},
		{smart.ReadSMARTData, "SMART READ DATA", "85080e00d000010000004f00 c200b000", 512, false},
		{smart.ReadSMARTThresholds, "SMART READ ATTRIBUTE THRESHOLDS", "85080e00d100010001004f00 c200b000", 512, false},
		{smart.ReturnSMARTStatus, "SMART RETURN STATUS", "85062000da00000000004f00 c200b000", 0, false},
		{smart.ReadSMARTLog(smart.LogErrors), "SMART READ LOG 01h", "85080e00d500010001004f00 c200b000", 512, false},
		{smart.ReadSMARTLog(smart.LogSelfTests), "SMART READ LOG 06h", "85080e00d500010006004f00 c200b000", 512, false},
		{smart.ReadLogDirectory, "READ LOG EXT, directory", "85090e000000010000000000 00002f00", 512, false},
		{smart.ReadStatistics(7), "READ LOG EXT, device statistics 07h", "85090e000000010004000700 00002f00", 512, false},
		{smart.RequestSense, "REQUEST SENSE", "03000000fc00", 252, false},
		{smart.LogSense(smart.PageExceptions), "LOG SENSE 2Fh", "4d006f00000000020000", 512, false},
		{smart.LogSense(smart.PageBackgroundScan), "LOG SENSE 15h", "4d005500000000400000", 16384, false},
		{smart.ReadGrownDefects, "READ DEFECT DATA (12)", "b70d00000000000000080000", 8, false},
		{smart.IdentifyController, "Identify Controller", "06 00000000 00000001", 4096, false},
		{smart.GetLogPage(smart.NVMeLogHealth, 512), "Get Log Page 02h", "02 ffffffff 007f0002", 512, false},
		{smart.GetLogPage(smart.NVMeLogErrors, 64), "Get Log Page 01h", "02 ffffffff 000f0001", 64, false},
		{smart.GetLogPage(smart.NVMeLogSelfTests, smart.NVMeSelfTestSize), "Get Log Page 06h", "02 ffffffff 008c0006", 564, false},
		{smart.StartATATest, "SMART EXECUTE OFF-LINE IMMEDIATE", "85062000d400000001004f00 c200b000", 0, true},
		{smart.StartSCSITest, "SEND DIAGNOSTIC", "1d2000000000", 0, true},
		{smart.StartNVMeTest, "Device Self-test", "14 ffffffff 00000001", 0, true},
		{none, "", "00 00000000 00000000", 0, false},
	} {
		if got := bytesOf(c.command); got != fmt.Sprintf("%x", unhex(c.bytes)) || c.command.Name() != c.name || c.command.Size() != c.size || c.command.StartsTest() != c.starts {
			t.Errorf("%s (%d bytes, starts %v): %s\nwant %s: %s", c.command.Name(), c.command.Size(), c.command.StartsTest(), got, c.name, c.bytes)
		}
	}
}

func bytesOf(c smart.Command) string {
	if b := c.Block(); len(b) > 0 {
		return fmt.Sprintf("%x", b)
	}
	opcode, namespace, dword10 := c.NVMe()
	return fmt.Sprintf("%02x%08x%08x", opcode, namespace, dword10)
}
