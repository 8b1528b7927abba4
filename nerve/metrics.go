package nerve

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	duration prometheus.Histogram
	timeouts prometheus.Counter
	hung     prometheus.Gauge
	lost     prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "glia_probe_duration_seconds", Help: "Time that one probe of one disk took.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 9)}),
		timeouts: prometheus.NewCounter(prometheus.CounterOpts{Name: "glia_probe_timeouts_total", Help: "Probes that did not return before their deadline."}),
		hung:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "glia_probe_hung", Help: "Disks whose probe has not returned from the kernel."}),
		lost:     prometheus.NewCounter(prometheus.CounterOpts{Name: "glia_uevents_lost_total", Help: "Times that the kernel had to drop events of devices; each was followed by a scan."}),
	}
	if r != nil {
		r.MustRegister(m.duration, m.timeouts, m.hung, m.lost)
	}
	return m
}

var (
	infoDesc = prometheus.NewDesc("glia_disk_info", "One for each disk; what it is and where.", []string{"serial", "model", "firmware", "class", "place", "device", "protected"}, nil)
	// The value is the state's number in package glia: 0 unknown, 1 healthy … 6 failed.
	verdictDesc  = prometheus.NewDesc("glia_disk_verdict", "Verdict of the disk: 0 unknown, 1 healthy, 2 suspect, 3 worn, 4 missing, 5 failing, 6 failed.", []string{"serial"}, nil)
	observedDesc = prometheus.NewDesc("glia_disk_observed_timestamp_seconds", "When the disk was last observed.", []string{"serial"}, nil)
)

// Describe is part of prometheus.Collector.
func (n *Nerve) Describe(c chan<- *prometheus.Desc) {
	c <- infoDesc
	c <- verdictDesc
	c <- observedDesc
}

// Collect is part of prometheus.Collector.
func (n *Nerve) Collect(c chan<- prometheus.Metric) {
	for _, d := range n.Disks() {
		id, loc := d.Disk.Identity, d.Disk.Location
		protected := "no"
		if d.Disk.Protected != "" {
			protected = "yes"
		}
		c <- prometheus.MustNewConstMetric(infoDesc, prometheus.GaugeValue, 1, id.Serial, id.Model, id.Firmware, string(id.Class), loc.Place(), loc.Device, protected)
		c <- prometheus.MustNewConstMetric(verdictDesc, prometheus.GaugeValue, float64(d.Verdict.State), id.Serial)
		if at := d.Verdict.ObservedAt; at.After(time.Unix(0, 0)) {
			c <- prometheus.MustNewConstMetric(observedDesc, prometheus.GaugeValue, float64(at.UnixNano())/1e9, id.Serial)
		}
	}
}
