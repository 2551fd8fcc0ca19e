package serve

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// memoryLog is a public log in memory: lists come into being as they do in the product,
// from verified state, since there is no other way.
type memoryLog struct {
	signer note.Signer
	key    note.Verifier
	hashes []tlog.Hash
	raw    [][]byte
}

func newLog(t testing.TB) *memoryLog {
	t.Helper()
	secret, public, err := note.GenerateKey(nil, "log.example")
	if err != nil {
		t.Fatal(err)
	}
	l := new(memoryLog)
	if l.signer, err = note.NewSigner(secret); err != nil {
		t.Fatal(err)
	}
	if l.key, err = note.NewVerifier(public); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *memoryLog) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, n := range at {
		out[i] = l.hashes[n]
	}
	return out, nil
}

// subject reads what a test lists: a prefix, "*.name" for a subtree, or a name.
func subject(s string) *ledger.Entry {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := &ledger.Entry{Kind: "list", Time: at, Clause: "c2", Policy: ledger.Digest{1},
		Evidence: []ledger.Evidence{{Source: "source", Kind: "c2", First: at, Last: at}}}
	if p, err := netip.ParsePrefix(s); err == nil {
		e.Prefix, e.Scope = p, ledger.ScopePrefix
		return e
	}
	e.Name, e.Scope = s, ledger.ScopeExact
	if below, ok := strings.CutPrefix(s, "*."); ok {
		e.Name, e.Scope = below, ledger.ScopeSubtree
	}
	return e
}

func (l *memoryLog) add(t testing.TB, e *ledger.Entry) {
	b, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	h, err := tlog.StoredHashes(int64(len(l.raw)), b, l)
	if err != nil {
		t.Fatal(err)
	}
	l.hashes, l.raw = append(l.hashes, h...), append(l.raw, b)
}

// Read serves the log's files (https://c2sp.org/tlog-tiles).
func (l *memoryLog) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	const width = 256
	size := int64(len(l.raw))
	if path == ledger.CheckpointPath {
		root, err := tlog.TreeHash(size, l)
		if err != nil {
			return nil, err
		}
		text := fmt.Sprintf("%s\n%d\n%s\n", l.signer.Name(), size, base64.StdEncoding.EncodeToString(root[:]))
		return note.Sign(&note.Note{Text: text}, l.signer)
	}
	rest, entries := strings.CutPrefix(path, "tile/entries/")
	if !entries {
		rest, _ = strings.CutPrefix(path, "tile/")
		level, index, _ := strings.Cut(rest, "/")
		tile, err := tlog.ParseTilePath("tile/8/" + level + "/" + index)
		if err != nil {
			return nil, err
		}
		return tlog.ReadTileData(tile, l)
	}
	tile, err := tlog.ParseTilePath("tile/8/0/" + rest)
	if err != nil || tile.N*width+int64(tile.W) > size {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	var out []byte
	for _, e := range l.raw[tile.N*width:][:tile.W] {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(e))), e...)
	}
	return out, nil
}

// compile is the list of what the log lists.
func (l *memoryLog) compile(t testing.TB) *filter.List {
	t.Helper()
	state, err := ledger.Replay(context.Background(), l, l.key, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := filter.Compile(&out, state); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := filter.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// live holds a list of the given subjects, which become the log's entries 0, 1, …
func live(t testing.TB, subjects ...string) *filter.Live {
	t.Helper()
	v := new(filter.Live)
	v.Swap(listOf(t, subjects...))
	return v
}

func listOf(t testing.TB, subjects ...string) *filter.List {
	t.Helper()
	l := newLog(t)
	for _, s := range subjects {
		l.add(t, subject(s))
	}
	return l.compile(t)
}
