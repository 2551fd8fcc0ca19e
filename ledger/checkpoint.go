package ledger

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is a log's signed tip, its signature verified.
type Checkpoint struct {
	Origin string
	Size   uint64 // entries
	Root   [32]byte
	Raw    []byte // the note as it was signed: evidence, should the log fork
}

// MaxCheckpoint is the longest note that OpenCheckpoint reads: a body of three
// lines and room for 32 cosignatures of ML-DSA-44, or 100, the most that a note may have, of Ed25519.
const MaxCheckpoint = 128 << 10

// OpenCheckpoint verifies and reads a checkpoint (https://c2sp.org/tlog-checkpoint)
// that log's key signed. The key's name is the origin that it must have.
func OpenCheckpoint(raw []byte, log note.Verifier) (Checkpoint, error) {
	if len(raw) > MaxCheckpoint {
		return Checkpoint{}, fmt.Errorf("a checkpoint of %d octets; the longest is %d", len(raw), MaxCheckpoint)
	}
	n, err := note.Open(raw, note.VerifierList(log))
	if err != nil {
		return Checkpoint{}, openError(err, log)
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != log.Name() {
		return Checkpoint{}, fmt.Errorf("the checkpoint is of log %q; the key is of log %q", c.Origin, log.Name())
	}
	c.Raw = raw
	return c, nil
}

// ErrNoNote says that what stands in a checkpoint's place is no signed note at all.
var ErrNoNote = errors.New("no signed note")

func openError(err error, log note.Verifier) error {
	unverified, invalid := (*note.UnverifiedNoteError)(nil), (*note.InvalidSignatureError)(nil)
	switch {
	case errors.As(err, &unverified):
		return fmt.Errorf("not signed by the key %s+%08x: %w", log.Name(), log.KeyHash(), err)
	case errors.As(err, &invalid):
		return err
	}
	return fmt.Errorf("%w: %w", ErrNoNote, err)
}

func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 || lines[0] == "" {
		return Checkpoint{}, errors.New("a checkpoint without origin, size and root hash")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("%q is not a checkpoint's size", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, fmt.Errorf("%q is not a checkpoint's root hash", lines[2])
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: [32]byte(root)}, nil
}

// tree is what the checkpoint commits to, as package tlog writes it.
func (c *Checkpoint) tree() tlog.Tree {
	return tlog.Tree{N: int64(c.Size), Hash: c.Root}
}
