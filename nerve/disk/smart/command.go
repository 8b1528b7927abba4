package smart

import "fmt"

// Command is one command for a disk. Commands are made in this file only, so that what follows is the
// whole list of what is ever sent to one. The zero value is no command and is refused.
//
//	any SCSI disk  REQUEST SENSE, LOG SENSE of current values, READ DEFECT DATA (12) of the grown list
//	ATA            CHECK POWER MODE, IDENTIFY DEVICE, SMART READ DATA, READ ATTRIBUTE THRESHOLDS, READ LOG and
//	               RETURN STATUS, READ LOG EXT; each in an ATA PASS-THROUGH (16) block
//	NVMe           Identify of the controller, Get Log Page
//	self-test      SEND DIAGNOSTIC, SMART EXECUTE OFF-LINE IMMEDIATE and Device Self-test, for a short
//	               self-test beside the disk's work; sent by OpenForTests' devices only
//
// All but the last row read and change nothing. None makes a disk that has spun down spin up, if CHECK POWER
// MODE or REQUEST SENSE is the first and its answer is heeded (Device.Asleep).
type Command struct {
	name   string
	detail byte // log or page that it reads
	paged  bool // detail is part of the name
	kind   Kind
	size   int  // bytes of the answer at most
	starts bool // it starts a self-test

	block  [16]byte // of SCSI and ATA
	length uint8    // of the block

	opcode             uint8 // of NVMe
	namespace, dword10 uint32
}

// Name is the command's name in its standard, with the log or page that it reads.
func (c Command) Name() string {
	if c.paged {
		return fmt.Sprintf("%s %02Xh", c.name, c.detail)
	}
	return c.name
}

func (c Command) of(detail byte) Command {
	c.detail, c.paged = detail, true
	return c
}

// Size is how many bytes the answer has at most; 0 if there is none besides the status.
func (c Command) Size() int { return c.size }

// StartsTest says whether it makes the disk test itself, which is the most that any command does.
func (c Command) StartsTest() bool { return c.starts }

// Block is the command block of SCSI and ATA; empty for NVMe.
func (c Command) Block() []byte { return append([]byte(nil), c.block[:c.length]...) }

// NVMe is the opcode, the namespace and the tenth double word of an NVMe admin command.
func (c Command) NVMe() (opcode uint8, namespace, dword10 uint32) {
	return c.opcode, c.namespace, c.dword10
}

// The parts of an ATA PASS-THROUGH (16) block (SAT-3, 12.2.2).
const (
	passThrough = 0x85
	nonData     = 3 << 1
	dataIn      = 4 << 1 // PIO
	extended    = 1      // the registers have their second bytes
	wantResult  = 0x20   // CK_COND: give the registers back as sense data
	blocksIn    = 0x0e   // T_LENGTH in the count, BYT_BLOK, T_DIR
	smartLow    = 0x4f   // the mark that tells a SMART command, in the middle and the high byte of the LBA
	smartHigh   = 0xc2
)

// ata makes a block for a command that transfers so many sectors.
func ata(name string, command, feature, low byte, sectors int) Command {
	c := Command{name: name, kind: KindATA, length: 16, size: sectors * sectorSize}
	c.block = [16]byte{0: passThrough, 1: nonData, 2: wantResult, 4: feature, 6: byte(sectors), 8: low, 14: command}
	if sectors > 0 {
		c.block[1], c.block[2] = dataIn, blocksIn
	}
	return c
}

// ataSMART makes a block for a subcommand of SMART (B0h).
func ataSMART(name string, feature, low byte, sectors int) Command {
	c := ata(name, 0xb0, feature, low, sectors)
	c.block[10], c.block[12] = smartLow, smartHigh
	return c
}

// The commands of ATA (ATA8-ACS, 7).
var (
	CheckPowerMode = ata("CHECK POWER MODE", 0xe5, 0, 0, 0)
	IdentifyDevice = ata("IDENTIFY DEVICE", 0xec, 0, 0, 1)

	ReadSMARTData       = ataSMART("SMART READ DATA", 0xd0, 0, 1)
	ReadSMARTThresholds = ataSMART("SMART READ ATTRIBUTE THRESHOLDS", 0xd1, 1, 1)
	ReturnSMARTStatus   = ataSMART("SMART RETURN STATUS", 0xda, 0, 0)
)

