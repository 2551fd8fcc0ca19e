package ledger

import (
	"context"
	"errors"
	"slices"
	"testing"
)

func mustCheckpoint(t testing.TB, l *memoryLog) Checkpoint {
	t.Helper()
	c, err := ReadCheckpoint(context.Background(), l, l.log)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReadEntryAndProof(t *testing.T) {
	ctx := context.Background()
	l := newMemoryLog(t, 1)
	l.add(manyEntries(1000)...)
	c := mustCheckpoint(t, l)
	for _, n := range []uint64{0, 1, 255, 256, 767, 768, 999} {
		e, err := ReadEntry(ctx, l, c, n)
		if err != nil || e.Name != manyEntries(1000)[n].Name {
			t.Fatalf("entry %d: %+v, %v", n, e, err)
		}
		proof, err := Prove(ctx, l, c, n)
		if err != nil {
			t.Fatal(err)
		}
		if err := VerifyInclusion(c, n, l.raw[n], proof); err != nil {
			t.Errorf("proof of entry %d: %v", n, err)
		}
		if VerifyInclusion(c, n, l.raw[(n+1)%1000], proof) == nil {
			t.Errorf("the proof of entry %d proves another", n)
		}
		if VerifyInclusion(c, (n+1)%1000, l.raw[n], proof) == nil {
			t.Errorf("the proof of entry %d proves it elsewhere", n)
		}
	}
	if _, err := ReadEntry(ctx, l, c, 1000); err == nil {
		t.Error("an entry behind the end")
	}
	if _, err := Prove(ctx, l, c, 1000); err == nil {
		t.Error("a proof behind the end")
	}
}

func TestReadEntrySeesDamage(t *testing.T) {
	ctx := context.Background()
	l := newMemoryLog(t, 1)
	l.add(manyEntries(600)...)
	c := mustCheckpoint(t, l)
	for _, path := range []string{BundlePath(1, 0), TilePath(0, 1, 0), TilePath(1, 0, 2)} {
		good := l.files[path]
		bad := slices.Clone(good)
		bad[len(bad)/3] ^= 1
		l.files[path] = bad
		if e, err := ReadEntry(ctx, l, c, 300); err == nil {
			t.Errorf("%s is damaged: entry %+v", path, e)
		}
		if _, err := LatestEpoch(ctx, l, c); err == nil || errors.Is(err, ErrNoEpoch) {
			t.Errorf("%s is damaged: LatestEpoch says %v", path, err)
		}
		l.files[path] = good
	}
}

func TestLatestEpoch(t *testing.T) {
	ctx := context.Background()
	l := newMemoryLog(t, 1)
	l.add(manyEntries(300)...)
	if _, err := LatestEpoch(ctx, l, mustCheckpoint(t, l)); !errors.Is(err, ErrNoEpoch) {
		t.Errorf("no epoch: %v", err)
	}
	l.add(epochEntry(300, 300))
	l.add(manyEntries(2)...)
	l.add(epochEntry(303, 300))
	for range 3 {
		l.reads = 0
		got, err := LatestEpoch(ctx, l, mustCheckpoint(t, l))
		want, _ := mustReplay(t, l).Epoch()
		if err != nil || got != want || got.Entry != 303 {
			t.Errorf("LatestEpoch = %+v, %v; replay says %+v", got, err, want)
		}
		l.add(manyEntries(200)...)
	}
}

func TestEpochThatCannotBe(t *testing.T) {
	for name, sizes := range map[string][]uint64{
		"of entries to come":       {2},
		"of less than one before":  {1, 0},
		"of itself":                {1 + 1},
		"later, of entries before": {1, 2, 1},
	} {
		l := newMemoryLog(t, 1)
		l.add(listEntry("a.example", ScopeExact))
		for _, size := range sizes {
			l.add(epochEntry(size, 1))
		}
		_, err := Replay(context.Background(), l, l.log, nil)
		if e := (*EntryError)(nil); !errors.As(err, &e) || e.Index != uint64(len(sizes)) {
			t.Errorf("an epoch %s: %v", name, err)
		}
	}
}

func TestEntryThatIsNone(t *testing.T) {
	l := newMemoryLog(t, 1)
	l.add(manyEntries(300)...)
	l.addRaw([]byte(`{"kind":"list"}`))
	l.add(manyEntries(3)...)
	_, err := Replay(context.Background(), l, l.log, nil)
	if e := (*EntryError)(nil); !errors.As(err, &e) || e.Index != 300 {
		t.Errorf("error %v", err)
	}
}

func TestWalk(t *testing.T) {
	ctx := context.Background()
	l := newMemoryLog(t, 1)
	l.add(manyEntries(700)...)
	c := mustCheckpoint(t, l)
	for _, r := range [][2]uint64{{0, 700}, {0, 0}, {255, 257}, {300, 301}, {512, 699}} {
		n := r[0]
		err := Walk(ctx, l, c, r[0], r[1], func(at uint64, e *Entry, raw []byte) error {
			if at != n || e.Name != manyEntries(700)[n].Name || !slices.Equal(raw, l.raw[n]) {
				t.Errorf("walk %v: entry %d is %s", r, at, e.Name)
			}
			n++
			return nil
		})
		if err != nil || n != r[1] {
			t.Errorf("walk %v ended at %d: %v", r, n, err)
		}
	}
	stop := errors.New("stop")
	if err := Walk(ctx, l, c, 0, 700, func(uint64, *Entry, []byte) error { return stop }); err != stop {
		t.Errorf("error %v", err)
	}
	if Walk(ctx, l, c, 0, 701, nil) == nil {
		t.Error("a walk behind the end")
	}
}

func TestConsistency(t *testing.T) {
	ctx := context.Background()
	l, other := newMemoryLog(t, 1), newMemoryLog(t, 1)
	var older []Checkpoint
	for n := range 20 {
		l.add(manyEntries(1 + n*7)...)
		older = append(older, mustCheckpoint(t, l))
	}
	last := older[len(older)-1]
	for _, c := range older {
		if err := VerifyConsistency(ctx, l, c, last); err != nil {
			t.Errorf("from %d: %v", c.Size, err)
		}
	}
	if err := VerifyConsistency(ctx, l, last, older[3]); !errors.Is(err, ErrRollback) {
		t.Errorf("backwards: %v", err)
	}
	es := manyEntries(int(older[5].Size))
	es[0] = listEntry("other.example", ScopeExact)
	other.add(es...)
	for _, c := range []Checkpoint{older[5], last} {
		if f := (*ForkError)(nil); !errors.As(VerifyConsistency(ctx, l, mustCheckpoint(t, other), c), &f) {
			t.Errorf("a fork seen from %d", c.Size)
		}
	}
}

func TestCommitments(t *testing.T) {
	l := newMemoryLog(t, 1)
	salt := Salt{9}
	e := listEntry("", ScopeSubtree)
	e.Salt, e.Commitment = salt, Commit(salt, ScopeSubtree, "secret.example")
	gone := listEntry("", ScopeExact)
	gone.Salt, gone.Commitment = salt, Commit(salt, ScopeExact, "secret.example")
	end := delistEntry("", ScopeExact)
	end.Salt, end.Commitment = gone.Salt, gone.Commitment
	l.add(e, gone, listEntry("a.example", ScopeExact), end)
	s := mustReplay(t, l)
	got := slices.Collect(s.Commitments())
	want := []Commitment{{Commitment: e.Commitment, Salt: salt, Scope: ScopeSubtree, Entry: 0}}
	if !slices.Equal(got, want) || s.Len() != 2 {
		t.Errorf("commitments %+v, Len %d", got, s.Len())
	}
	if got := names(s); !slices.Equal(got, []string{"exact a.example"}) {
		t.Errorf("listed: %q", got)
	}
}

func TestCheckpointText(t *testing.T) {
	const root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	if c, err := parseCheckpoint("o\n17\n" + root + "\nan extension\n"); err != nil || c.Size != 17 || c.Origin != "o" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []string{
		"", "o", "o\n1\n", "\n1\n" + root + "\n", "o\n01\n" + root + "\n", "o\n+1\n" + root + "\n", "o\n-1\n" + root + "\n",
		"o\n9223372036854775808\n" + root + "\n", "o\n1\n" + root[1:] + "\n", "o\n1\n" + root,
	} {
		if c, err := parseCheckpoint(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, c)
		}
	}
}
