package hand

// Recognise lets fuzzing at the decoder of what disks carry.
func Recognise(front, end []byte, size int64) []string {
	var out []string
	for _, s := range recognise(edges{front: front, end: end, mirror: end, size: size}) {
		out = append(out, s.String())
	}
	return out
}

// KeepOptions lets tests at the choice of mount options.
var KeepOptions = keepOptions

// OlderUUIDMatches lets tests at the way in which kernels before 6.9 tell the UUID of a mount.
func OlderUUIDMatches(fd int, fsType, uuid string) (bool, error) {
	id, err := olderUUID(fd, fsType)
	return err == nil && id.matches(uuid), err
}

// MountedUUIDMatches lets tests at the way of the running kernel.
func MountedUUIDMatches(target, fsType, uuid string) (bool, error) {
	id, err := mountedUUID(target, fsType)
	return err == nil && id.matches(uuid), err
}

// BurnInPlaces lets tests at the plan of a burn-in.
var BurnInPlaces = burnInPlaces

// BurnInBlock is what the burn-in with a key writes to a disk at one place.
func BurnInBlock(key, serial string, at int64) []byte { return newPattern(key, serial).block(at) }

// BurnInForeign lets tests and fuzzing at the recognition of our own blocks.
func BurnInForeign(key, serial string, block []byte, at int64) int64 {
	return newPattern(key, serial).foreign(block, at)
}

// BurnInDifference lets tests and fuzzing at the words for what came back wrong.
var BurnInDifference = difference

// OSDOfCommand lets tests and fuzzing at the reading of ceph-osd's command line.
var OSDOfCommand = osdOfCommand

// RunBy lets tests at telling who runs a daemon.
var RunBy = runBy
