package sequence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/ledger"
)

// recover makes sure that what the driver builds on is whole and continues what
// was signed, whatever a crash or a hand left there.
func (l *Log) recover(ctx context.Context) error {
	err := l.readPublished(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return l.recoverNew(ctx)
	}
	if err != nil {
		return err
	}
	l.fetched = l.published.Size
	if err := l.readSigned(ctx); err != nil {
		return err
	}
	ts, err := l.storage.tree(ctx)
	if err == nil {
		err = l.checkTree(ctx, ts)
	}
	if err != nil && l.cfg.Database != "" && ctx.Err() == nil { // the copy may be what is damaged
		l.cfg.Logger.Warn("the log's folder is made anew from the database", "log", l.dir, "was", err)
		l.fetched = 0
		if ts, err = l.storage.tree(ctx); err == nil {
			err = l.checkTree(ctx, ts)
		}
	}
	if err == nil {
		l.size.Store(ts.Size)
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	signed := l.signed
	if edge := ledger.CheckEdge(ctx, l.source, signed.Size, signed.Root); edge != nil {
		return l.nameDamage(ctx, edge)
	}
	if err := l.storage.mend(ctx, treeState{signed.Size, signed.Root[:]}); err != nil {
		return err
	}
	l.cfg.Logger.Warn("the log's driver state was made anew from the checkpoint", "log", l.storage.place(), "entries", signed.Size, "was", err)
	l.size.Store(signed.Size)
	return nil
}

// readPublished reads the newest checkpoint that was published: the folder's or, where
// that was lost or is of an earlier one, the one that the storage remembers.
func (l *Log) readPublished(ctx context.Context) error {
	here, err := ledger.ReadCheckpoint(ctx, l.source, l.log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; restore this file from a mirror or a backup that has the newest", err)
	}
	raw, failed := l.storage.checkpoint(ctx)
	switch {
	case failed != nil:
		return failed
	case raw == nil:
		l.published, l.signed = here, here
		return err
	}
	kept, failed := ledger.OpenCheckpoint(raw, l.log)
	if failed != nil {
		return fmt.Errorf("the checkpoint in %s: %w", l.storage.place(), failed)
	}
	if err != nil || kept.Size > here.Size {
		if failed := l.storage.fetch(ctx, here.Size, kept.Size); failed != nil {
			return failed
		}
		if failed := durable.WriteFile(filepath.Join(l.dir, ledger.CheckpointPath), raw, 0o644); failed != nil {
			return failed
		}
		here = kept
	}
	l.published, l.signed = here, here
	return nil
}

// readSigned reads the checkpoint that witnesses were asked to cosign last, where
// it was not published since.
func (l *Log) readSigned(ctx context.Context) error {
	path := filepath.Join(l.cfg.Dir, signedFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := ledger.OpenCheckpoint(raw, l.log)
	if err != nil {
		return fmt.Errorf("%s: %w; witnesses may have seen a checkpoint that is lost: restore this file from a backup, or remove it if there are no witnesses", path, err)
	}
	if c.Size > l.published.Size {
		l.signed = c
	}
	return nil
}

// recoverNew starts a log, or goes on where its first start ended.
func (l *Log) recoverNew(ctx context.Context) error {
	ts, err := l.storage.tree(ctx)
	if err == nil && ts.Size > 0 || hasTiles(l.dir) {
		return fmt.Errorf("%s is missing, and entries are there: restore this file from a mirror or a backup that has the newest",
			filepath.Join(l.dir, ledger.CheckpointPath))
	}
	empty := ledger.EmptyRoot()
	if err != nil {
		if err := l.storage.mend(ctx, treeState{0, empty[:]}); err != nil {
			return err
		}
	}
	c := ledger.Checkpoint{Origin: l.log.Name(), Root: empty}
	if c.Raw, err = signTree(l.signer, c); err != nil {
		return err
	}
	if err := errors.Join(l.storage.publish(ctx, c.Raw), durable.WriteFile(filepath.Join(l.dir, ledger.CheckpointPath), c.Raw, 0o644)); err != nil {
		return err
	}
	l.published, l.signed = c, c
	return nil
}

// checkTree checks that the stored tree is whole, here, and continues what was signed.
func (l *Log) checkTree(ctx context.Context, ts treeState) error {
	stored := ledger.Checkpoint{Origin: l.log.Name(), Size: ts.Size, Root: [32]byte(ts.Root)}
	if stored.Size < l.signed.Size {
		return fmt.Errorf("%d entries are stored, and a checkpoint of %d was signed", stored.Size, l.signed.Size)
	}
	if err := l.storage.fetch(ctx, l.fetched, stored.Size); err != nil {
		return err
	}
	l.fetched = stored.Size
	if err := ledger.CheckEdge(ctx, l.source, stored.Size, stored.Root); err != nil {
		return err
	}
	return ledger.VerifyConsistency(ctx, l.source, l.signed, stored)
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
