package curate

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// wholeMap is the root of the map over what the log up to an epoch adds up to.
func wholeMap(t *testing.T, dir string, epoch ledger.Epoch) ledger.Digest {
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
	root, err := st.Map(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Every list comes into force with the root of its map, whether the map's file of the list
// before is there, gone or damaged; and the file can be made anew.
func TestEveryListHasItsMap(t *testing.T) {
	dir := t.TempDir()
	var epoch ledger.Epoch
	for day, spoil := range []func(path string) error{
		func(string) error { return nil },
		func(string) error { return nil },
		os.Remove,
		func(path string) error { return os.Truncate(path, 100) },
		func(path string) error { return os.WriteFile(path, []byte("no map"), 0o600) },
	} {
		if day > 0 {
			if err := spoil(MapPath(dir, epoch.Map)); err != nil {
				t.Fatal(err)
			}
		}
		epoch = importText(t, dir, text("a.txt", []string{"a", "b", "c", "d", "e"}[day]+".evil.example\n198.51.100."+string(rune('0'+day))+"\n")).Epoch
		if want := wholeMap(t, dir, epoch); epoch.Map != want {
			t.Errorf("day %d: the epoch has the map %s; its log adds up to %s", day, epoch.Map, want)
		}
		m, done, err := OpenMap(dir, epoch.Map)
		if err != nil {
			t.Fatal(err)
		}
		if m.Head().Count != epoch.Count || m.Head().Size != epoch.Size || m.Check(func() {}) != nil {
			t.Errorf("day %d: %+v, %v", day, m.Head(), m.Check(func() {}))
		}
		done()
	}
	maps, err := filepath.Glob(filepath.Join(Lists(dir), "*"+mapSuffix))
	if err != nil || len(maps) > 2 {
		t.Errorf("maps of old lists are kept: %v, %v", maps, err)
	}
	if err := os.Remove(MapPath(dir, epoch.Map)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenMap(dir, epoch.Map); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for range 2 {
		if err := EnsureMap(dir, inForce(t, dir), epoch.Map, func() {}); err != nil {
			t.Error(err)
		}
	}
	if _, done, err := OpenMap(dir, epoch.Map); err != nil {
		t.Error(err)
	} else {
		done()
	}
	if err := EnsureMap(dir, inForce(t, dir), ledger.Digest{1}, func() {}); err == nil {
		t.Error("a map of another list was made")
	}
}
