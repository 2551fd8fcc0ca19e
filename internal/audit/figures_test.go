//go:build linux

package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/shoji-dns/shoji/ledger"
)

// TestFigures measures what verifying a large log costs, and fails beyond what is promised:
//
//	go test ./internal/audit -run TestFigures -figures DIR -entries 1000000 -v
//
// The log is made in DIR on the first run and found there by the next. Time is that of the
// processor, user and system, so that other load on the machine does not count; one
// processor is used. A run in which the log was made does not tell the memory.
var (
	figuresDir     = flag.String("figures", "", "folder for the log that TestFigures measures; empty: it is skipped")
	figuresEntries = flag.Int("entries", 1_000_000, "listings in that log")
)

// What verifying a log of 1,000,000 entries may cost.
const (
	mostFirst  = 60 * time.Second
	mostSecond = 2 * time.Second
	mostMemory = 1 << 30 // octets, resident
)

func TestFigures(t *testing.T) {
	if *figuresDir == "" {
		t.Skip("measures a large log where -figures names a folder for it")
	}
	o := newOperator(t)
	made := o.makeLog(*figuresDir, *figuresEntries)
	runtime.GOMAXPROCS(1)
	folder, err := ledger.OpenFolder(*figuresDir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	src := &atTip{folder, firstTip}
	c := newCustomer(t)
	c.now = morning.Add(maxDelay/2 + time.Duration(*figuresEntries/1000)*time.Second)
	run := func() (*Report, time.Duration) {
		m, err := OpenMemory(c.dir, o.vkey)
		if err != nil {
			t.Fatal(err)
		}
		before := processorTime(t)
		r, err := Run(t.Context(), Config{Source: src, Key: o.key, Memory: m, Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		return r, processorTime(t) - before
	}
	scale := func(d time.Duration) time.Duration { // small logs have their share, and a second to begin with
		return time.Second + time.Duration(float64(d)*float64(*figuresEntries)/1e6)
	}
	share := max(float64(*figuresEntries)/1e6, 1) // of what is promised for a million
	again := time.Duration(share * float64(mostSecond))
	r, took := run()
	found(t, r, Verified, "")
	t.Logf("first run: %d entries, %d listings: %v of processor time, %d MiB resident at most", r.Size, r.Epoch.Count, took, residentMost(t)>>20)
	if took > scale(mostFirst) {
		t.Errorf("the first run took %v of processor time, more than %v", took, scale(mostFirst))
	}
	if got := residentMost(t); !made && float64(got) > share*mostMemory {
		t.Errorf("%d MiB were resident, more than %.0f", got>>20, share*mostMemory/(1<<20))
	}
	r, took = run()
	found(t, r, Verified, "")
	t.Logf("second run, nothing new: %v", took)
	if r.Before == 0 || took > again {
		t.Errorf("the second run read from entry %d on and took %v, more than %v", r.Before, took, again)
	}
	src.tip = grownTip
	r, took = run()
	found(t, r, Verified, "")
	t.Logf("third run, 100 listings and an epoch more: %v", took)
	if r.Before == 0 || took > again {
		t.Errorf("the third run read from entry %d on and took %v, more than %v", r.Before, took, again)
	}
}

// The log has two tips: a customer sees it twice.
const (
	firstTip = "checkpoint.first"
	grownTip = "checkpoint.grown"
)

// atTip is a log with one of its tips for the checkpoint.
type atTip struct {
	*ledger.Folder
	tip string
}

func (s *atTip) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	if path == ledger.CheckpointPath {
		path = s.tip
	}
	return s.Folder.Read(ctx, path, limit)
}

// makeLog makes a log of n listings in a folder, and 100 more behind its first epoch,
// unless it is there. It reports whether it was made.
func (o *operator) makeLog(dir string, n int) bool {
	o.t.Helper()
	if _, err := os.Stat(filepath.Join(dir, grownTip)); err == nil {
		return false
	}
	w := &folderLog{operator: o, dir: dir}
	w.append(o.policy.Entry(morning))
	for i := range n {
		e := o.list(listedName(i))
		e.Time, e.Scope = morning.Add(time.Duration(i/1000)*time.Second), []ledger.Scope{ledger.ScopeExact, ledger.ScopeSubtree}[i%2]
		w.append(e)
	}
	for _, tip := range []string{firstTip, grownTip} {
		w.publish(ledger.CheckpointPath)
		w.append(w.epochEntry())
		w.publish(tip)
		for i := range 100 {
			e := o.list(listedName(n + i))
			e.Time = w.last
			w.append(e)
		}
	}
	return true
}

// listedName is as long as the names of malware are on the average, and no two of them are
// alike.
func listedName(i int) string {
	h := sha256.Sum256(fmt.Append(nil, i))
	return fmt.Sprintf("%x.%x.example", h[:4+i%5], h[8:10])
}

// folderLog writes a log of any length into a folder.
type folderLog struct {
	*operator
	dir     string
	size    int64
	done    int64 // entries whose tiles are written
	pending [][]byte
	hashes  storedHashes
	last    time.Time
}

func (w *folderLog) append(e *ledger.Entry) {
	w.t.Helper()
	b, err := e.Marshal()
	if err != nil {
		w.t.Fatal(err)
	}
	h, err := tlog.StoredHashes(w.size, b, w.hashes)
	if err != nil {
		w.t.Fatal(err)
	}
	w.hashes, w.size, w.last = append(w.hashes, h...), w.size+1, e.Time
	if w.pending = append(w.pending, b); len(w.pending) == 256 {
		w.bundle()
		w.pending = w.pending[:0]
	}
}

// bundle writes the bundle that is not yet full, or just is.
func (w *folderLog) bundle() {
	var out []byte
	for _, e := range w.pending {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(e))), e...)
	}
	w.write(ledger.BundlePath(uint64(w.size-1)/256, len(w.pending)%256), out)
}

func (w *folderLog) write(path string, b []byte) {
	w.t.Helper()
	path = filepath.Join(w.dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// publish writes what is missing of the tiles, and signs.
func (w *folderLog) publish(tip string) {
	w.t.Helper()
	if len(w.pending) > 0 {
		w.bundle()
	}
	for _, tile := range tlog.NewTiles(8, w.done, w.size) {
		data, err := tlog.ReadTileData(tile, w.hashes)
		if err != nil {
			w.t.Fatal(err)
		}
		w.write(ledger.TilePath(tile.L, uint64(tile.N), tile.W%256), data)
	}
	w.done = w.size
	root, err := tlog.TreeHash(w.size, w.hashes)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(tip, w.sign(w.size, root))
}

// epochEntry is compiled by the whole log, and not as an audit does it.
func (w *folderLog) epochEntry() *ledger.Entry {
	w.t.Helper()
	src, err := ledger.OpenFolder(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	defer src.Close()
	e := w.compiled(src)
	e.Time = w.last
	return e
}

// processorTime is what this process has taken of the processor.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentMost is the most memory that this process had resident, in octets.
func residentMost(t *testing.T) int64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return u.Maxrss << 10
}
