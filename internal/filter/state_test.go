package filter

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// shortLog is a log of fewer entries than one tile has, in memory.
type shortLog struct {
	raw    [][]byte
	hashes []tlog.Hash
	signer note.Signer
	log    note.Verifier
}

func newShortLog(t testing.TB, entries ...ledger.Entry) *shortLog {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.NewChaCha8([32]byte{1}), "log.shoji.test")
	if err != nil {
		t.Fatal(err)
	}
	l := &shortLog{}
	if l.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if l.log, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		e.Time = time.Date(2026, 1, 2, 3, 4, i, 0, time.UTC)
		b, err := e.Marshal()
		if err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		hashes, err := tlog.StoredHashes(int64(i), b, l)
		if err != nil {
			t.Fatal(err)
		}
		l.hashes, l.raw = append(l.hashes, hashes...), append(l.raw, b)
	}
	return l
}

func (l *shortLog) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, n := range at {
		out[i] = l.hashes[n]
	}
	return out, nil
}

func (l *shortLog) Read(_ context.Context, path string, _ int64) ([]byte, error) {
	n := len(l.raw)
	switch path {
	case ledger.CheckpointPath:
		root, err := tlog.TreeHash(int64(n), l)
		if err != nil {
			return nil, err
		}
		text := fmt.Sprintf("%s\n%d\n%s\n", l.signer.Name(), n, base64.StdEncoding.EncodeToString(root[:]))
		return note.Sign(&note.Note{Text: text}, l.signer)
	case ledger.TilePath(0, 0, n):
		return tlog.ReadTileData(tlog.Tile{H: 8, W: n}, l)
	case ledger.BundlePath(0, n):
		var out []byte
		for _, e := range l.raw {
			out = append(binary.BigEndian.AppendUint16(out, uint16(len(e))), e...)
		}
		return out, nil
	}
	return nil, fs.ErrNotExist
}

func (l *shortLog) state(t testing.TB) *ledger.State {
	t.Helper()
	st, err := ledger.Replay(context.Background(), l, l.log, nil)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func list(name string, scope ledger.Scope) ledger.Entry {
	return ledger.Entry{Kind: ledger.KindList, Scope: scope, Name: name, Clause: "a.1", Policy: ledger.Digest{1},
		Evidence: []ledger.Evidence{{Source: "canary", Kind: "c2"}}}
}

func TestCompileState(t *testing.T) {
	delist := ledger.Entry{Kind: ledger.KindDelist, Scope: ledger.ScopeExact, Name: "gone.test", Cause: "appeal"}
	block := list("", ledger.ScopePrefix)
	block.Prefix = netip.MustParsePrefix("192.0.2.0/24")
	hidden := list("", ledger.ScopeExact)
	hidden.Salt = ledger.Salt{9}
	hidden.Commitment = ledger.Commit(hidden.Salt, ledger.ScopeExact, "hidden.test")
	st := newShortLog(t, list("c2.evil.test", ledger.ScopeSubtree), list("gone.test", ledger.ScopeExact), block,
		list("again.test", ledger.ScopeExact), delist, list("again.test", ledger.ScopeExact), hidden).state(t)

	path := filepath.Join(t.TempDir(), "list")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := Compile(f, st)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := Sum(path, nil); err != nil || sum != digest {
		t.Errorf("Sum = %v, %v; Compile said %v", sum, err, digest)
	}
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if l.Epoch() != 7 || l.RootHash() != st.RootHash() || l.Count() != 4 {
		t.Errorf("epoch %d, root %x, count %d", l.Epoch(), l.RootHash(), l.Count())
	}
	for name, want := range map[string]Verdict{
		"www.c2.evil.test": {0, Subtree, 3, 0}, "gone.test": {}, "again.test": {5, Exact, 2, 0}, "hidden.test": {6, Exact, 2, 0}, "www.hidden.test": {}, "test": {},
	} {
		if v, ok := l.Match([]byte(dns.MustName(name))); v != want || ok != (want != Verdict{}) {
			t.Errorf("Match(%s) = %v, %v; want %v", name, v, ok, want)
		}
	}
	if v, ok := l.MatchAddr(netip.MustParseAddr("192.0.2.9")); !ok || v != (Verdict{2, Prefix, 24, 0}) {
		t.Errorf("MatchAddr = %v, %v", v, ok)
	}
	var again bytes.Buffer
	if d, err := Compile(&again, st); err != nil || d != digest {
		t.Errorf("compiled again: %v, %v; first %v", d, err, digest)
	}
}

// TestSwapUnderReaders swaps lists whose mappings end when the last reader lets
// go. A mapping that ended too soon would kill the process.
func TestSwapUnderReaders(t *testing.T) {
	var paths [2]string
	for i := range paths {
		_, data := build(t, subtree("listed.test", uint64(i)))
		paths[i] = filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(paths[i], data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var live Live
	done := make(chan struct{})
	var readers sync.WaitGroup
	name := []byte(dns.MustName("www.listed.test"))
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				l := live.Load()
				if v, ok := l.Match(name); ok != (l.Count() == 1) || v.Entry > 1 {
					t.Errorf("Match = %v, %v of a list of %d", v, ok, l.Count())
					return
				}
			}
		})
	}
	for i := range 40 {
		l, err := Open(paths[i%2])
		if err != nil {
			t.Error(err)
			break
		}
		live.Swap(l)
		if i%10 == 0 {
			runtime.GC()
		}
	}
	close(done)
	readers.Wait()
}
