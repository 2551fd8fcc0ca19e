package curate

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// mapSuffix stands behind the root of a map in the name of its file.
const mapSuffix = ".map"

// Lists is the folder of compiled lists and maps of a state folder.
func Lists(dir string) string { return filepath.Join(dir, listFolder) }

// MapPath is where the file of the map with a root is, in a state folder that has it.
func MapPath(dir string, root ledger.Digest) string {
	return filepath.Join(dir, listFolder, root.String()+mapSuffix)
}

// OpenMap opens the map with a root, of a state folder. close closes its file.
func OpenMap(dir string, root ledger.Digest) (m *ledger.Map, close func() error, err error) {
	f, err := os.Open(MapPath(dir, root))
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		m, err = ledger.OpenMap(f, info.Size())
	}
	if err == nil && m.Root() != root {
		err = fmt.Errorf("%s is the map with root %s", f.Name(), m.Root())
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return m, f.Close, nil
}

// EnsureMap makes the file of the map over a list, if it is not there or not whole. root is
// what the list's epoch entry says; zero: it has no map. Between parts of its check of a file
// that is there it calls pause.
func EnsureMap(dir string, list *filter.List, root ledger.Digest, pause func()) error {
	if root.IsZero() {
		return nil
	}
	if m, done, err := OpenMap(dir, root); err == nil {
		err = m.Check(pause)
		done()
		if err == nil {
			return nil
		}
	}
	got, err := writeMap(dir, list.Map)
	if err == nil && got != root {
		err = fmt.Errorf("the map over the list has the root %s; its epoch entry says %s", got, root)
	}
	return err
}

// writeMap has a map's file written and names it by its root. The file is not synced: who
// reads it verifies it, and it can be made anew at any time.
func writeMap(dir string, write func(io.Writer) (ledger.Digest, error)) (ledger.Digest, error) {
	f, err := os.CreateTemp(Lists(dir), "mapping-*")
	if err != nil {
		return ledger.Digest{}, err
	}
	defer os.Remove(f.Name()) // where it was renamed there is nothing
	root, err := write(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), MapPath(dir, root))
	}
	return root, err
}

// mapList makes the map over the list that is to come into force: from the one over the list
// before and what the log says since, where that can be had, or else from the list itself.
func (w *Writer) mapList(list *filter.List) (ledger.Digest, error) {
	if root, err := w.mergeMap(list); err == nil {
		return root, nil
	}
	return writeMap(w.cfg.Dir, list.Map)
}

func (w *Writer) mergeMap(list *filter.List) (ledger.Digest, error) {
	before, err := readPointer(w.cfg.Dir)
	if err != nil {
		return ledger.Digest{}, err
	}
	epoch, err := w.epochAt(before.epoch)
	if err != nil {
		return ledger.Digest{}, err
	}
	old, done, err := OpenMap(w.cfg.Dir, epoch.Map)
	if err != nil {
		return ledger.Digest{}, err
	}
	defer done()
	return writeMap(w.cfg.Dir, func(out io.Writer) (ledger.Digest, error) { return list.MergeMap(out, old, w.tail) })
}
