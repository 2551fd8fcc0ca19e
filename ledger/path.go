package ledger

import (
	"strconv"
	"strings"
)

// maxLevel is the highest level of tiles: eight of 8 each cover 2⁶⁴ entries.
const maxLevel = 7

// Tile is a tile of hashes or a bundle of entries, as its path names it.
type Tile struct {
	Level int    // of hashes; -1 for a bundle of entries
	Index uint64 // in its row
	Width int    // of a partial one; 0 for a full one
}

// Path is where the tile is.
func (t Tile) Path() string {
	if t.Level < 0 {
		return BundlePath(t.Index, t.Width)
	}
	return TilePath(t.Level, t.Index, t.Width)
}

// ParsePath reads the path of a tile or bundle. It is not ok for any other path, and for
// any but the one way to write it.
func ParsePath(path string) (t Tile, ok bool) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return t, false
	}
	row, index, _ := strings.Cut(rest, "/")
	if t.Level = -1; row != "entries" {
		if t.Level, ok = wholeNumber(row, maxLevel); !ok {
			return t, false
		}
	}
	index, width, partial := strings.Cut(index, ".p/")
	if partial {
		if t.Width, ok = wholeNumber(width, bundleWidth-1); !ok || t.Width == 0 {
			return t, false
		}
	}
	for _, digits := range strings.Split(index, "/") {
		n, err := strconv.ParseUint(strings.TrimPrefix(digits, "x"), 10, 16)
		if err != nil || t.Index > (1<<56)/1000 {
			return t, false
		}
		t.Index = 1000*t.Index + n
	}
	return t, t.Path() == path // no second way to write it
}

func wholeNumber(s string, most int) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && n <= most
}

// Within reports whether a log of size entries has the tile.
func (t Tile) Within(size uint64) bool {
	for range t.Level {
		size /= bundleWidth
	}
	full := size / bundleWidth
	return t.Index < full || t.Width > 0 && t.Index == full && size%bundleWidth >= uint64(t.Width)
}
