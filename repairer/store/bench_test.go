package store_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"glia/internal/figures"
	"glia/repairer/store"
	"glia/repairer/store/storetest"
)

// BenchmarkAppend compares durable steps with bare commits of one row, one after the other, on the same
// database with the same settings in the same run: ratio 1 means that the log costs nothing beside the disk.
func BenchmarkAppend(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		s, err := store.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "db"))
		if err != nil {
			b.Fatal(err)
		}
		compare(b, s, s.DB())
	})
	b.Run("postgres", func(b *testing.B) {
		srv, err := storetest.StartPostgres(b.Context())
		if err != nil {
			b.Skip(err)
		}
		b.Cleanup(func() { _ = srv.Close() })
		name, err := srv.NewDatabase(b.Context(), "")
		if err != nil {
			b.Fatal(err)
		}
		s, err := store.OpenPostgres(b.Context(), srv.URL(name), store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		compare(b, s, s.DB())
	})
}

func compare(b *testing.B, s storetest.Store, db *sql.DB) {
	b.Cleanup(func() { _ = s.Close() })
	c, err := s.Open(b.Context(), storetest.Opened("S1"))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := db.ExecContext(b.Context(), `CREATE TABLE bare (n BIGINT)`); err != nil {
		b.Fatal(err)
	}
	// In turns, so that both meet the same moods of the disk.
	var steps, bare time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := s.Append(b.Context(), storetest.Waits(c.ID, "for data")); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if _, err := db.ExecContext(b.Context(), `INSERT INTO bare VALUES (1)`); err != nil {
			b.Fatal(err)
		}
		steps, bare = steps+middle.Sub(began), bare+time.Since(middle)
	}
	b.ReportMetric(float64(b.N)/steps.Seconds(), "steps/s")
	b.ReportMetric(float64(b.N)/bare.Seconds(), "commits/s")
	b.ReportMetric(bare.Seconds()/steps.Seconds(), "ratio-to-bare-commits")
	b.ReportMetric(0.5, "ratio-to-bare-commits"+figures.AtLeast)
	b.ReportMetric(0, "ns/op")
}
