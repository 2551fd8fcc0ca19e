package sequence

import (
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shoji-dns/shoji/ledger"
)

// sweep removes the temporary files that the driver leaves where a crash or a
// full disk cut a write short: the file's name with a random number behind it.
// They are where the log ends, for whoever opened it after an earlier crash has
// removed those of that one. What cannot be removed costs space and nothing else.
func (l *Log) sweep() {
	for folder := range edgeFolders(l.size.Load()) {
		l.sweepFolder(folder, true)
	}
}

// sweepFolder sweeps a folder and, with partial, the folders of partial files in it.
func (l *Log) sweepFolder(folder string, partial bool) {
	files, err := os.ReadDir(filepath.Join(l.dir, filepath.FromSlash(folder)))
	if err != nil {
		return // there is none yet
	}
	for _, f := range files {
		name := path.Join(folder, f.Name())
		switch {
		case f.Type().IsRegular() && isTemporary(name):
			os.Remove(filepath.Join(l.dir, filepath.FromSlash(name)))
		case f.IsDir() && partial && strings.HasSuffix(name, ".p"):
			l.sweepFolder(name, false)
		}
	}
}

// edgeFolders are the folders in which the next window of a log of size entries
// writes files.
func edgeFolders(size uint64) map[string]bool {
	folders := map[string]bool{"": true, stateFolder: true}
	from, to := size, size+windowEntries
	for level := 0; to > 0; level++ {
		from, to = from/bundleWidth, to/bundleWidth
		for _, n := range []uint64{from, to} {
			folders[path.Dir(ledger.TilePath(level, n, 0))] = true
			if level == 0 {
				folders[path.Dir(ledger.BundlePath(n, 0))] = true
			}
		}
	}
	return folders
}

// isTemporary reports whether a file under the log's folder is none of the log's.
func isTemporary(path string) bool {
	folder, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		folder, name = path[:i], path[i+1:]
	}
	switch {
	case folder == "":
		return isNumber(strings.CutPrefix(name, ledger.CheckpointPath))
	case folder == stateFolder:
		return isNumber(strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"), true)
	case !strings.HasPrefix(folder, "tile/") || !isNumber(name, true):
		return false
	case strings.HasSuffix(folder, ".p"):
		width, err := strconv.Atoi(name)
		return err != nil || width < 1 || width >= bundleWidth || name[0] == '0'
	}
	return len(name) != 3
}

// isNumber reports whether s, if it is there, is digits alone.
func isNumber(s string, there bool) bool {
	return there && s != "" && strings.Trim(s, "0123456789") == ""
}
