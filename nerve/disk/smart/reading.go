package smart

import (
	"context"
	"errors"
	"fmt"
)

// Page is one page of a reading: known, unknown with the reason, or not offered by the disk.
type Page[T any] struct {
	Value T
	Known bool
	Err   error // why it is not known; nil when the disk does not offer it
}

// put notes how reading the page went.
func (p *Page[T]) put(err error) {
	p.Known, p.Err = err == nil, err
	if errors.Is(err, ErrUnsupported) {
		p.Err = nil
	}
}

func (p *Page[T]) forget() { p.Known, p.Err = false, nil }

// Reading is all that a disk was asked for in one poll. A page that can not be read leaves the others as they
// are. A reading can be used again, also for another disk; it then allocates nothing.
type Reading struct {
	Kind  Kind
	Tests Page[SelfTestLog]

	// ATA
	Data       Page[Data]
	Thresholds Page[Thresholds]
	Health     Page[Health]
	Errors     Page[ErrorLog]
	Statistics Page[DeviceStatistics]

	// NVMe
	NVMe       Page[NVMe]
	NVMeErrors Page[NVMeErrors]

	// SCSI
	Exception    Page[Sense] // the informational exception that the disk reports now
	WriteErrors  Page[ErrorCounters]
	ReadErrors   Page[ErrorCounters]
	VerifyErrors Page[ErrorCounters]
	NonMedium    Page[Statistic]
	Temperature  Page[Statistic] // degrees Celsius
	Endurance    Page[Statistic] // percent used
	Grown        Page[Statistic] // grown defects
	Scan         Page[BackgroundScan]

	page [16 << 10]byte // the answer of the command that was sent last
}

// reset forgets what was read, and keeps the memory.
func (r *Reading) reset(k Kind) {
	r.Kind = k
	r.Tests.forget()
	r.Data.forget()
	r.Thresholds.forget()
	r.Health.forget()
	r.Errors.forget()
	r.Statistics.forget()
	r.NVMe.forget()
	r.NVMeErrors.forget()
	r.Exception.forget()
	for _, c := range []*Page[ErrorCounters]{&r.WriteErrors, &r.ReadErrors, &r.VerifyErrors} {
		c.forget()
	}
	for _, s := range []*Page[Statistic]{&r.NonMedium, &r.Temperature, &r.Endurance, &r.Grown} {
		s.forget()
	}
	r.Scan.forget()
}

// Offer is what a disk can be asked for. It does not change in the life of a disk and its firmware.
type Offer struct {
	ATA        ATAFeatures
	Statistics StatisticsPages
	NVMe       NVMeFeatures
	Pages      LogPages
}

// Offer asks a disk what it offers, once, so that it is not asked in vain in each poll.
func (d *Device) Offer(ctx context.Context) (*Offer, error) {
	o, page := &Offer{}, make([]byte, 4096)
	switch d.kind {
	case KindATA:
		return o, o.ata(ctx, d, page)
	case KindNVMe:
		b, err := d.Ask(ctx, IdentifyController, page)
		if err != nil {
			return o, err
		}
		return o, o.NVMe.Decode(b)
	case KindSCSI:
		b, err := d.Ask(ctx, LogSense(PageSupported), page)
		switch {
		case errors.Is(err, ErrUnsupported):
			return o, nil
		case err != nil:
			return o, err
		}
		return o, o.Pages.Decode(b)
	}
	return o, nil
}

func (o *Offer) ata(ctx context.Context, d *Device, page []byte) error {
	b, err := d.Ask(ctx, IdentifyDevice, page)
	if err != nil {
		return err
	}
	if err := o.ATA.Decode(b); err != nil || !o.ATA.LogExt {
		return err
	}
	// A disk whose log directory can not be read has no statistics, and all the rest.
	b, err = d.Ask(ctx, ReadLogDirectory, page)
	if err != nil {
		return unlessUnsupported(err)
	}
	if n, err := HasLog(b, logStatistics); err != nil || n == 0 {
		return err
	}
	if b, err = d.Ask(ctx, ReadStatistics(0), page); err != nil {
		return unlessUnsupported(err)
	}
	return o.Statistics.Decode(b)
}

func unlessUnsupported(err error) error {
	if errors.Is(err, ErrUnsupported) {
		return nil
	}
	return err
}

// Poll asks a disk for everything that it offers. It asks a disk that sleeps as well: see Asleep.
func (r *Reading) Poll(ctx context.Context, d *Device, o *Offer) {
	r.reset(d.kind)
	switch d.kind {
	case KindATA:
		r.readATA(ctx, d, o)
	case KindNVMe:
		r.readNVMe(ctx, d, o)
	case KindSCSI:
		r.readSCSI(ctx, d, o)
	}
}

// ask sends a command and has its answer decoded.
func (r *Reading) ask(ctx context.Context, d *Device, c Command, decode func([]byte) error) error {
	b, err := d.Ask(ctx, c, r.page[:])
	if err != nil {
		return err
	}
	if err := decode(b); err != nil {
		return fmt.Errorf("%s: %w", c.Name(), err)
	}
	return nil
}

var (
	errDisabled = errors.New("SMART is switched off in the disk (smartctl -s on switches it on)")
	errKept     = errors.New("the controller does not pass on the disk's answer")
)

// statisticsPages are the pages of the Device Statistics log that are read.
var statisticsPages = [...]byte{PageRotating, PageErrors, PageTemp, PageTransport, PageSSD}

