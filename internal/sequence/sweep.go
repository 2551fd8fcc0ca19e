package sequence

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shoji-dns/shoji/ledger"
)

// sweep removes the temporary files that the driver leaves where a crash or a
// full disk cut a write short: the file's name with a random number behind it.
// What cannot be removed costs space and nothing else.
func (l *Log) sweep() {
	filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		rel, err := filepath.Rel(l.dir, path)
		if err == nil && isTemporary(filepath.ToSlash(rel)) {
			os.Remove(path)
		}
		return nil
	})
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
