//go:build unix

package sequence

import (
	"context"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/ledger"
)

// BenchmarkAppend100k is the time from 100,000 entries to the durable
// checkpoint over them. What it measures is above all the disk: four syncs for
// every 256 entries.
func BenchmarkAppend100k(b *testing.B) {
	for b.Loop() {
		l := mustOpen(b, b.TempDir())
		mustAppend(b, l, 0, 100_000)
		l.Close()
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkAppendOne is the time from one entry to its durable checkpoint after a pause, and
// nothing of how long the pause is.
func BenchmarkAppendOne(b *testing.B) {
	l := mustOpen(b, b.TempDir())
	l.cfg.CheckpointInterval = 0
	var n uint64
	for b.Loop() {
		mustAppend(b, l, n, n+1)
		n++
	}
}

// BenchmarkMillion appends 1,000,000 entries, replays them from the disk, and
// reads the last epoch of the log as a server does at its start.
func BenchmarkMillion(b *testing.B) {
	const size = 1_000_000
	ctx := context.Background()
	var appending, replaying, starting, processor time.Duration
	var memory runtime.MemStats
	for b.Loop() {
		l := mustOpen(b, b.TempDir())
		start, used := time.Now(), processorTime(b)
		mustAppend(b, l, 0, size)
		appending += time.Since(start)
		processor += processorTime(b) - used
		start = time.Now()
		s, err := ledger.Replay(ctx, l.Source(), l.Verifier(), nil)
		if err != nil || s.Len() != size {
			b.Fatal(s.Len(), err)
		}
		replaying += time.Since(start)
		runtime.ReadMemStats(&memory)
		mustEpoch(b, l, size)
		start = time.Now()
		c, err := l.Checkpoint(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if e, err := ledger.LatestEpoch(ctx, l.Source(), c); err != nil || e.Entry != size {
			b.Fatal(e, err)
		}
		starting += time.Since(start)
		runtime.KeepAlive(s)
		l.Close()
	}
	b.ReportMetric(size*float64(b.N)/appending.Seconds(), "appended/s")
	b.ReportMetric(processor.Seconds()/float64(b.N), "s-processor/append") // whatever else the machine does
	b.ReportMetric(size*float64(b.N)/replaying.Seconds(), "replayed/s")
	b.ReportMetric(float64(starting.Microseconds())/float64(b.N), "µs/epoch")
	b.ReportMetric(float64(memory.Sys)/(1<<20), "MiB")
}

// processorTime is what this process has used of processors.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func mustEpoch(b *testing.B, l *Log, size uint64) {
	b.Helper()
	epoch := &ledger.Entry{
		Kind: ledger.KindEpoch, Time: testTime, Size: size, Count: size, Bytes: 1, Layout: 1, Digest: ledger.Digest{1},
	}
	_, _, err := l.Append(context.Background(), func(yield func(*ledger.Entry) bool) { yield(epoch) }, nil)
	if err != nil {
		b.Fatal(err)
	}
}
