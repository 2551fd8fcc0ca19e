package sequence

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/ledger"
	"golang.org/x/mod/sumdb/note"
)

// The driver's own files: the tree that is stored, which is the checkpoint's or
// a later one.
const (
	stateFolder = ".state"
	treeFile    = ".state/treeState"
)

// treeState is the driver's record of the tree that is stored.
type treeState struct {
	Size uint64 `json:"size"`
	Root []byte `json:"root"`
}

// checkpointSize reads the size from a checkpoint.
func checkpointSize(text []byte) (uint64, error) {
	lines := strings.SplitN(string(text), "\n", 3)
	if len(lines) < 3 {
		return 0, errors.New("not a checkpoint")
	}
	return strconv.ParseUint(lines[1], 10, 63)
}

// recover makes sure that what the driver builds on is whole and continues the
// checkpoint, whatever a crash or a hand left there.
func (l *Log) recover(ctx context.Context) error {
	c, err := ledger.ReadCheckpoint(ctx, l.source, l.log)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l.recoverNew()
	case err != nil:
		return fmt.Errorf("%w; restore this file from a mirror or a backup that has the newest", err)
	}
	text, _, _ := bytes.Cut(c.Raw, []byte("\n\n"))
	l.signer.remember(c.Size, string(text)+"\n")
	ts, err := l.readTree()
	if err == nil {
		err = l.checkTree(ctx, c, ts)
	}
	if err == nil {
		l.size.Store(ts.Size)
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if edge := ledger.CheckEdge(ctx, l.source, c.Size, c.Root); edge != nil {
		return l.nameDamage(ctx, edge)
	}
	l.cfg.Logger.Warn("the log's driver state was made anew from the checkpoint", "log", l.dir, "entries", c.Size, "was", err)
	l.size.Store(c.Size)
	return l.writeTree(treeState{c.Size, c.Root[:]})
}

// recoverNew starts a log, or goes on where its first start ended.
func (l *Log) recoverNew() error {
	ts, err := l.readTree()
	if err == nil && ts.Size > 0 {
		return fmt.Errorf("%s is missing, and %d entries are there: restore this file from a mirror or a backup that has the newest",
			filepath.Join(l.dir, ledger.CheckpointPath), ts.Size)
	}
	if _, err := os.Stat(filepath.Join(l.dir, "tile")); err == nil {
		return fmt.Errorf("%s is missing, and entries are there: restore this file from a mirror or a backup that has the newest",
			filepath.Join(l.dir, ledger.CheckpointPath))
	}
	empty := ledger.EmptyRoot()
	if err != nil {
		if err := l.writeTree(treeState{0, empty[:]}); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("%s\n0\n%s\n", l.log.Name(), base64.StdEncoding.EncodeToString(empty[:]))
	c, err := note.Sign(&note.Note{Text: text}, l.signer.next())
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(l.dir, ledger.CheckpointPath), c, 0o644)
}

func (l *Log) readTree() (treeState, error) {
	var ts treeState
	b, err := os.ReadFile(filepath.Join(l.dir, treeFile))
	if err != nil {
		return ts, err
	}
	if err := json.Unmarshal(b, &ts); err != nil {
		return ts, fmt.Errorf("%s: %w", treeFile, err)
	}
	if len(ts.Root) != 32 {
		return ts, fmt.Errorf("%s: a root hash of %d octets", treeFile, len(ts.Root))
	}
	return ts, nil
}

func (l *Log) writeTree(ts treeState) error {
	b, err := json.Marshal(ts)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(l.dir, treeFile), b, 0o644)
}

// checkTree checks that the stored tree is whole and continues the checkpoint.
func (l *Log) checkTree(ctx context.Context, c ledger.Checkpoint, ts treeState) error {
	stored := ledger.Checkpoint{Origin: c.Origin, Size: ts.Size, Root: [32]byte(ts.Root)}
	if err := ledger.CheckEdge(ctx, l.source, stored.Size, stored.Root); err != nil {
		return err
	}
	return ledger.VerifyConsistency(ctx, l.source, c, stored)
}

// nameDamage finds the file that is at fault where the log's edge is not whole.
func (l *Log) nameDamage(ctx context.Context, edge error) error {
	if d := (*ledger.DamageError)(nil); errors.As(edge, &d) {
		return edge
	}
	if _, err := ledger.Replay(ctx, l.source, l.log, nil); err != nil {
		return err
	}
	return edge
}
