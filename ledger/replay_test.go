package ledger

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func mustReplay(t testing.TB, l *memoryLog) *State {
	t.Helper()
	s, err := Replay(context.Background(), l, l.log, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// names are the listed subjects, as text.
func names(s *State) []string {
	var out []string
	for l := range s.Listings() {
		if l.Scope == ScopePrefix {
			out = append(out, l.Prefix.String())
		} else {
			out = append(out, string(l.Scope)+" "+l.Name)
		}
	}
	return out
}

func TestReplayAddsUp(t *testing.T) {
	l := newMemoryLog(t, 1)
	l.add(
		listEntry("a.example", ScopeExact),
		listEntry("a.example", ScopeSubtree),
		listPrefix("192.0.2.0/24"),
		listEntry("b.example", ScopeExact),
		epochEntry(4, 4),
		delistEntry("a.example", ScopeExact),
		delistEntry("never.example", ScopeExact),
		listEntry("b.example", ScopeExact),
	)
	s := mustReplay(t, l)
	want := []string{"subtree a.example", "192.0.2.0/24", "exact b.example"}
	if got := names(s); !slices.Equal(got, want) {
		t.Errorf("listed: %q, want %q", got, want)
	}
	if s.Len() != 3 || s.Size() != 8 {
		t.Errorf("Len %d Size %d, want 3 and 8", s.Len(), s.Size())
	}
	if n, ok := s.Lookup("b.example", ScopeExact); !ok || n != 7 {
		t.Errorf("b.example is listed by entry %d %v, want 7", n, ok)
	}
	if _, ok := s.Lookup("a.example", ScopeExact); ok {
		t.Error("a.example is still listed")
	}
	e, ok := s.Epoch()
	if !ok || e.Entry != 4 || e.Size != 4 || e.Digest != testDigest("list 4") {
		t.Errorf("Epoch() = %+v %v", e, ok)
	}
	at, err := ReplayAt(context.Background(), l, l.log, e.Size, nil)
	if err != nil {
		t.Fatal(err)
	}
	want = []string{"exact a.example", "subtree a.example", "192.0.2.0/24", "exact b.example"}
	if got := names(at); !slices.Equal(got, want) || at.Size() != 4 {
		t.Errorf("in force: %q at %d, want %q", got, at.Size(), want)
	}
	if n, ok := at.Lookup("b.example", ScopeExact); !ok || n != 3 {
		t.Errorf("at 4, b.example is listed by entry %d %v, want 3", n, ok)
	}
	if err := at.Advance(context.Background(), l, l.log, nil); err != nil || at.RootHash() != s.RootHash() || !slices.Equal(names(at), names(s)) {
		t.Errorf("from 4 on: %q, %v", names(at), err)
	}
}

func TestRootsAreThoseOfTlog(t *testing.T) {
	l := newMemoryLog(t, 1)
	var tr tree
	for n, e := range manyEntries(70_000) {
		want, err := tlog.TreeHash(int64(n), l)
		if n < 600 || n%997 == 0 || n > 65_530 && n < 65_540 {
			if err != nil || tr.root() != want {
				t.Fatalf("root of %d: %s, want %s (%v)", n, tr.root(), want, err)
			}
		}
		raw := []byte(e.Name)
		h, err := tlog.StoredHashes(int64(n), raw, l)
		if err != nil {
			t.Fatal(err)
		}
		l.hashes = append(l.hashes, h...)
		if err := tr.add(h[0], func(int, uint64, []tlog.Hash) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAdvance(t *testing.T) {
	for _, step := range []int{1, 255, 256, 257, 1000} {
		l := newMemoryLog(t, 1)
		s := mustReplayEmpty(t, l)
		for n, all := 0, manyEntries(2000); n < len(all); {
			next := min(n+step*(1+n%3), len(all))
			l.add(all[n:next]...)
			if err := s.Advance(context.Background(), l, l.log, nil); err != nil {
				t.Fatalf("step %d: from %d to %d: %v", step, n, next, err)
			}
			n = next
		}
		whole := mustReplay(t, l)
		if s.RootHash() != whole.RootHash() || !slices.Equal(names(s), names(whole)) || s.Len() != 2000 {
			t.Errorf("step %d: advanced and replayed states differ", step)
		}
	}
}

func mustReplayEmpty(t testing.TB, l *memoryLog) *State {
	t.Helper()
	l.publish()
	return mustReplay(t, l)
}

func TestReplaySeesEveryBit(t *testing.T) {
	l := newMemoryLog(t, 1)
	l.add(manyEntries(600)...)
	for path := range l.files {
		if path == CheckpointPath {
			continue
		}
		good := l.files[path]
		for _, at := range []int{0, len(good) / 2, len(good) - 1} {
			bad := slices.Clone(good)
			bad[at] ^= 4
			l.files[path] = bad
			_, err := Replay(context.Background(), l, l.log, nil)
			wantDamage(t, err, path)
		}
		l.files[path] = good[:len(good)-1]
		_, err := Replay(context.Background(), l, l.log, nil)
		wantDamage(t, err, path)
		delete(l.files, path)
		_, err = Replay(context.Background(), l, l.log, nil)
		wantDamage(t, err, path)
		l.files[path] = good
	}
	mustReplay(t, l)
}

func wantDamage(t *testing.T, err error, path string) {
	t.Helper()
	if d := (*DamageError)(nil); !errors.As(err, &d) || d.Path != path {
		t.Errorf("damaged %s: error %v", path, err)
	}
}

func TestReplayWrongKey(t *testing.T) {
	l, other := newMemoryLog(t, 1), newMemoryLog(t, 2)
	l.add(manyEntries(3)...)
	if s, err := Replay(context.Background(), l, other.log, nil); err == nil || s != nil {
		t.Fatal("a checkpoint passed under a key that did not sign it")
	}
}

func TestRollbackAndFork(t *testing.T) {
	ctx := context.Background()
	l := newMemoryLog(t, 1)
	l.add(manyEntries(300)...)
	old := mustReplay(t, l)
	l.add(manyEntries(400)...)
	s := mustReplay(t, l)
	long := names(s)

	shorter := newMemoryLog(t, 1)
	shorter.add(manyEntries(300)...)
	if err := s.Advance(ctx, shorter, l.log, nil); !errors.Is(err, ErrRollback) {
		t.Errorf("rolled back: %v", err)
	}
	for name, size := range map[string]int{"same size": 300, "in the edge": 310, "longer": 900} {
		forked := newMemoryLog(t, 1)
		es := manyEntries(size)
		es[7] = listEntry("other.example", ScopeExact)
		forked.add(es...)
		if f := (*ForkError)(nil); !errors.As(old.Advance(ctx, forked, l.log, nil), &f) {
			t.Errorf("fork, %s: %v", name, old.Advance(ctx, forked, l.log, nil))
		}
		es = manyEntries(size)
		es[299] = listEntry("other.example", ScopeExact)
		forked = newMemoryLog(t, 1)
		forked.add(es...)
		if f := (*ForkError)(nil); !errors.As(old.Advance(ctx, forked, l.log, nil), &f) {
			t.Errorf("fork of the last entry, %s: %v", name, old.Advance(ctx, forked, l.log, nil))
		}
	}
	if got := names(s); !slices.Equal(got, long) || s.Size() != 700 {
		t.Error("an error changed the state")
	}
	if err := old.Advance(ctx, l, l.log, nil); err != nil || old.Size() != 700 {
		t.Errorf("after the errors: %v", err)
	}
}

// FuzzReplay gives a reader a bundle and a tile that anyone could have written.
// It ends with an error or with the state of the log as it was signed.
func FuzzReplay(f *testing.F) {
	l := newMemoryLog(f, 1)
	l.add(manyEntries(2)...)
	bundle, tile := BundlePath(0, 2), TilePath(0, 0, 2)
	f.Add(l.files[bundle], l.files[tile], l.files[CheckpointPath])
	f.Add([]byte{0, 2, '{', '}'}, []byte{1}, []byte("log.shoji.test\n2\n\n\n— x y\n"))
	want := mustReplay(f, l).RootHash()
	f.Fuzz(func(t *testing.T, b, h, c []byte) {
		m := &memoryLog{t: t, log: l.log, files: maps.Clone(l.files)}
		m.files[bundle], m.files[tile] = b, h
		if s, err := Replay(context.Background(), m, m.log, nil); err == nil && s.RootHash() != want {
			t.Error("a log that was never signed")
		}
		m.files[CheckpointPath] = c
		if s, err := Replay(context.Background(), m, m.log, nil); err == nil && s.RootHash() != want {
			t.Error("a checkpoint that was never signed")
		}
	})
}
