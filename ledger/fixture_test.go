package ledger

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// memoryLog is a log in memory. Its tiles come from package tlog, so that what
// this package makes of them is held against foreign code.
type memoryLog struct {
	t      testing.TB
	signer note.Signer
	log    note.Verifier
	hashes []tlog.Hash
	raw    [][]byte
	files  map[string][]byte
	reads  int
}

type seededReader struct{ *rand.ChaCha8 }

func newMemoryLog(t testing.TB, seed byte) *memoryLog {
	t.Helper()
	skey, vkey, err := note.GenerateKey(seededReader{rand.NewChaCha8([32]byte{seed})}, "log.shoji.test")
	if err != nil {
		t.Fatal(err)
	}
	l := &memoryLog{t: t, files: map[string][]byte{}}
	if l.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if l.log, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *memoryLog) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	l.reads++
	b, ok := l.files[path]
	if !ok {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: over %d octets", path, limit)
	}
	return bytes.Clone(b), nil
}

func (l *memoryLog) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, n := range at {
		out[i] = l.hashes[n]
	}
	return out, nil
}

// add appends entries and publishes a checkpoint.
func (l *memoryLog) add(entries ...*Entry) {
	l.t.Helper()
	raw := make([][]byte, len(entries))
	for i, e := range entries {
		b, err := e.Marshal()
		if err != nil {
			l.t.Fatalf("entry %d: %v", i, err)
		}
		raw[i] = b
	}
	l.addRaw(raw...)
}

func (l *memoryLog) addRaw(entries ...[]byte) {
	l.t.Helper()
	old := int64(len(l.raw))
	for _, b := range entries {
		h, err := tlog.StoredHashes(int64(len(l.raw)), b, l)
		if err != nil {
			l.t.Fatal(err)
		}
		l.hashes = append(l.hashes, h...)
		l.raw = append(l.raw, b)
	}
	for _, tile := range tlog.NewTiles(tileHeight, old, int64(len(l.raw))) {
		data, err := tlog.ReadTileData(tile, l)
		if err != nil {
			l.t.Fatal(err)
		}
		l.files[TilePath(tile.L, uint64(tile.N), tile.W%bundleWidth)] = data
		if tile.L == 0 {
			var bundle []byte
			for _, e := range l.raw[tile.N*bundleWidth:][:tile.W] {
				bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(e)))
				bundle = append(bundle, e...)
			}
			l.files[BundlePath(uint64(tile.N), tile.W%bundleWidth)] = bundle
		}
	}
	l.publish()
}

func (l *memoryLog) publish() {
	l.t.Helper()
	root, err := tlog.TreeHash(int64(len(l.raw)), l)
	if err != nil {
		l.t.Fatal(err)
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", l.signer.Name(), len(l.raw), base64.StdEncoding.EncodeToString(root[:]))
	cp, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		l.t.Fatal(err)
	}
	l.files[CheckpointPath] = cp
}

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func testDigest(s string) Digest { return digestOf([]byte(s)) }

// listEntry is an ordinary listing of a name.
func listEntry(name string, scope Scope) *Entry {
	return &Entry{
		Kind: KindList, Time: testTime, Name: name, Scope: scope,
		Clause: "c2.two-sources", Policy: testDigest("policy"),
		Evidence: []Evidence{{
			Source: "blackbook", Reference: "blackbook.csv:17", Kind: "c2", Family: "Emotet",
			First: testTime.AddDate(-1, 0, 0), Last: testTime,
		}},
	}
}

func listPrefix(p string) *Entry {
	e := listEntry("", ScopePrefix)
	e.Prefix = netip.MustParsePrefix(p)
	return e
}

func delistEntry(name string, scope Scope) *Entry {
	return &Entry{Kind: KindDelist, Time: testTime, Name: name, Scope: scope, Cause: "evidence-stale"}
}

func epochEntry(size, count uint64) *Entry {
	return &Entry{Kind: KindEpoch, Time: testTime, Size: size, Count: count, Bytes: 4096, Layout: 1, Digest: testDigest(fmt.Sprint("list ", size))}
}

// manyEntries are n listings of n names.
func manyEntries(n int) []*Entry {
	es := make([]*Entry, n)
	for i := range es {
		es[i] = listEntry(fmt.Sprintf("host-%d.example", i), ScopeSubtree)
	}
	return es
}

// forkedRoot is the root of the log's first n entries.
func (l *memoryLog) forkedRoot(n uint64) ([32]byte, error) {
	h, err := tlog.TreeHash(int64(n), l)
	return h, err
}

// checkTree checks a proof of package tlog.
func checkTree(proof tlog.TreeProof, now Checkpoint, n uint64, root [32]byte) error {
	return tlog.CheckTree(proof, int64(now.Size), now.Root, int64(n), root)
}