func (r *Reading) readATA(ctx context.Context, d *Device, o *Offer) {
	if !o.ATA.SMART {
		return
	}
	if !o.ATA.Enabled {
		r.Data.put(errDisabled)
		return
	}
	r.Data.put(r.ask(ctx, d, ReadSMARTData, r.Data.Value.Decode))
	r.Thresholds.put(r.ask(ctx, d, ReadSMARTThresholds, r.Thresholds.Value.Decode))
	switch registers, ok, err := d.Registers(ctx, ReturnSMARTStatus); {
	case err == nil && !ok:
		r.Health.put(errKept)
	default:
		r.Health.put(err)
		r.Health.Value = ReturnStatus(registers)
		if err == nil && r.Health.Value == HealthUnknown {
			r.Health.put(errKept)
		}
	}
	if o.ATA.ErrorLog || r.Data.Known && r.Data.Value.CanLogErrors {
		r.Errors.put(r.ask(ctx, d, ReadSMARTLog(LogErrors), r.Errors.Value.Decode))
	}
	if o.ATA.SelfTest || r.Data.Known && r.Data.Value.CanSelfTest {
		r.Tests.put(r.ask(ctx, d, ReadSMARTLog(LogSelfTests), r.Tests.Value.DecodeATA))
	}
	r.Statistics.Value = DeviceStatistics{}
	for _, page := range statisticsPages {
		if !o.Statistics[page] {
			continue
		}
		err := r.ask(ctx, d, ReadStatistics(page), func(b []byte) error { return r.Statistics.Value.Merge(page, b) })
		switch {
		case err == nil:
			r.Statistics.Known = true
		case !errors.Is(err, ErrUnsupported):
			r.Statistics.Err = err // the other pages are known
		}
	}
}

func (r *Reading) readNVMe(ctx context.Context, d *Device, o *Offer) {
	r.NVMe.put(r.ask(ctx, d, GetLogPage(NVMeLogHealth, 512), r.NVMe.Value.Decode))
	if r.NVMe.Known {
		r.NVMe.put(r.NVMe.Value.Check())
	}
	// Only the entries that the controller has: more are not defined. All controllers have this log.
	if n := min(o.NVMe.ErrorEntries, nvmeErrors); n > 0 {
		r.NVMeErrors.put(r.ask(ctx, d, GetLogPage(NVMeLogErrors, n*nvmeErrorEntry), r.NVMeErrors.Value.Decode))
	}
	if o.NVMe.SelfTest {
		r.Tests.put(r.ask(ctx, d, GetLogPage(NVMeLogSelfTests, NVMeSelfTestSize), r.Tests.Value.DecodeNVMe))
	}
}

func (r *Reading) readSCSI(ctx context.Context, d *Device, o *Offer) {
	r.exception(ctx, d, o)
	r.WriteErrors.put(r.log(ctx, d, o, PageWriteErrors, func(b []byte) error { return r.WriteErrors.Value.Decode(PageWriteErrors, b) }))
	r.ReadErrors.put(r.log(ctx, d, o, PageReadErrors, func(b []byte) error { return r.ReadErrors.Value.Decode(PageReadErrors, b) }))
	r.VerifyErrors.put(r.log(ctx, d, o, PageVerifyErrors, func(b []byte) error { return r.VerifyErrors.Value.Decode(PageVerifyErrors, b) }))
	r.one(ctx, d, o, PageNonMedium, &r.NonMedium, NonMedium)
	r.one(ctx, d, o, PageTemperature, &r.Temperature, func(b []byte) (Statistic, error) { now, _, err := Temperatures(b); return now, err })
	r.one(ctx, d, o, PageSolidState, &r.Endurance, Endurance)
	r.Tests.put(r.log(ctx, d, o, PageSelfTests, r.Tests.Value.DecodeSCSI))
	r.Scan.put(r.log(ctx, d, o, PageBackgroundScan, r.Scan.Value.Decode))
	r.Grown.put(r.ask(ctx, d, ReadGrownDefects, func(b []byte) (err error) { r.Grown.Value, err = GrownDefects(b); return err }))
	r.Grown.Known = r.Grown.Known && r.Grown.Value.Valid
}

// log reads a SCSI log page if the disk offers it.
func (r *Reading) log(ctx context.Context, d *Device, o *Offer, page byte, decode func([]byte) error) error {
	if !o.Pages[page] {
		return ErrUnsupported
	}
	return r.ask(ctx, d, LogSense(page), decode)
}

// one reads a SCSI log page of which one number counts.
func (r *Reading) one(ctx context.Context, d *Device, o *Offer, page byte, p *Page[Statistic], decode func([]byte) (Statistic, error)) {
	p.put(r.log(ctx, d, o, page, func(b []byte) (err error) { p.Value, err = decode(b); return err }))
	p.Known = p.Known && p.Value.Valid
}

// exception asks for the informational exception in both of its places: the log page, and sense data that a disk
// keeps for the next REQUEST SENSE. Without the log page, silence of the other one says nothing, because a disk
// may be set to never report there.
func (r *Reading) exception(ctx context.Context, d *Device, o *Offer) {
	paged := false
	r.Exception.put(r.log(ctx, d, o, PageExceptions, func(b []byte) (err error) {
		r.Exception.Value, paged, err = Exception(b)
		return err
	}))
	r.Exception.Known = r.Exception.Known && paged
	if r.Exception.Known && r.Exception.Value.Prediction() != PredictNothing {
		return
	}
	if s, err := d.requestSense(ctx, r.page[:]); err == nil && s.Prediction() != PredictNothing {
		r.Exception.Value = s
		r.Exception.put(nil)
	}
}