// The addresses of the ATA logs that are read (ATA8-ACS, table A.1).
const (
	LogErrors    = 0x01
	LogSelfTests = 0x06

	logDirectory  = 0x00 // these two by READ LOG EXT
	logStatistics = 0x04
)

// ReadSMARTLog reads the first sector of a log (ATA8-ACS, 7.52.7).
func ReadSMARTLog(address byte) Command {
	return ataSMART("SMART READ LOG", 0xd5, address, 1).of(address)
}

// ReadLogDirectory reads which logs of general purpose logging there are (ATA8-ACS, 7.29 and A.2).
var ReadLogDirectory = readLogExt("READ LOG EXT, directory", logDirectory, 0)

// ReadStatistics reads a page of the Device Statistics log.
func ReadStatistics(page byte) Command {
	return readLogExt("READ LOG EXT, device statistics", logStatistics, page).of(page)
}

func readLogExt(name string, address, page byte) Command {
	c := ata(name, 0x2f, 0, address, 1)
	c.block[1] |= extended
	c.block[10] = page
	return c
}

// scsi makes a block of a SCSI command.
func scsi(name string, size int, block ...byte) Command {
	c := Command{name: name, kind: KindSCSI, size: size, length: uint8(len(block))}
	copy(c.block[:], block)
	return c
}

const (
	senseSize   = 252 // the most that sense data have
	defectsHead = 8
)

// The commands of SCSI. READ DEFECT DATA asks for the list as physical sectors; only its head is read.
var (
	RequestSense     = scsi("REQUEST SENSE", senseSize, 0x03, 0, 0, 0, senseSize, 0)                                    // SPC-4, 6.39
	ReadGrownDefects = scsi("READ DEFECT DATA (12)", defectsHead, 0xb7, 1<<3|5, 0, 0, 0, 0, 0, 0, 0, defectsHead, 0, 0) // SBC-3, 5.18
)

// LogSense reads the current values of a log page (SPC-4, 6.8).
func LogSense(page byte) Command {
	size := 512
	if page == PageBackgroundScan {
		size = 16 << 10 // has up to 2048 entries; hundreds fit, and a disk with more is not better
	}
	return scsi("LOG SENSE", size, 0x4d, 0, 1<<6|page&0x3f, 0, 0, 0, 0, byte(size>>8), byte(size), 0).of(page)
}

// everywhere is the namespace that stands for the whole controller.
const everywhere = 0xffffffff

// IdentifyController reads what an NVMe controller is (NVM Express Base Specification 2.0, 5.17.2.1).
var IdentifyController = Command{name: "Identify Controller", kind: KindNVMe, size: 4096, opcode: 0x06, dword10: 1}

// The NVMe logs that are read (the same, figure 202).
const (
	NVMeLogErrors    = 0x01
	NVMeLogHealth    = 0x02
	NVMeLogSelfTests = 0x06
)

// GetLogPage reads the first bytes of a log, a multiple of four (the same, 5.16).
func GetLogPage(id byte, size int) Command {
	return Command{name: "Get Log Page", kind: KindNVMe, size: size,
		opcode: 0x02, namespace: everywhere, dword10: uint32(id) | uint32(size/4-1)<<16}.of(id)
}

// The commands that start a short self-test: ATA8-ACS, 7.52.5; SPC-4, 6.42; NVM Express Base Specification
// 2.0, 5.9.
var (
	StartATATest  = starts(ataSMART("SMART EXECUTE OFF-LINE IMMEDIATE", 0xd4, 1, 0))
	StartSCSITest = starts(scsi("SEND DIAGNOSTIC", 0, 0x1d, 1<<5, 0, 0, 0, 0))
	StartNVMeTest = starts(Command{name: "Device Self-test", kind: KindNVMe, opcode: 0x14, namespace: everywhere, dword10: 1})
)

func starts(c Command) Command {
	c.starts = true
	return c
}
