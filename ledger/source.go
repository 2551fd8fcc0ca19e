package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/mod/sumdb/note"
)

// bundleWidth is the number of entries in a full bundle and of hashes in a full
// tile (https://c2sp.org/tlog-tiles).
const bundleWidth = 256

// maxBundle is the longest bundle: every entry with its 16-bit length.
const maxBundle = bundleWidth * (2 + MaxEntry)

// maxTile is the length of a full tile.
const maxTile = bundleWidth * 32

// Source is where a log's files are read from. A file that is not there is an
// error that wraps fs.ErrNotExist. What a Source returns is the reader's own.
type Source interface {
	// Read returns the file at path, one of those that CheckpointPath, TilePath
	// and BundlePath name, or an error if it is longer than limit.
	Read(ctx context.Context, path string, limit int64) ([]byte, error)
}

// CheckpointPath is where the log's tip is.
const CheckpointPath = "checkpoint"

// TilePath is where a tile of hashes is; width is 0 for a full one.
func TilePath(level int, index uint64, width int) string {
	return fmt.Sprintf("tile/%d/%s", level, indexPath(index, width))
}

// BundlePath is where a bundle of entries is; width is 0 for a full one.
func BundlePath(index uint64, width int) string {
	return "tile/entries/" + indexPath(index, width)
}

// indexPath writes n in groups of three digits, all but the last behind an x.
func indexPath(n uint64, width int) string {
	p := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		p = fmt.Sprintf("x%03d/%s", n%1000, p)
	}
	if width > 0 {
		p = fmt.Sprintf("%s.p/%d", p, width)
	}
	return p
}

// Folder is a log in a folder of this machine.
type Folder struct{ root *os.Root }

// OpenFolder opens the log in folder dir for reading. Nothing outside of dir is
// read, whatever links are in it.
func OpenFolder(dir string) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Folder{root: root}, nil
}

// Close closes the folder.
func (f *Folder) Close() error { return f.root.Close() }

// Read implements Source.
func (f *Folder) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	info, err := f.root.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // to open a pipe would wait for a writer
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	file, err := f.root.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%d octets; the longest such file has %d", info.Size(), limit)
	}
	b := make([]byte, info.Size())
	_, err = io.ReadFull(file, b)
	return b, err
}

// DamageError says which file of a log is not what it should be.
type DamageError struct {
	Path string // within the log
	Err  error  // what is wrong with it
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s: %v; restore this file from a mirror or a backup of the log, any copy that passes is the right one", e.Path, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

func damaged(path, format string, args ...any) error {
	return &DamageError{Path: path, Err: fmt.Errorf(format, args...)}
}

// ReadCheckpoint reads and verifies the log's tip.
func ReadCheckpoint(ctx context.Context, src Source, log note.Verifier) (Checkpoint, error) {
	raw, err := src.Read(ctx, CheckpointPath, MaxCheckpoint)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read %s: %w", CheckpointPath, err)
	}
	c, err := OpenCheckpoint(raw, log)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%s: %w", CheckpointPath, err)
	}
	return c, nil
}

// widthAt is how many of the 256 places of the index-th tile or bundle of a row
// of n are taken.
func widthAt(index, n uint64) int {
	return int(min(n-index*bundleWidth, bundleWidth))
}

// readWide reads a file that may have grown full since: a partial tile or
// bundle may be gone once the full one is there. It returns the path read.
func readWide(ctx context.Context, src Source, width int, limit int64, path func(width int) string) ([]byte, string, error) {
	p := path(width % bundleWidth)
	b, err := src.Read(ctx, p, limit)
	if width < bundleWidth && errors.Is(err, fs.ErrNotExist) {
		full := path(0)
		if b, fullErr := src.Read(ctx, full, limit); fullErr == nil {
			return b, full, nil
		}
	}
	if err != nil {
		if ctx.Err() != nil || !errors.Is(err, fs.ErrNotExist) {
			return nil, p, fmt.Errorf("read %s: %w", p, err)
		}
		return nil, p, &DamageError{Path: p, Err: err}
	}
	return b, p, nil
}

// readTile reads width hashes of a tile.
func readTile(ctx context.Context, src Source, level int, index uint64, width int) ([]byte, string, error) {
	b, p, err := readWide(ctx, src, width, maxTile, func(w int) string { return TilePath(level, index, w) })
	if err != nil {
		return nil, p, err
	}
	if len(b) < 32*width || len(b)%32 != 0 {
		return nil, p, damaged(p, "%d octets where %d hashes should be", len(b), width)
	}
	return b[:32*width], p, nil
}

// readBundle reads a bundle, whose first width entries are wanted.
func readBundle(ctx context.Context, src Source, index uint64, width int) ([]byte, string, error) {
	return readWide(ctx, src, width, maxBundle, func(w int) string { return BundlePath(index, w) })
}

// nextEntry splits the first entry off a bundle.
func nextEntry(bundle []byte) (entry, rest []byte, ok bool) {
	if len(bundle) < 2 {
		return nil, nil, false
	}
	n := int(bundle[0])<<8 | int(bundle[1])
	if len(bundle) < 2+n {
		return nil, nil, false
	}
	return bundle[2 : 2+n], bundle[2+n:], true
}
