package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/ledger"
)

// MapCurrentPath is where it stands which map is in force, for who looks names up without
// following the log: {"epoch": number of the epoch entry, "map": root in hexadecimal digits}.
// Only the epoch entry itself, verified by the checkpoint, proves it.
const MapCurrentPath = "map/current"

// MapFileSuffix stands behind a map's root in the name of its file.
const MapFileSuffix = ".map"

// mapPart serves the head (page -1) or a page of the map with a root.
func (h *handler) mapPart(w http.ResponseWriter, r *http.Request, root ledger.Digest, page int) {
	if h.lists == "" {
		h.fail(w, os.ErrNotExist)
		return
	}
	m, err := h.maps.open(h.lists, root)
	if err != nil {
		h.fail(w, err)
		return
	}
	if page < 0 {
		h.text(w, r, string(m.Head().Text()), cacheTile)
		return
	}
	b, err := m.Page(page)
	if err != nil {
		h.maps.forget(root) // its file may be made anew
		h.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", cacheTile)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// openMaps is how many maps are kept open: those of the list in force and of its predecessor.
const openMaps = 2

// maps are those that were asked for last: to open one is to read and hash its directory of pages,
// of 10,000,000 listings 650 kB, which no stranger should have done for each request.
type maps struct {
	mu   sync.Mutex
	kept []*ledger.Map // the last one last
}

// open opens the map with a root, whose file is in a folder. A file is closed when nobody
// refers to its map any more.
func (k *maps) open(dir string, root ledger.Digest) (*ledger.Map, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := slices.IndexFunc(k.kept, func(m *ledger.Map) bool { return m.Root() == root })
	if at >= 0 {
		return k.kept[at], nil
	}
	f, err := open(dir, root.String()+MapFileSuffix)
	if err != nil {
		return nil, err
	}
	m, err := openMap(f, root)
	if err != nil {
		f.Close()
		return nil, err
	}
	if len(k.kept) == openMaps {
		k.kept = slices.Delete(k.kept, 0, 1)
	}
	k.kept = append(k.kept, m)
	return m, nil
}

// forget has a map opened anew when it is asked for again.
func (k *maps) forget(root ledger.Digest) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = slices.DeleteFunc(k.kept, func(m *ledger.Map) bool { return m.Root() == root })
}

var errOtherMap = errors.New("the file is of another map")

func openMap(f *os.File, root ledger.Digest) (*ledger.Map, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	m, err := ledger.OpenMap(f, info.Size())
	if err == nil && m.Root() != root {
		err = errOtherMap
	}
	return m, err
}

// mapCurrent serves which map is in force, as the log says it.
func (h *handler) mapCurrent(w http.ResponseWriter, r *http.Request) {
	epoch, err := h.epoch(r.Context())
	if err == nil && (h.lists == "" || epoch.Map.IsZero()) {
		err = os.ErrNotExist
	}
	if err != nil {
		h.fail(w, err)
		return
	}
	f, err := open(h.lists, epoch.Map.String()+MapFileSuffix) // or what it names cannot be read
	if err != nil {
		h.fail(w, err)
		return
	}
	f.Close()
	h.reply(w, r, "application/json", fmt.Sprintf("{\"epoch\":%d,\"map\":%q}\n", epoch.Entry, epoch.Map), cacheCheckpoint)
}

// current remembers the last epoch entry of the log at a checkpoint: to look for it anew for each
// request could be to read all that a large import has written since.
type current struct {
	mu    sync.Mutex
	raw   []byte // the checkpoint
	epoch ledger.Epoch
	known bool // that there is one
}

// epoch is the last epoch entry of the log.
func (h *handler) epoch(ctx context.Context) (ledger.Epoch, error) {
	key, err := note.NewVerifier(h.vkey)
	if err != nil {
		return ledger.Epoch{}, err
	}
	log, err := ledger.OpenFolder(h.dir)
	if err != nil {
		return ledger.Epoch{}, err
	}
	defer log.Close()
	c := &h.current
	c.mu.Lock()
	defer c.mu.Unlock()
	tip, err := ledger.ReadCheckpoint(ctx, log, key)
	if err != nil {
		return ledger.Epoch{}, err
	}
	if bytes.Equal(tip.Raw, c.raw) {
		if !c.known {
			return ledger.Epoch{}, os.ErrNotExist
		}
		return c.epoch, nil
	}
	first := uint64(0)
	if c.known {
		first = c.epoch.Entry
	}
	epoch, err := ledger.LatestEpochSince(ctx, log, tip, first)
	switch {
	case err == nil:
		c.raw, c.epoch, c.known = tip.Raw, epoch, true
	case errors.Is(err, ledger.ErrNoEpoch):
		c.raw, err = tip.Raw, os.ErrNotExist
	}
	return epoch, err
}
