package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/ledger"
)

// RestoreConfig is what a backup is restored to.
type RestoreConfig struct {
	Dir string // the state folder to be: it is not there yet, or empty, and then keeps its owner and mode
	// Newest is a copy of the log that has all that was ever published of it; nil for none.
	Newest ledger.Source
	// NothingNewer is a person's word that nothing was published after the backup.
	NothingNewer bool
	Progress     ledger.Progress // of the verification of the log; nil: nobody looks
}

// ErrOlder refuses a restoration that could fork the log.
var ErrOlder = errors.New("a backup may be older than the log that its readers have seen, and a log that went on from it would be a fork: " +
	"name a copy of the log that has its newest entries, such as the address where it was published or a mirror's, or say that nothing was published after the backup")

// Restored is what was restored.
type Restored struct {
	Manifest
	Entries uint64 // of the log now: those of the backup, and those that came after
}

// Restore makes a state folder of a backup, whole or not at all.
func Restore(ctx context.Context, in io.Reader, c RestoreConfig) (*Restored, error) {
	r, err := restore(ctx, in, c)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the backup is cut short or damaged: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("restore to %s: %w", c.Dir, err)
	}
	return r, nil
}

func restore(ctx context.Context, in io.Reader, c RestoreConfig) (*Restored, error) {
	if c.Newest == nil && !c.NothingNewer {
		return nil, ErrOlder
	}
	exists, err := empty(c.Dir)
	if err != nil {
		return nil, err
	}
	above, pattern := filepath.Dir(filepath.Clean(c.Dir)), ".shoji-restore-*"
	if exists { // which may be a file system of its own, to which nothing can be renamed
		above, pattern = c.Dir, restoring
	} else if err := durable.MakeFolder(above, 0o755); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(above, pattern)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	m, err := unpack(ctx, in, temp)
	if err != nil {
		return nil, err
	}
	size, err := theLog(ctx, temp, m, c)
	if err != nil {
		return nil, err
	}
	if exists {
		err = fill(c.Dir, temp)
	} else if err = os.Chmod(temp, 0o755); err == nil {
		err = os.Rename(temp, c.Dir)
	}
	if err != nil {
		return nil, err
	}
	return &Restored{*m, size}, durable.SyncFolder(above)
}

const (
	restoring    = ".restoring-*" // the folder, in one that is there, into which a backup is unpacked
	lostAndFound = "lost+found"   // in the root of a file system
)

// empty reports whether a folder is there, in which there is nothing.
func empty(dir string) (exists bool, err error) {
	there, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	for _, e := range there {
		if e.Name() != lostAndFound {
			return true, fmt.Errorf("there is something in it already (%s): move it away first", e.Name())
		}
	}
	return true, err
}

// fill moves what was unpacked into a folder that was empty: the log first and the signing key last, since a log without
// its key is not gone on with.
func fill(dir, from string) error {
	all, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	rank := func(name string) int { return slices.Index([]string{logFolder, "", vkeyName, keyName}, name) }
	slices.SortStableFunc(all, func(a, b fs.DirEntry) int {
		place := func(e fs.DirEntry) int {
			if r := rank(e.Name()); r >= 0 {
				return r
			}
			return rank("")
		}
		return place(a) - place(b)
	})
	for _, e := range all {
		if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// name is what a file of a backup may be called; each part begins with none of "." and "-".
var name = regexp.MustCompile(`^(?:key|key\.pub|[a-z]+\.db|(?:log|anchors)(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)+)$`)

// unpack writes the files of a backup into a folder, and holds them against its manifest.
func unpack(ctx context.Context, in io.Reader, dir string) (*Manifest, error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("this is no backup: %w", err)
	}
	t := tar.NewReader(z)
	sums := make(map[string]string)
	for {
		h, err := t.Next()
		if err != nil {
			return nil, fmt.Errorf("the backup ends without its manifest, or is damaged: %w", noEOF(err))
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if h.Name == manifestName {
			return readManifest(t, sums)
		}
		if h.Typeflag != tar.TypeReg || len(h.Name) > MaxName || !name.MatchString(h.Name) || sums[h.Name] != "" || len(sums) >= MaxFiles {
			return nil, fmt.Errorf("%.80q does not belong into a backup", h.Name)
		}
		if sums[h.Name], err = unpackOne(t, filepath.Join(dir, filepath.FromSlash(h.Name))); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, noEOF(err))
		}
	}
}

