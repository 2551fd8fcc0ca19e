package forks

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/shoji-dns/shoji/internal/forger"
	"github.com/shoji-dns/shoji/ledger"
)

// two are the tips of two logs by one key that divide after some entries, and the second log.
func two(t *testing.T, before, older, newer int) (a, b ledger.Checkpoint, src *forger.Log) {
	t.Helper()
	one := forger.New(1)
	one.Add(forger.Hosts(before)...)
	src = one.Twin(before)
	one.Add(append([]*ledger.Entry{forger.Listing("mine.example")}, forger.Hosts(older-before-1)...)...)
	src.Add(append([]*ledger.Entry{forger.Listing("yours.example")}, forger.Hosts(newer-before-1)...)...)
	tip := func(l *forger.Log) ledger.Checkpoint {
		c, err := ledger.ReadCheckpoint(t.Context(), l, l.Key)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	return tip(one), tip(src), src
}

// A fork of any shape is kept with a proof that convinces by itself.
func TestForkIsProved(t *testing.T) {
	for _, sizes := range [][3]int{{0, 1, 1}, {0, 1, 2}, {3, 4, 5}, {3, 4, 300}, {5, 7, 9}, {7, 8, 8}, {7, 8, 16}, {0, 256, 257}, {255, 256, 600}, {200, 300, 700}, {1, 2, 3}} {
		older, newer, src := two(t, sizes[0], sizes[1], sizes[2])
		err := ledger.VerifyConsistency(t.Context(), src, older, newer)
		fork := (*ledger.ForkError)(nil)
		if !errors.As(err, &fork) {
			t.Fatalf("%v: %v", sizes, err)
		}
		dir := t.TempDir()
		folder, err := Keep(dir, fork)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(folder, src.Key); err != nil {
			t.Errorf("%v: %v", sizes, err)
		}
		if again, err := Keep(dir, fork); err != nil || again != folder {
			t.Errorf("%v: kept twice, in %s: %v", sizes, again, err)
		}
		if kept, err := Kept(dir); err != nil || len(kept) != 1 {
			t.Errorf("%v: %d cases kept: %v", sizes, len(kept), err)
		}
	}
}

// What is no proof convinces nobody: honest growth, another log's proof, an old note.
func TestNoProof(t *testing.T) {
	older, newer, src := two(t, 5, 7, 9)
	fork := (*ledger.ForkError)(nil)
	errors.As(ledger.VerifyConsistency(t.Context(), src, older, newer), &fork)
	longer := src.Twin(src.Size())
	longer.Add(forger.Hosts(4)...)
	tip, err := ledger.ReadCheckpoint(t.Context(), longer, longer.Key)
	if err != nil {
		t.Fatal(err)
	}
	honest, err := tlog.ProveTree(int64(tip.Size), int64(newer.Size), tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) { return make([]tlog.Hash, len(at)), nil }))
	if err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]*ledger.ForkError{
		"a proof of zeros":       {Old: newer, New: tip, Proof: honest},
		"another pair's proof":   {Old: newer, New: tip, Proof: fork.Proof},
		"a proof that is cut":    {Old: older, New: newer, Proof: fork.Proof[:1]},
		"a proof that goes on":   {Old: older, New: newer, Proof: append(fork.Proof[:len(fork.Proof):len(fork.Proof)], tlog.Hash{})},
		"an empty proof":         {Old: older, New: newer, Proof: tlog.TreeProof{}},
		"no proof":               {Old: older, New: newer},
		"the same note":          {Old: newer, New: newer},
		"a note that is not his": {Old: ledger.Checkpoint{Size: older.Size, Raw: []byte("x")}, New: newer, Proof: fork.Proof},
	} {
		folder, err := Keep(t.TempDir(), f)
		if err != nil {
			t.Fatal(err)
		}
		if Check(folder, src.Key) == nil {
			t.Errorf("%s convinces", what)
		}
	}
	folder, err := KeepRollback(t.TempDir(), tip, newer)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(folder, src.Key); err == nil || !strings.Contains(err.Error(), "an old note") {
		t.Errorf("an old note: %v", err)
	}
}

// Growth that is honest is no fork by its own proof.
func TestGrowthIsNoFork(t *testing.T) {
	l := forger.New(1)
	l.Add(forger.Hosts(7)...)
	older, _ := ledger.ReadCheckpoint(t.Context(), l, l.Key)
	l.Add(forger.Hosts(300)...)
	newer, _ := ledger.ReadCheckpoint(t.Context(), l, l.Key)
	proof, err := tlog.ProveTree(307, 7, tiles{t, l, newer})
	if err != nil {
		t.Fatal(err)
	}
	if err := divides(proof, older, newer); err == nil || err.Error() != "the newer note continues the older one" {
		t.Error(err)
	}
}

// tiles reads a log's hashes from its tiles.
type tiles struct {
	t   *testing.T
	l   *forger.Log
	tip ledger.Checkpoint
}

func (r tiles) ReadHashes(at []int64) ([]tlog.Hash, error) {
	tree := tlog.Tree{N: int64(r.tip.Size), Hash: r.tip.Root}
	return tlog.TileHashReader(tree, r).ReadHashes(at)
}
func (tiles) Height() int                     { return 8 }
func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (r tiles) ReadTiles(all []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range all {
		b, err := r.l.Read(r.t.Context(), ledger.TilePath(tile.L, uint64(tile.N), tile.W%256), 1<<20)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// Who can sign cannot fill the disk.
func TestCasesAreBounded(t *testing.T) {
	dir, first := t.TempDir(), ""
	for i := range MaxKept + 10 {
		folder, err := Keep(dir, &ledger.ForkError{Old: ledger.Checkpoint{Size: 1, Root: [32]byte{byte(i)}, Raw: []byte("a")}, New: ledger.Checkpoint{Size: 1, Raw: []byte("b")}})
		if err != nil || folder == "" {
			t.Fatal(folder, err)
		}
		if i == 0 {
			first = folder
		}
	}
	if kept, err := Kept(dir); err != nil || len(kept) != MaxKept {
		t.Errorf("%d cases: %v", len(kept), err)
	}
	if err := os.Remove(filepath.Join(dir, "1-1-"+strings.Split(filepath.Base(first), "-")[2], newerFile)); err != nil {
		t.Fatal(err)
	}
	if kept, err := Kept(dir); err != nil || len(kept) != MaxKept-1 {
		t.Errorf("%d cases, and one that a crash cut short: %v", len(kept), err)
	}
}

func FuzzProof(f *testing.F) {
	f.Add([]byte("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"), uint64(7), uint64(9))
	f.Add([]byte(""), uint64(1), uint64(2))
	f.Add([]byte("x\n"), uint64(1)<<63, ^uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, size, newSize uint64) {
		proof, err := parseProof(b)
		if err != nil {
			return
		}
		if first, second, err := roots(proof, size, newSize); err == nil && len(proof) == 1 && first != second {
			t.Errorf("one hash is two roots: %s, %s", first, second)
		}
	})
}
