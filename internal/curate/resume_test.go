package curate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// wholeDigest is what the log up to an epoch compiles to when all of it is replayed.
func wholeDigest(t *testing.T, dir string, epoch ledger.Epoch) ledger.Digest {
	t.Helper()
	key, err := sequence.ReadVerifier(dir)
	if err != nil {
		t.Fatal(err)
	}
	src, err := ledger.OpenFolder(sequence.Folder(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	st, err := ledger.ReplayAt(t.Context(), src, key, epoch.Size, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := filter.Compile(io.Discard, st)
	if err != nil {
		t.Fatal(err)
	}
	return ledger.Digest(d)
}

// An operator lists and delists day after day, with one process for each change
// or one for several. Every list that comes into force is the one that anybody
// compiles from the whole log.
func TestEveryChangeCompilesLikeTheWholeLog(t *testing.T) {
	dir := t.TempDir()
	var names strings.Builder
	for i := range 700 {
		fmt.Fprintf(&names, "host%d.evil%d.example\n", i, i%7)
	}
	importText(t, dir, text("first.txt", names.String()))
	w := open(t, dir)
	for day, change := range []string{
		"+*.evil3.example", "+198.51.100.0/24 2001:db8::/48", "-host7.evil0.example", "+host7.evil0.example", "reopen",
		"-*.evil3.example 198.51.100.0/24", "+aaa.example zzz.example", "reopen", "reopen", "-aaa.example host699.evil6.example 2001:db8::/48", "+aaa.example 198.51.100.0/24",
	} {
		if change == "reopen" {
			w.Close()
			w = open(t, dir)
			if w.list == nil || w.tail.Len() != 0 {
				t.Fatalf("day %d: the writer did not go on from the list in force", day)
			}
			continue
		}
		var epoch ledger.Epoch
		if change[0] == '+' {
			rep, err := w.Import(t.Context(), []File{text("day.txt", strings.ReplaceAll(change[1:], " ", "\n")+"\n")}, claim, false)
			if err != nil || rep.Listed == 0 {
				t.Fatalf("day %d: %+v, %v", day, rep, err)
			}
			epoch = rep.Epoch
		} else {
			var subjects []Subject
			for _, s := range strings.Fields(change[1:]) {
				subject, err := ParseSubject(s)
				if err != nil {
					t.Fatal(err)
				}
				subjects = append(subjects, subject)
			}
			n, e, err := w.Remove(t.Context(), subjects, "why")
			if err != nil || n != len(subjects) {
				t.Fatalf("day %d: %d ended, %v", day, n, err)
			}
			epoch = e
		}
		if whole := wholeDigest(t, dir, epoch); whole != epoch.Digest {
			t.Errorf("day %d (%s): the list in force has digest %s, the whole log compiles to %s", day, change, epoch.Digest, whole)
		}
	}
	w.Close()
	if rep := importText(t, dir, text("again.txt", names.String()+"198.51.100.0/24\nzzz.example\n")); rep.Listed != 1 || rep.Files[0].Known != 701 {
		t.Errorf("what is listed is not known: %d listed, %d known", rep.Listed, rep.Files[0].Known)
	}
}

// What a writer goes on from is checked against the log. Where it does not fit,
// the whole log is replayed and the change comes into force all the same.
func TestWriterGoesOnOnlyFromWhatFitsTheLog(t *testing.T) {
	for name, spoil := range map[string]func(dir string, at pointer, list string) error{
		"the policy is not told": func(dir string, at pointer, _ string) error {
			return os.WriteFile(pointerPath(dir), pointer{epoch: at.epoch}.text(), 0o644)
		},
		"the policy entry is none": func(dir string, at pointer, _ string) error {
			return os.WriteFile(pointerPath(dir), pointer{at.epoch, at.policy + 1, true}.text(), 0o644)
		},
		"the policy entry is later": func(dir string, at pointer, _ string) error {
			return os.WriteFile(pointerPath(dir), pointer{at.epoch, at.epoch, true}.text(), 0o644)
		},
		"the epoch entry is none": func(dir string, at pointer, _ string) error {
			return os.WriteFile(pointerPath(dir), pointer{at.epoch - 1, at.policy, true}.text(), 0o644)
		},
		"the pointer is garbage": func(dir string, _ pointer, _ string) error {
			return os.WriteFile(pointerPath(dir), []byte("7 x\n"), 0o644)
		},
		"the list is damaged": func(_ string, _ pointer, list string) error {
			b, err := os.ReadFile(list)
			b[len(b)-1] ^= 1
			return errors.Join(err, os.WriteFile(list, b, 0o644))
		},
		"the list is gone": func(_ string, _ pointer, list string) error { return os.Remove(list) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			before := importText(t, dir, text("a.txt", "evil.example\nother.example\n")).Epoch
			at, err := readPointer(dir)
			if err != nil || !at.hasPolicy {
				t.Fatal(at, err)
			}
			if err := spoil(dir, at, listPath(dir, before.Digest)); err != nil {
				t.Fatal(err)
			}
			w := open(t, dir)
			if w.list != nil {
				t.Error("the writer went on from what does not fit")
			}
			if w.tail.Policy() != w.policy.Digest {
				t.Error("the policy in force is not known")
			}
			w.Close()
			epoch := importText(t, dir, text("b.txt", "later.example\nevil.example\n")).Epoch
			if epoch.Count != 3 || epoch.Digest != wholeDigest(t, dir, epoch) {
				t.Errorf("in force: %+v", epoch)
			}
		})
	}
}

// The list in force was compiled by a version with another format. Who reads says so, and the
// next Writer publishes what the log adds up to in the format of today, once. It can do without the old
// file, which it could neither read nor make.
func TestListOfAnotherVersionIsPublishedAnew(t *testing.T) {
	for _, gone := range []bool{false, true} {
		testPublishedAnew(t, gone)
	}
}

func testPublishedAnew(t *testing.T, gone bool) {
	dir := t.TempDir()
	before := importText(t, dir, text("a.txt", "evil.example\nother.example\n")).Epoch
	b, err := os.ReadFile(listPath(dir, before.Digest))
	if err != nil {
		t.Fatal(err)
	}
	b[8] = 1
	sum := sha256.Sum256(b[:248])
	copy(b[248:], sum[:8])
	old := ledger.Digest(sha256.Sum256(b))
	if err := os.WriteFile(listPath(dir, old), b, 0o644); err != nil {
		t.Fatal(err)
	}
	w := open(t, dir)
	err = w.append(t.Context(), &ledger.Entry{Kind: ledger.KindEpoch, Time: w.now(), Size: before.Size, Digest: old, Bytes: uint64(len(b)), Count: 2, Layout: 1, Map: before.Map})
	if err != nil {
		t.Fatal(err)
	}
	epoch, _ := w.epoch()
	if err := w.point(epoch); err != nil {
		t.Fatal(err)
	}
	w.Close()
	f, err := Follow(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Poll(t.Context()); !errors.Is(err, filter.ErrVersion) || !strings.Contains(err.Error(), fmt.Sprintf("version 1; this program reads version %d", filter.Version)) {
		t.Errorf("the list of another version: %v", err)
	}
	if gone {
		if err := os.Remove(listPath(dir, old)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		w = open(t, dir)
		size := w.Size()
		w.Close()
		if l := inForce(t, dir); size != epoch.Entry+2 || !listed(l, "evil.example") || l.Count() != 2 {
			t.Errorf("%d entries, %d after the old epoch's, %d listings", size, size-epoch.Entry-1, l.Count())
		}
	}
	epoch, _ = w.epoch()
	if epoch.Digest != wholeDigest(t, dir, epoch) || epoch.Layout != filter.Version {
		t.Errorf("in force: %+v", epoch)
	}
}

// A resolver takes a list at its Writer's word and sums it once it is in force. A disk has damaged
// it meanwhile, which no time of change tells: the alarm is raised, and the next start finds out
// and has the list made anew.
func TestListIsSummedInForce(t *testing.T) {
	for _, later := range []bool{false, true} {
		t.Run(fmt.Sprintf("later=%v", later), func(t *testing.T) { summedInForce(t, later) })
	}
}

func summedInForce(t *testing.T, later bool) {
	dir, epoch, f := followMarked(t)
	if later {
		if l, _, err := f.Poll(t.Context()); err != nil || l == nil {
			t.Fatalf("the first list: %v", err)
		}
		epoch = importText(t, dir, text("b.txt", "worse.example\n")).Epoch
	}
	damageMarked(t, dir, epoch.Digest)
	if !later {
		if l, _, err := f.Poll(t.Context()); err != nil || !listed(l, "evil.example") {
			t.Fatalf("the first list: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var alarms []error
	swapped := 0
	f.Run(ctx, time.Millisecond, func(*filter.List, *ledger.Entry) { swapped++ }, func(err error) {
		alarms = append(alarms, err)
		cancel()
	})
	if len(alarms) != 1 || !strings.Contains(alarms[0].Error(), "damaged") || later != (swapped == 1) {
		t.Errorf("%d lists, alarms: %v", swapped, alarms)
	}
	f, err := Follow(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Poll(t.Context()); err == nil {
		t.Error("the next start does not see the damage")
	}
	open(t, dir).Close()
	if !listed(inForce(t, dir), "evil.example") || !isMarked(dir, epoch.Digest) {
		t.Error("the list was not made anew")
	}
}

// The file of the list in force is damaged and made anew before it was summed. What is in force is then
// another file than the one that is there, which is right: that one is opened.
func TestListMadeAnewBeforeItIsSummed(t *testing.T) {
	dir, epoch, f := followMarked(t)
	damageMarked(t, dir, epoch.Digest)
	if l, _, err := f.Poll(t.Context()); err != nil || l == nil {
		t.Fatalf("the first list: %v", err)
	}
	if err := os.Remove(markPath(dir)); err != nil {
		t.Fatal(err)
	}
	open(t, dir).Close() // which sums the file itself, now that no mark spares it that
	if err := f.prove(); err != nil {
		t.Error(err)
	}
	if l, again, err := f.Poll(t.Context()); err != nil || !listed(l, "evil.example") || again.Digest != epoch.Digest {
		t.Errorf("the list that was made anew is not opened: %v", err)
	}
	if err := f.prove(); err != nil {
		t.Error(err)
	}
	if l, _, err := f.Poll(t.Context()); err != nil || l != nil {
		t.Errorf("and again: %v", err)
	}
}

// followMarked has a list in a folder, with its Writer's mark, and a Follower that has not polled yet.
func followMarked(t *testing.T) (dir string, epoch ledger.Epoch, f *Follower) {
	t.Helper()
	dir = t.TempDir()
	epoch = importText(t, dir, text("a.txt", "evil.example\n")).Epoch
	if !isMarked(dir, epoch.Digest) {
		t.Skip("files cannot be known again here")
	}
	f, err := Follow(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, epoch, f
}

// damageMarked damages a list's file, and has it look like the one that its Writer knew.
func damageMarked(t *testing.T, dir string, digest ledger.Digest) {
	t.Helper()
	path := listPath(dir, digest)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if isMarked(dir, digest) {
		t.Error("a file that was written to passes for the one that was summed")
	}
	if err := os.WriteFile(markPath(dir), []byte(markText(path, digest)), 0o644); err != nil {
		t.Fatal(err)
	}
}
