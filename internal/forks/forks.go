// Package forks keeps what convicts a log that is not one log: the notes that its operator
// signed and that do not fit one another, with the proof where there is one.
//
// # On disk
//
// Each case has a folder, named by the two sizes and by what it holds:
//
//	older   the note that was seen first
//	newer   the note that does not continue it
//	proof   hashes in base64, one a line (RFC 6962 §2.1.4): by them the newer note's tree has
//	        another beginning than the older one. Without it, both are of one size, or the
//	        newer one is of fewer entries
//
// Two notes of one size with different roots, or two with a proof, convince anybody who has the
// log's verifier key. A note of fewer entries shows no more than that the server gave an old one.
//
// # Limits
//
// One case is kept once, however often it is shown, and MaxKept of a log: whoever can sign can
// make them without end.
package forks

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/ledger"
)

// MaxKept is how many cases are kept in one folder.
const MaxKept = 64

// The files of a case.
const (
	olderFile = "older"
	newerFile = "newer"
	proofFile = "proof"
)

// maxProof is the longest proof's file in octets: a tree of 2^63 leaves has a proof of
// some 130 hashes of 45 octets.
const maxProof = 64 << 10

// Keep keeps the proof of a fork below dir, and says in which folder. A case that is there
// already, or one more than MaxKept, is not written again; for the latter the folder is dir.
func Keep(dir string, f *ledger.ForkError) (string, error) {
	files := map[string][]byte{olderFile: f.Old.Raw, newerFile: f.New.Raw}
	if f.Proof != nil {
		var proof strings.Builder
		for _, h := range f.Proof {
			proof.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
		}
		files[proofFile] = []byte(proof.String())
	}
	return keep(dir, f.Old, f.New, files)
}

// KeepRollback keeps two notes of which the one that was shown later is of fewer entries.
func KeepRollback(dir string, older, newer ledger.Checkpoint) (string, error) {
	return keep(dir, older, newer, map[string][]byte{olderFile: older.Raw, newerFile: newer.Raw})
}

func keep(dir string, older, newer ledger.Checkpoint, files map[string][]byte) (string, error) {
	folder := filepath.Join(dir, name(older, newer))
	if _, err := os.Stat(filepath.Join(folder, newerFile)); err == nil {
		return folder, nil
	}
	kept, err := Kept(dir)
	if err != nil {
		return "", err
	}
	if len(kept) >= MaxKept {
		return dir, nil
	}
	if err := durable.MakeFolder(folder, 0o700); err != nil {
		return "", err
	}
	for _, file := range []string{olderFile, proofFile, newerFile} { // the last one makes it whole
		if b, ok := files[file]; ok {
			if err := durable.WriteFile(filepath.Join(folder, file), b, 0o600); err != nil {
				return "", err
			}
		}
	}
	return folder, nil
}

// name tells a case from all others by what was signed, whatever else the notes bear.
func name(older, newer ledger.Checkpoint) string {
	sum := sha256.Sum256(append(older.Root[:], newer.Root[:]...))
	return fmt.Sprintf("%d-%d-%s", older.Size, newer.Size, hex.EncodeToString(sum[:8]))
}

// Kept are the folders of the cases below dir.
func Kept(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if _, err := os.Stat(filepath.Join(path, newerFile)); e.IsDir() && err == nil {
			out = append(out, path)
		}
	}
	return out, err
}

// Check reads a case and says what it shows: nil that the log with this key was told
// differently to different readers, else why it does not show that.
func Check(folder string, key note.Verifier) error {
	older, err := readNote(filepath.Join(folder, olderFile), key)
	if err != nil {
		return err
	}
	newer, err := readNote(filepath.Join(folder, newerFile), key)
	if err != nil {
		return err
	}
	if older.Size == newer.Size && older.Root != newer.Root {
		return nil
	}
	if newer.Size < older.Size {
		return fmt.Errorf("a note of %d entries after one of %d: an old note, and no proof of another log", newer.Size, older.Size)
	}
	b, err := os.ReadFile(filepath.Join(folder, proofFile))
	if err != nil {
		return err
	}
	proof, err := parseProof(b)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(folder, proofFile), err)
	}
	return divides(proof, older, newer)
}

// divides checks that a proof leads to the newer root, and away from the older one.
func divides(proof tlog.TreeProof, older, newer ledger.Checkpoint) error {
	first, second, err := roots(proof, older.Size, newer.Size)
	switch {
	case err != nil:
		return err
	case second != newer.Root:
		return errors.New("the proof does not lead to the newer note's root")
	case first == older.Root:
		return errors.New("the newer note continues the older one")
	}
	return nil
}

// roots works out of which two trees' roots a proof is (RFC 9162 §2.1.4.2). Unlike there, it
// begins with the root of the newer tree's beginning also where size is a power of two.
func roots(proof tlog.TreeProof, size, newSize uint64) (first, second tlog.Hash, err error) {
	if size == 0 || size >= newSize {
		return first, second, errors.New("a proof between these sizes has no meaning")
	}
	if len(proof) == 0 {
		return first, second, errors.New("the proof is empty")
	}
	fn, sn := size-1, newSize-1
	for fn&1 == 1 {
		fn, sn = fn>>1, sn>>1
	}
	first, second = proof[0], proof[0]
	for _, h := range proof[1:] {
		if sn == 0 {
			return first, second, errors.New("the proof is too long")
		}
		if fn&1 == 1 || fn == sn {
			first, second = tlog.NodeHash(h, first), tlog.NodeHash(h, second)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			second = tlog.NodeHash(second, h)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 {
		return first, second, errors.New("the proof is too short")
	}
	return first, second, nil
}

func readNote(path string, key note.Verifier) (ledger.Checkpoint, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return ledger.Checkpoint{}, err
	}
	c, err := ledger.OpenCheckpoint(b, key)
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func parseProof(b []byte) (tlog.TreeProof, error) {
	if len(b) > maxProof {
		return nil, fmt.Errorf("%d octets are more than a proof has", len(b))
	}
	proof := tlog.TreeProof{}
	for line := range strings.Lines(string(b)) {
		h, err := tlog.ParseHash(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, err
		}
		proof = append(proof, h)
	}
	return proof, nil
}
