package ledger

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// Whatever a log holds and wherever it is cut, what was listed before the cut with
// the tail's changes is what the whole log lists.
func TestTailContinuesItsBase(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := newMemoryLog(t, 1)
		draw := func(most int) {
			var entries []*Entry
			for range rapid.IntRange(0, most).Draw(rt, "n") {
				name := fmt.Sprintf("host-%d.example", rapid.IntRange(0, 40).Draw(rt, "host"))
				switch rapid.IntRange(0, 9).Draw(rt, "kind") {
				case 0:
					entries = append(entries, delistEntry(name, ScopeExact))
				case 1:
					entries = append(entries, listPrefix("192.0.2.0/24"))
				case 2:
					entries = append(entries, epochEntry(0, 0))
				default:
					entries = append(entries, listEntry(name, ScopeExact))
				}
			}
			log.add(entries...)
		}
		draw(600)
		before, err := Replay(t.Context(), log, log.log, nil)
		if err != nil {
			rt.Fatal(err)
		}
		base := Base{Size: before.Size(), Root: before.RootHash(), Policy: before.Policy()}
		tail, err := ReplayTail(t.Context(), log, log.log, base, nil)
		if err != nil {
			rt.Fatal(err)
		}
		draw(600)
		if rapid.Bool().Draw(rt, "anew") {
			tail, err = ReplayTail(t.Context(), log, log.log, base, nil)
		} else {
			err = tail.Advance(t.Context(), log, log.log, nil)
		}
		if err != nil {
			rt.Fatal(err)
		}
		whole, err := Replay(t.Context(), log, log.log, nil)
		if err != nil {
			rt.Fatal(err)
		}
		if tail.Size() != whole.Size() || tail.RootHash() != whole.RootHash() {
			rt.Fatalf("a tail of %d entries with root %x, a log of %d with %x", tail.Size(), tail.RootHash(), whole.Size(), whole.RootHash())
		}
		listed := map[Listing]bool{}
		entries := map[Listing]uint64{}
		subject := func(l Listing) Listing { l.Entry = 0; return l }
		for l := range before.Listings() {
			listed[subject(l)], entries[subject(l)] = true, l.Entry
		}
		for c := range tail.Changes() {
			s := subject(c.Listing)
			if listed[s], entries[s] = c.Listed, c.Entry; !c.Listed {
				delete(listed, s)
				delete(entries, s)
			}
		}
		want := map[Listing]uint64{}
		for l := range whole.Listings() {
			want[subject(l)] = l.Entry
		}
		if !maps.Equal(entries, want) {
			rt.Fatalf("base and tail list %v, the whole log %v", entries, want)
		}
	})
}

func TestTailRefusesAnotherLog(t *testing.T) {
	log := newMemoryLog(t, 1)
	log.add(manyEntries(300)...)
	st, err := Replay(t.Context(), log, log.log, nil)
	if err != nil {
		t.Fatal(err)
	}
	base := Base{Size: st.Size(), Root: st.RootHash()}
	other := newMemoryLog(t, 1)
	other.add(listEntry("other.example", ScopeExact))
	other.add(manyEntries(600)...)
	var fork *ForkError
	if _, err := ReplayTail(t.Context(), other, other.log, base, nil); !errors.As(err, &fork) {
		t.Errorf("another log: %v", err)
	}
	short := newMemoryLog(t, 1)
	short.add(manyEntries(299)...)
	if _, err := ReplayTail(t.Context(), short, short.log, base, nil); !errors.Is(err, ErrRollback) {
		t.Errorf("a shorter log: %v", err)
	}
	log.add(manyEntries(5)...)
	log.files[BundlePath(1, 49)][40] ^= 1
	damage := (*DamageError)(nil)
	if _, err := ReplayTail(t.Context(), log, log.log, base, nil); !errors.As(err, &damage) {
		t.Errorf("a damaged entry of the tail: %v", err)
	}
}
