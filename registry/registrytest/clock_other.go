//go:build !linux || !amd64

package registrytest

import "errors"

const canJump = false

func jumpOnSignal() error {
	return errors.New("the wall clock can not be made to jump on this architecture")
}