// noEOF is an error as a person reads it.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func unpackOne(in io.Reader, to string) (sum string, err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return "", err
	}
	h := sha256.New()
	perm := fs.FileMode(0o600)
	if strings.HasSuffix(to, vkeyName) || strings.Contains(filepath.ToSlash(to), "/"+logFolder+"/") {
		perm = 0o644 // any web server may serve the log
	}
	err = durable.Write(to, perm, func(w io.Writer) error {
		_, err := io.Copy(io.MultiWriter(w, h), in)
		return err
	})
	return sumText(h), err
}

func readManifest(in io.Reader, sums map[string]string) (*Manifest, error) {
	b, err := io.ReadAll(io.LimitReader(in, maxManifest))
	if err != nil {
		return nil, noEOF(err)
	}
	m := &Manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("the manifest: %w", err)
	}
	if m.Format != format {
		return nil, fmt.Errorf("the backup has format %d, made by another program; this one knows format %d", m.Format, format)
	}
	for name, want := range m.Files {
		if got := sums[name]; got != want {
			return nil, fmt.Errorf("%s is damaged or missing: its SHA-256 is %q, and should be %q", name, got, want)
		}
	}
	for name := range sums {
		if m.Files[name] == "" {
			return nil, fmt.Errorf("the manifest does not know %s", name)
		}
	}
	return m, nil
}

// theLog holds the log against the manifest, brings it up to the newest copy, and verifies all of it.
func theLog(ctx context.Context, dir string, m *Manifest, c RestoreConfig) (uint64, error) {
	key, err := verifier(dir)
	if err != nil {
		return 0, err
	}
	folder := filepath.Join(dir, logFolder)
	log, err := ledger.OpenFolder(folder)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	tip, err := ledger.ReadCheckpoint(ctx, log, key)
	if err != nil {
		return 0, err
	}
	if tip.Size != m.LogSize || hex.EncodeToString(tip.Root[:]) != m.LogRoot {
		return 0, fmt.Errorf("the log has %d entries, and the manifest says %d, or with another root", tip.Size, m.LogSize)
	}
	if c.Newest != nil {
		newest, err := ledger.ReadCheckpoint(ctx, c.Newest, key)
		if err != nil {
			return 0, fmt.Errorf("the newest copy of the log: %w", err)
		}
		if newest.Size < tip.Size {
			return 0, fmt.Errorf("the copy of the log that was named has %d entries, and the backup has %d already: it is not the newest", newest.Size, tip.Size)
		}
		if err := ledger.VerifyConsistency(ctx, c.Newest, tip, newest); err != nil {
			return 0, fmt.Errorf("the newest copy of the log does not continue the backup's: %w", err)
		}
		if err := bring(ctx, folder, c.Newest, newest); err != nil {
			return 0, fmt.Errorf("the newest copy of the log: %w", err)
		}
		tip = newest
	}
	_, err = ledger.ReplayTail(ctx, log, key, ledger.Base{}, c.Progress)
	return tip.Size, err
}

// The widths of tiles and bundles, and how long they may be (https://c2sp.org/tlog-tiles).
const (
	width   = 256
	maxFile = width * (2 + ledger.MaxEntry)
)

// bring copies into a log's folder what a newer copy has beyond it, the checkpoint last.
func bring(ctx context.Context, folder string, from ledger.Source, to ledger.Checkpoint) error {
	for level := -1; ; level++ {
		n := to.Size
		for range level {
			n /= width
		}
		if n == 0 {
			break
		}
		for index := uint64(0); index*width < n; index++ {
			t := ledger.Tile{Level: level, Index: index, Width: int(min(n-index*width, width) % width)}
			if err := bringOne(ctx, folder, from, t.Path()); err != nil {
				return err
			}
		}
	}
	raw, err := from.Read(ctx, ledger.CheckpointPath, ledger.MaxCheckpoint)
	if err != nil {
		return err
	}
	if string(raw) != string(to.Raw) {
		return errors.New("it went on while it was read: nobody may write to the log while it is restored")
	}
	return durable.WriteFile(filepath.Join(folder, ledger.CheckpointPath), raw, 0o644)
}

func bringOne(ctx context.Context, folder string, from ledger.Source, path string) error {
	to := filepath.Join(folder, filepath.FromSlash(path))
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	b, err := from.Read(ctx, path, maxFile)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return durable.WriteFile(to, b, 0o644)
}
