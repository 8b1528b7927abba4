package smartstack

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// The path encoding of nerve: base64_LENGTH_PAYLOAD_ in front of the number that ZooKeeper gives. A reader then needs the
// list of names only, and no node.
const (
	encoded    = "base64"
	maxEncoded = 1 << 16 // nerve uses plain names beyond that
)

// NodeName is the name that nerve gives a sequential node, without the number that ZooKeeper adds. With encode the data is
// part of it, unless it is too long.
func NodeName(instance string, data []byte, encode bool) string {
	if encode {
		if b := base64.URLEncoding.EncodeToString(data); len(b) <= maxEncoded {
			return encoded + "_" + strconv.Itoa(len(b)) + "_" + b + "_"
		}
	}
	return instance + "_"
}

// ParseName reads the name of a node: the data that is part of it, nil when there is none, and the number that it ends in,
// by which synapse elects a leader. Numbered is false when it ends in none, or when the number is no use because it
// follows a hexadecimal id without a separator, as go-nerve's do. A name that begins as encoded ones do and is none is
// an error.
func ParseName(name string) (data []byte, number uint64, numbered bool, err error) {
	at := strings.LastIndexByte(name, '_')
	if n, perr := strconv.ParseUint(name[at+1:], 10, 64); perr == nil && len(name)-at-1 <= 10 {
		number, numbered = n, true
	}
	rest, ok := strings.CutPrefix(name, encoded+"_")
	if !ok {
		return nil, number, numbered, nil
	}
	length, rest, _ := strings.Cut(rest, "_")
	n, err := strconv.ParseUint(length, 10, 31)
	if err != nil || n > maxEncoded || int(n) >= len(rest) || rest[n] != '_' {
		return nil, number, numbered, fmt.Errorf("node name %.40q: its length %q is wrong", name, length)
	}
	if data, err = base64.URLEncoding.DecodeString(rest[:n]); err != nil {
		return nil, number, numbered, fmt.Errorf("node name %.40q: %w", name, err)
	}
	return data, number, numbered, nil
}
