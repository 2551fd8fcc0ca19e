package audit

import (
	"io"
	"os"
	"path/filepath"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// mapFile is the map over the list that a memory keeps. It is verified by its root when it is
// read, and where it is gone or damaged the next one is made anew.
const mapFile = "map"

// mapOver makes the map over a rebuilt list and returns its root and file: from the map over
// the list that is remembered and what the log says since, where that is kept.
func (v *visitor) mapOver(from *base, list *filter.List, before *ledger.Tail) (root ledger.Digest, path string, err error) {
	f, err := os.CreateTemp(v.cfg.Memory.dir, "rebuilt-*")
	if err != nil {
		return root, "", err
	}
	defer f.Close()
	if root, err = v.mergeMap(f, from, list, before); err == nil {
		return root, f.Name(), nil
	}
	if _, err = f.Seek(0, io.SeekStart); err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		root, err = list.Map(f)
	}
	return root, f.Name(), err
}

func (v *visitor) mergeMap(out io.Writer, from *base, list *filter.List, before *ledger.Tail) (ledger.Digest, error) {
	f, err := os.Open(filepath.Join(v.cfg.Memory.dir, mapFile))
	if err != nil {
		return ledger.Digest{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ledger.Digest{}, err
	}
	old, err := ledger.OpenMap(f, info.Size())
	if err != nil {
		return ledger.Digest{}, err
	}
	if old.Root() != from.root {
		return ledger.Digest{}, filter.ErrNotBase
	}
	return list.MergeMap(out, old, before)
}
