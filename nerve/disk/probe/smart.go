package probe

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"glia"
	"glia/nerve/disk/smart"
)

// SMART reads what NVMe, SATA and SAS disks say about themselves. Evidence tells what each piece of it is. A
// page that a disk does not offer is no evidence; one that can not be read is unknown and hides no other.
// Devices of other kinds (loop, virtio, volumes of RAID controllers, disks behind USB bridges) give nothing.
//
// A disk that sleeps is not woken. The commands that are sent are those of smart.Command; none changes a disk.
// Once for each model, smart.go reads the names of the attributes, for which it asks for INQUIRY, IDENTIFY
// DEVICE and the SMART data.
type SMART struct {
	Roots Roots
	Open  func(name string) (*smart.Device, error) // by kernel name; the kernel's disk if nil
	Names NamesFunc                                // AttributeNames if nil

	names    namesOfModels
	mu       sync.Mutex
	offers   map[string]*smart.Offer // by serial and firmware
	readings sync.Pool               // of *smart.Reading
}

// offersKept bounds what is remembered of disks that have left.
const offersKept = 4096

// Name is "smart".
func (s *SMART) Name() string { return "smart" }

// Probe reads the disk's pages.
func (s *SMART) Probe(ctx context.Context, d glia.Disk) []glia.Evidence {
	name := d.Location.Device
	if why := s.Roots.suspended(name); why != "" {
		return s.unknown(why)
	}
	open := s.Open
	if open == nil {
		open = s.Roots.system().Open
	}
	dev, err := open(name)
	switch {
	case errors.Is(err, smart.ErrNone):
		return nil
	case err != nil:
		return s.unknown(whyNoSMART("open it for SMART", err))
	}
	defer dev.Close()
	how, err := dev.Asleep(ctx)
	switch {
	case how != "":
		return s.unknown(asleep + how)
	case noCommands(err), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), ctx.Err() != nil:
		return s.unknown(whyNoSMART("ask whether it sleeps", err)) // all else would end like that
	}

	offer, err := s.offer(ctx, d, dev)
	if err != nil {
		return s.unknown(whyNoSMART("ask what it offers", err))
	}
	r, ok := s.readings.Get().(*smart.Reading)
	if !ok {
		r = &smart.Reading{}
	}
	defer s.readings.Put(r)
	r.Poll(ctx, dev, offer)
	var names Names
	if r.Data.Known {
		names = s.names.of(offer.ATA.Model+" "+offer.ATA.Firmware, s.Names, s.Roots.dev(name))
	}
	out := Evidence(r, names)
	for i := range out {
		out[i].Source = s.Name()
	}
	return out
}

// offer is what the disk offers, as it told when it was asked first.
func (s *SMART) offer(ctx context.Context, d glia.Disk, dev *smart.Device) (*smart.Offer, error) {
	key := d.Identity.Serial + " " + d.Identity.Firmware + " " + dev.Kind().String()
	s.mu.Lock()
	known := s.offers[key]
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	o, err := dev.Offer(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.offers == nil || len(s.offers) >= offersKept {
		s.offers = map[string]*smart.Offer{}
	}
	s.offers[key] = o
	return o, nil
}

func (s *SMART) unknown(why string) []glia.Evidence {
	return []glia.Evidence{{Class: glia.Media, Source: s.Name(), What: "smart", Unknown: why}}
}

func whyNoSMART(doing string, err error) string {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return doing + ": permission denied; SMART needs CAP_SYS_RAWIO, on NVMe CAP_SYS_ADMIN"
	case noCommands(err):
		return doing + ": the kernel passes no such command to this device (" + errName(err) + ")"
	}
	return whyNot(doing, err)
}

// noCommands says that the driver of a device knows no commands for disks.
func noCommands(err error) bool { return errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) }
