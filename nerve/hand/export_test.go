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
