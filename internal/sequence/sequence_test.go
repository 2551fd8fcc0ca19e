//go:build unix

package sequence

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/ledger"
)

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// listEntry is a listing as an import makes it.
func listEntry(n uint64) *ledger.Entry {
	return &ledger.Entry{
		Kind: ledger.KindList, Time: testTime, Scope: ledger.ScopeSubtree,
		Name: fmt.Sprintf("host-%d.example", n), Clause: "operator.import",
		Policy: ledger.Digest{1},
		Evidence: []ledger.Evidence{{
			Source: "maltrail", Kind: "c2", Family: "Emotet",
			Reference: "trails/static/malware/emotet.txt:1234", Last: testTime,
		}},
	}
}

// listEntries are the entries with the numbers first to next-1.
func listEntries(first, next uint64) iter.Seq[*ledger.Entry] {
	return func(yield func(*ledger.Entry) bool) {
		for n := first; n < next; n++ {
			if !yield(listEntry(n)) {
				return
			}
		}
	}
}

func mustOpen(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(context.Background(), settings(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// settings are of a log in dir, which a database keeps if a file says so.
func settings(dir string) Config {
	cfg := Config{Dir: dir, Origin: "log.shoji.test"}
	if b, err := os.ReadFile(filepath.Join(dir, "database")); err == nil {
		cfg.Database = string(b)
	}
	return cfg
}

func withWait(cfg Config) Config {
	cfg.Wait = time.Minute
	return cfg
}

// everywhere runs a test for a log that the folder keeps, and one that a database does.
func everywhere(t *testing.T, test func(t *testing.T, dir string)) {
	t.Run("Folder", func(t *testing.T) { test(t, t.TempDir()) })
	t.Run("Database", func(t *testing.T) { test(t, databaseFolder(t, newDatabase(t))) })
}

func mustAppend(t testing.TB, l *Log, first, next uint64) {
	t.Helper()
	f, n, err := l.Append(context.Background(), listEntries(first, next), nil)
	if err != nil || f != first || n != next {
		t.Fatalf("Append = %d, %d, %v; want %d, %d", f, n, err, first, next)
	}
}

// wantLog replays the log and wants exactly the first size entries of listEntries.
func wantLog(t testing.TB, l *Log, size uint64) *ledger.State {
	t.Helper()
	s, err := ledger.Replay(context.Background(), l.Source(), l.Verifier(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Size() != size || s.Len() != int(size) {
		t.Fatalf("the log has %d entries and %d listings, want %d", s.Size(), s.Len(), size)
	}
	var n uint64
	for g := range s.Listings() {
		if g.Entry != n || g.Name != listEntry(n).Name {
			t.Fatalf("listing %d is %+v", n, g)
		}
		n++
	}
	return s
}

func TestAppendAndReadBack(t *testing.T) { everywhere(t, appendAndReadBack) }

func appendAndReadBack(t *testing.T, dir string) {
	l := mustOpen(t, dir)
	wantLog(t, l, 0)
	var size uint64
	for _, n := range []uint64{1, 1, 300, 211, 1, 20_000} {
		mustAppend(t, l, size, size+n)
		size += n
		wantLog(t, l, size)
	}
	key := l.VerifierKey()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, dir)
	if l.VerifierKey() != key || l.Size() != size {
		t.Errorf("after opening again: key %s, %d entries; want %s, %d", l.VerifierKey(), l.Size(), key, size)
	}
	mustAppend(t, l, size, size+3)
	wantLog(t, l, size+3)
	if v, err := ReadVerifier(dir); err != nil || v.KeyHash() != l.Verifier().KeyHash() {
		t.Errorf("ReadVerifier: %v", err)
	}
}

func TestEmptyAppend(t *testing.T) { everywhere(t, emptyAppend) }

func emptyAppend(t *testing.T, dir string) {
	l := mustOpen(t, dir)
	mustAppend(t, l, 0, 0)
	mustAppend(t, l, 0, 2)
	mustAppend(t, l, 2, 2)
	wantLog(t, l, 2)
}

// The writer's folder and those above it are made.
func TestFolderIsMade(t *testing.T) {
	mustAppend(t, mustOpen(t, filepath.Join(t.TempDir(), "new", "folder")), 0, 1)
}

func TestKeyIsPrivate(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	path := filepath.Join(dir, keyFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key: mode %v, %v", info.Mode(), err)
	}
	secret, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, secret[:len(secret)-9], 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(context.Background(), Config{Dir: dir})
	if err == nil || strings.Contains(err.Error(), string(secret[20:40])) {
		t.Errorf("a truncated key: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "restore the key") {
		t.Errorf("a log without its key: %v", err)
	}
}

func TestOriginStays(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir).Close()
	if _, err := Open(context.Background(), Config{Dir: dir, Origin: "other"}); err == nil {
		t.Error("a log was renamed")
	}
	for _, bad := range []string{"two words", "a+b"} {
		if _, err := Open(context.Background(), Config{Dir: t.TempDir(), Origin: bad}); err == nil {
			t.Errorf("origin %q passed", bad)
		}
	}
}

func TestSecondWriterIsRefused(t *testing.T) { everywhere(t, secondWriterIsRefused) }

func secondWriterIsRefused(t *testing.T, dir string) {
	l := mustOpen(t, dir)
	_, err := Open(context.Background(), settings(dir))
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second writer: %v", err)
	}
	opened := make(chan error, 1)
	go func() {
		second, err := Open(context.Background(), withWait(settings(dir)))
		if err == nil {
			second.Close()
		}
		opened <- err
	}()
	mustAppend(t, l, 0, 300)
	l.Close()
	if err := <-opened; err != nil {
		t.Errorf("second writer that waits: %v", err)
	}
}

func TestBadEntryEndsTheAppend(t *testing.T) { everywhere(t, badEntryEndsTheAppend) }

func badEntryEndsTheAppend(t *testing.T, dir string) {
	l := mustOpen(t, dir)
	bad := listEntry(7)
	bad.Clause = ""
	first, next, err := l.Append(context.Background(), slices.Values([]*ledger.Entry{listEntry(0), bad, listEntry(1)}), nil)
	if err == nil || !strings.Contains(err.Error(), "entry 1 of this Append") || !strings.Contains(err.Error(), "clause") {
		t.Errorf("error %v", err)
	}
	if first != 0 || next != 0 {
		t.Errorf("entries %d to %d were appended", first, next)
	}
	mustAppend(t, l, 0, 5)
	wantLog(t, l, 5)
}

func TestEndOfContextLeavesABeginning(t *testing.T) { everywhere(t, endOfContextLeavesABeginning) }

func endOfContextLeavesABeginning(t *testing.T, dir string) {
	l := mustOpen(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	first, next, err := l.Append(ctx, listEntries(0, 5*windowEntries), func(stored uint64) {
		if stored >= 2*windowEntries {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || first != 0 || next != 2*windowEntries {
		t.Fatalf("Append = %d, %d, %v", first, next, err)
	}
	wantLog(t, l, next)
	mustAppend(t, l, next, next+1)
}

// TestReadWhileWriting: a reader who follows the log sees it whole at every moment.
func TestReadWhileWriting(t *testing.T) { everywhere(t, readWhileWriting) }

func readWhileWriting(t *testing.T, dir string) {
	ctx := context.Background()
	l := mustOpen(t, dir)
	reader, err := ledger.OpenFolder(Folder(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	s, err := ledger.Replay(ctx, reader, l.Verifier(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const size = 3000
	written := make(chan error, 1)
	go func() {
		for l.Size() < size {
			_, _, err := l.Append(ctx, listEntries(l.Size(), l.Size()+1+l.Size()%400), func(uint64) { l.Size() })
			if err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for done := false; !done; {
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
		if err := s.Advance(ctx, reader, l.Verifier(), nil); err != nil {
			t.Fatalf("after %d entries: %v", s.Size(), err)
		}
	}
	if s.Size() != l.Size() || s.Len() != int(l.Size()) {
		t.Errorf("the reader has %d entries and %d listings, the log %d", s.Size(), s.Len(), l.Size())
	}
}

func TestClosedLogTakesNothing(t *testing.T) {
	l := mustOpen(t, t.TempDir())
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if _, _, err := l.Append(context.Background(), listEntries(0, 1), nil); !errors.Is(err, errClosed) {
		t.Errorf("Append: %v", err)
	}
}

func TestPartialFilesAreRemoved(t *testing.T) { everywhere(t, partialFilesAreRemoved) }

func partialFilesAreRemoved(t *testing.T, dir string) {
	l := mustOpen(t, dir)
	mustAppend(t, l, 0, 200)
	mustAppend(t, l, 200, 700)
	var partial []string
	err := filepath.WalkDir(filepath.Join(l.dir, "tile"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasSuffix(path, ".p") {
			rel, _ := filepath.Rel(l.dir, path)
			partial = append(partial, rel)
		}
		return err
	})
	want := []string{"tile/0/002.p", "tile/1/000.p", "tile/entries/002.p"}
	if err != nil || !slices.Equal(partial, want) {
		t.Errorf("partial folders %q, %v; want %q", partial, err, want)
	}
}

// TestDamageAtOpen changes one file of a closed log and opens it: it opens with
// all that was acknowledged, or says which file is at fault.
func TestDamageAtOpen(t *testing.T) {
	const size = 700
	change := map[string]func(b []byte) []byte{
		"truncated": func(b []byte) []byte { return b[:len(b)/2] },
		"empty":     func(b []byte) []byte { return nil },
		"flipped":   func(b []byte) []byte { b = slices.Clone(b); b[len(b)/2] ^= 1; return b },
		"missing":   nil,
	}
	for file, mended := range map[string]bool{
		".state/treeState": true, "checkpoint": false, "tile/1/000.p/2": false,
		"tile/0/002.p/188": false, "tile/entries/002.p/188": false,
	} {
		for how, f := range change {
			dir := t.TempDir()
			l := mustOpen(t, dir)
			mustAppend(t, l, 0, size)
			l.Close()
			path := filepath.Join(Folder(dir), file)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if f != nil {
				if err := os.WriteFile(path, f(b), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			l, err = Open(context.Background(), Config{Dir: dir})
			if mended {
				if err != nil {
					t.Errorf("%s %s: %v", file, how, err)
					continue
				}
				mustAppend(t, l, size, size+1)
				wantLog(t, l, size+1)
				l.Close()
			} else if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "restore") {
				t.Errorf("%s %s: Open says %v", file, how, err)
			} else if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			} else {
				l := mustOpen(t, dir) // as the error advised
				wantLog(t, l, size)
				l.Close()
			}
		}
	}
}

// TestSignerRefusesToFork: whatever the driver says is stored, the log signs only what
// continues what it has signed.
func TestSignerRefusesToFork(t *testing.T) {
	ctx := t.Context()
	l := mustOpen(t, t.TempDir())
	mustAppend(t, l, 0, 10)
	for _, ts := range []treeState{{9, make([]byte, 32)}, {10, make([]byte, 32)}, {11, make([]byte, 32)}} {
		if err := l.storage.mend(ctx, ts); err != nil {
			t.Fatal(err)
		}
		if c, err := l.sign(ctx, ts.Size); err == nil {
			t.Errorf("signed %s after 10 entries", c.Raw)
		}
	}
	if c, err := l.Checkpoint(ctx); err != nil || c.Size != 10 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestClockThatWasSetBack(t *testing.T) {
	l := mustOpen(t, t.TempDir())
	future := time.Now().Add(24 * time.Hour)
	if err := os.Chtimes(filepath.Join(l.dir, ledger.CheckpointPath), future, future); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, 0, 1)
}
