package ledger

import "testing"

func TestParsePath(t *testing.T) {
	for path, want := range map[string]Tile{
		"tile/0/000":                {Level: 0},
		"tile/entries/000":          {Level: -1},
		"tile/entries/255.p/7":      {Level: -1, Index: 255, Width: 7},
		"tile/2/x001/x234/067.p/89": {Level: 2, Index: 1234067, Width: 89},
	} {
		if got, ok := ParsePath(path); !ok || got != want {
			t.Errorf("%s: %+v, %t", path, got, ok)
		}
	}
	for _, path := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/", "tile/0/0", "tile/0/0000", "tile/8/000", "tile/-1/000", "tile/00/000", "tile/0/x000/001", "tile/0/001/002",
		"tile/0/x001", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/1/", "tile/0/000.p", "tile/entries/../000", "tile/0/+01", "Tile/0/000", "tile/0/000/../../key",
	} {
		if got, ok := ParsePath(path); ok {
			t.Errorf("%s: read as %+v", path, got)
		}
	}
}

func TestWithin(t *testing.T) {
	for _, tc := range []struct {
		path string
		size uint64
		want bool
	}{
		{"tile/0/000", 255, false}, {"tile/0/000", 256, true}, {"tile/0/000.p/7", 6, false}, {"tile/0/000.p/7", 7, true}, {"tile/0/000.p/7", 300, true},
		{"tile/entries/001", 511, false}, {"tile/entries/001", 512, true}, {"tile/entries/001.p/1", 256, false}, {"tile/entries/001.p/1", 257, true},
		{"tile/1/000", 65535, false}, {"tile/1/000", 65536, true}, {"tile/1/000.p/1", 255, false}, {"tile/1/000.p/1", 256, true},
		{"tile/0/x072/x057/x594/x037/x927/935", 1<<63 - 1, false},
	} {
		tile, ok := ParsePath(tc.path)
		if !ok || tile.Within(tc.size) != tc.want {
			t.Errorf("%s of %d entries: %t", tc.path, tc.size, !tc.want)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, path := range []string{"checkpoint", "tile/0/000", "tile/entries/x001/234.p/5", "tile/7/x999/x999/999.p/255", "../key"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if tile, ok := ParsePath(path); ok && tile.Path() != path {
			t.Errorf("%q is the path of %+v, whose path is %q", path, tile, tile.Path())
		}
	})
}
