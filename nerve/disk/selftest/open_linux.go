package selftest

import (
	"fmt"

	"glia/nerve/disk/smart"
)

// Open opens the disk that the kernel calls by a name, for reading only. A kind of disk that is not known to
// answer is not sent anything; it gives an error that wraps ErrNone.
func Open(name string) (Device, error) {
	d, err := smart.System{}.OpenForTests(name)
	if err != nil {
		return nil, fmt.Errorf("self-test: %w", err)
	}
	return New(d), nil
}
