package curate

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/ledger"
)

// markName is the file that says of which list's file a Writer knows the digest,
// because it wrote or summed it, and what the system said of the file then.
const markName = "checked"

func markPath(dir string) string { return filepath.Join(dir, listFolder, markName) }

// markText is what the mark says of the file at path; "" where the system does not
// tell enough to know the file again.
func markText(path string, digest ledger.Digest) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	id, ok := identity(info)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s %s\n", digest, id)
}

// mark notes that the file of a list has its digest. That it cannot be noted
// costs the next start some time and nothing else.
func (w *Writer) mark(digest ledger.Digest) {
	text := markText(listPath(w.cfg.Dir, digest), digest)
	if old, err := os.ReadFile(markPath(w.cfg.Dir)); text == "" || err == nil && string(old) == text {
		return
	}
	_ = durable.WriteFile(markPath(w.cfg.Dir), []byte(text), 0o644)
}

// isMarked reports whether the file of a list is the one whose digest a Writer
// of the folder knew, and was not written to since.
func isMarked(dir string, digest ledger.Digest) bool {
	text := markText(listPath(dir, digest), digest)
	b, err := os.ReadFile(markPath(dir))
	return err == nil && text != "" && string(b) == text
}
