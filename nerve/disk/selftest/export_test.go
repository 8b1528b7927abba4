package selftest

// Port is what sends commands to one disk.
type Port = port

// The disks of each kind, with a port of the test's own.
func NewATA(p Port) Device  { return &ata{port: p} }
func NewNVMe(p Port) Device { return &nvme{port: p} }
func NewSCSI(p Port) Device { return &scsi{port: p} }
