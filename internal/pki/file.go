package pki

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
)

// labels is what a DNS name consists of, the underscore of some hosts among it.
var labels = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)

func isHost(name string) bool { return len(name) <= 253 && labels.MatchString(name) }

// writeNew writes a file that must not exist, with its mode from the start.
func writeNew(file string, mode fs.FileMode, block *pem.Block) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return exists(file)
	}
	if err != nil {
		return err
	}
	if err := pem.Encode(f, block); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", file, err), f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

func exists(file string) error {
	return fmt.Errorf("%s exists and is not overwritten: move it away, or choose another name", file)
}

// readPEM is the first block of that kind in a file.
func readPEM(file, kind string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, fmt.Errorf("%s has no PEM block %q in it", file, kind)
		}
		if block.Type == kind {
			return block.Bytes, nil
		}
	}
}
