// Package uevent listens to what the kernel tells of block devices that come, go or change: uevents, by
// netlink. What it tells is a hint where to look; every fact about a disk comes from the inventory.
//
// It guarantees that a burst becomes one Batch, that a batch comes within Gather of its first event, and
// that a loss is told: events that the kernel had to drop are a batch with Lost set, after which everything
// has to be looked at.
//
// It fails at the start where the kernel gives no such socket. In a container with a user namespace of its
// own there are no events at all, which nothing tells; whoever listens must look by itself from time to time.
//
// The socket is our own, over x/sys: github.com/pilebones/go-udev drops every event with a second "=" in a
// value, panics at one without a zero byte, takes events from any sender, leaks its descriptor to child
// processes, can not be stopped while it waits, and ends for good when the kernel had to drop something.
// github.com/mdlayher/netlink expects a netlink header, which uevents do not have.
package uevent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
)

// Event is one uevent.
type Event struct {
	Action    string // add, remove, change, move, online, offline, bind, unbind
	Path      string // below /sys
	Subsystem string // such as block
	Type      string // of a block device: disk or partition
	Name      string // kernel name, such as sdk, as it stands below /dev
}

// Disk says whether the event is about a whole block device.
func (e Event) Disk() bool { return e.Subsystem == "block" && e.Type == "disk" && e.Name != "" }

// What udevd puts in front of its own events: struct monitor_netlink_header of systemd's
// src/libsystemd/sd-device/device-monitor.c.
var udevPrefix = []byte("libudev\x00")

const (
	udevMagic     = 0xfeedcafe // big endian
	udevMagicAt   = 8
	udevOffsetAt  = 16 // of the properties, native byte order
	udevLengthAt  = 20 // of the properties, native byte order
	udevHeaderEnd = 24
)

var errNoUEvent = errors.New("not a uevent")

// Parse reads an event of the kernel (action@path, a zero byte, then KEY=VALUE, each with a zero byte:
// lib/kobject_uevent.c) or of udevd (a header, then the same properties). Properties that it does not
// know are skipped.
func Parse(message []byte) (Event, error) {
	var e Event
	var properties []byte
	if bytes.HasPrefix(message, udevPrefix) {
		if len(message) < udevHeaderEnd || binary.BigEndian.Uint32(message[udevMagicAt:]) != udevMagic {
			return Event{}, errNoUEvent
		}
		at, n := uint64(binary.NativeEndian.Uint32(message[udevOffsetAt:])), uint64(binary.NativeEndian.Uint32(message[udevLengthAt:]))
		if at < udevHeaderEnd || at+n > uint64(len(message)) {
			return Event{}, errNoUEvent
		}
		properties = message[at : at+n]
	} else {
		head, rest, ended := bytes.Cut(message, []byte{0})
		action, path, found := strings.Cut(string(head), "@")
		if !ended || !found || action == "" || !strings.HasPrefix(path, "/") {
			return Event{}, errNoUEvent
		}
		e.Action, e.Path, properties = action, path, rest
	}
	for p := range bytes.SplitSeq(properties, []byte{0}) {
		key, value, _ := strings.Cut(string(p), "=")
		switch key {
		case "ACTION":
			e.Action = value
		case "DEVPATH":
			e.Path = value
		case "SUBSYSTEM":
			e.Subsystem = value
		case "DEVTYPE":
			e.Type = value
		case "DEVNAME": // of udevd with /dev in front
			e.Name = strings.TrimPrefix(value, "/dev/")
		}
	}
	if e.Action == "" || !strings.HasPrefix(e.Path, "/") {
		return Event{}, errNoUEvent
	}
	return e, nil
}
