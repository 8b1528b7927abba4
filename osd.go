package glia

// OSDRole is what a device is to a Ceph OSD.
type OSDRole string

// The roles of BlueStore's devices.
const (
	RoleBlock OSDRole = "block"
	RoleDB    OSDRole = "db"
	RoleWAL   OSDRole = "wal"
)

// OSDMode is how ceph-volume has laid the OSD out.
type OSDMode string

// The modes of ceph-volume. They are not mixed: an OSD is made again in the mode that it had.
const (
	ModeRaw OSDMode = "raw"
	ModeLVM OSDMode = "lvm"
)

// OSD is one Ceph OSD that has a device on a disk, as the disk itself tells it (BlueStore's label,
// ceph-volume's LVM tags), without asking the cluster.
type OSD struct {
	ID      int     `json:"id"`      // -1 when it can not be told
	UUID    string  `json:"uuid"`    // of the OSD, its fsid
	Cluster string  `json:"cluster"` // fsid of the cluster
	Role    OSDRole `json:"role"`    // of this disk for the OSD
	Mode    OSDMode `json:"mode"`
	Device  string  `json:"device"`          // where it is on this disk: kernel name, or VG/LV
	Class   string  `json:"class,omitempty"` // CRUSH device class in the LVM tags; empty: not told

	// Partition is the number of the disk's partition that it is on; 0: the whole disk, or an LV.
	Partition int    `json:"partition,omitempty"`
	Size      uint64 `json:"size,omitempty"` // bytes of Device; 0: not told

	Encrypted bool `json:"encrypted,omitempty"` // dmcrypt

	// Block, DB and WAL are where the parts of the OSD are that other devices have: VG/LV, or a device by
	// its stable name; BlockSerial, DBSerial and WALSerial are the disks under them. Block is empty for the
	// role block; DB and WAL are when the part is within the block device, or is this one.
	Block       string `json:"block,omitempty"`
	BlockSerial string `json:"block_serial,omitempty"`
	DB          string `json:"db,omitempty"`
	DBSerial    string `json:"db_serial,omitempty"`
	WAL         string `json:"wal,omitempty"`
	WALSerial   string `json:"wal_serial,omitempty"`

	// Unknown says what could not be read of the OSD; it is never repaired by glia then.
	Unknown string `json:"unknown,omitempty"`
}
