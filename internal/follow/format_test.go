package follow

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/forger"
	"github.com/shoji-dns/shoji/ledger"
)

// An operator whose shoji is older or newer than the node's has another format of the list: the node
// builds the list that it can read from the log, and goes on so, also over a restart.
func TestListInAnotherFormat(t *testing.T) {
	for layout, upgrade := range map[uint32]string{filter.Version - 1: "the operator's", filter.Version + 1: "this node's"} {
		l, dir := forger.New(1), t.TempDir()
		l.Add(forger.Hosts(600)...)
		l.Add(l.InFormat(layout))
		f := open(t, dir, l)
		var told strings.Builder
		f.cfg.Logger = slog.New(slog.NewTextHandler(&told, nil))
		if list := step(t, f); !has(list, "host-599.example") || list.Count() != 600 {
			t.Fatal("the list is not in force")
		}
		if want := fmt.Sprintf("format=%d ours=%d upgrade=%q", layout, filter.Version, upgrade+" shoji"); !strings.Contains(told.String(), want) {
			t.Errorf("told:\n%s, want %s", told.String(), want)
		}
		l.Asked()
		if step(t, f) != nil || asked(l) != "checkpoint" {
			t.Error("the same list was built again")
		}
		l.Add(forger.Delisting("host-3.example"), forger.Listing("new.example"))
		own := l.EpochEntry().Digest
		l.Add(l.InFormat(layout))
		if list := step(t, f); !has(list, "new.example") || has(list, "host-3.example") || !has(list, "host-4.example") {
			t.Error("the change is not in force")
		}
		if s := f.Status(); s.Kind != Current || s.Alarmed() || s.Epoch.Entry != uint64(l.Size()-1) {
			t.Errorf("%+v", s)
		}
		wholeFolder(t, f, own)

		l.SetDown(true)
		g := open(t, dir, l)
		if list, epoch := g.List(); !has(list, "new.example") || epoch.Entry != uint64(l.Size()-1) {
			t.Error("after a restart the list is not there")
		}
		l.SetDown(false)
		e := l.Epoch() // one of the two was upgraded
		if list := step(t, g); !has(list, "new.example") {
			t.Error("the list of the same format is not in force")
		}
		wholeFolder(t, g, e.Digest)
	}
}

// wholeFolder wants the list with a digest in force, and no other file of a list.
func wholeFolder(t *testing.T, f *Follower, digest ledger.Digest) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(f.cfg.Dir, listFolder))
	if err != nil || len(files) != 1 || files[0].Name() != digest.String() || f.epoch.Digest != digest {
		t.Errorf("%v, %v, %s in force; want %s", files, err, f.epoch.Digest, digest)
	}
}

// A node is upgraded before its operator: the list that it had is of no use, and it says so and has none
// until the log can be read; then it builds its own, without an epoch entry that is new.
func TestNodeIsUpgradedFirst(t *testing.T) {
	l, dir := forger.New(1), t.TempDir()
	l.Add(forger.Hosts(600)...)
	own, e := l.EpochEntry().Digest, l.InFormat(filter.Version-1)
	l.Add(e)
	f := open(t, dir, l)
	step(t, f)
	// As the program before would have left it.
	f.epoch.Digest, f.epoch.Bytes, f.epoch.Layout = e.Digest, e.Bytes, e.Layout
	text, err := currentText(f.epoch)
	if err != nil {
		t.Fatal(err)
	}
	f.dropLists(e.Digest)
	for path, b := range map[string][]byte{f.path(currentFile): text, f.listPath(e.Digest): l.List(e.Digest)} {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var told strings.Builder
	g, err := Open(Config{Dir: dir, Log: l, Lists: direct{Log: l}, Key: l.Key, VKey: l.VKey, Logger: slog.New(slog.NewTextHandler(&told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	g.pause = nil
	want := fmt.Sprintf("is in format %d; this program knows format %d", e.Layout, filter.Version)
	if list, _ := g.List(); list != nil || !strings.Contains(told.String(), "cannot be used") || !strings.Contains(told.String(), want) {
		t.Errorf("%v; told: %s", list, told.String())
	}
	l.SetDown(true)
	fails(t, g, Unreachable, "down")
	l.SetDown(false)
	if list := step(t, g); !has(list, "host-3.example") {
		t.Error("no list is in force")
	}
	wholeFolder(t, g, own)
}

// A list in another format than its epoch entry says is the operator's lie, and is not fetched again and again.
func TestWrongFormatIsFetchedOnce(t *testing.T) {
	l := forger.New(1)
	l.Add(forger.Hosts(600)...)
	e := l.InFormat(filter.Version + 1)
	e.Layout = filter.Version
	l.Add(e)
	f := open(t, t.TempDir(), l)
	for range 2 {
		want := fmt.Sprintf("version %d; this program reads version %d", filter.Version+1, filter.Version)
		if fault := fails(t, f, Altered, want); !fault.Kind.Loud() {
			t.Error("nobody is told")
		}
		f.cfg.Lists = nil // who asks it again builds the list instead, and that has another digest
	}
}

// Lists of which the operator says another count than they have do not fill the disk.
func TestRefusedListsAreNotKept(t *testing.T) {
	for _, layout := range []uint32{filter.Version, filter.Version + 1} {
		l, dir := forger.New(1), t.TempDir()
		l.Add(forger.Hosts(600)...)
		e := l.Epoch()
		f := open(t, dir, l)
		step(t, f)
		for i := range 3 {
			l.Add(forger.Listing(fmt.Sprintf("new-%d.example", i)))
			lie := l.EpochEntry()
			if layout != filter.Version {
				lie = l.InFormat(layout)
			}
			lie.Count++
			l.Add(lie)
			if list, err := f.step(t.Context()); list != nil || err == nil {
				t.Fatalf("a list with another count: %v", err)
			}
		}
		wholeFolder(t, f, e.Digest)
	}
}
