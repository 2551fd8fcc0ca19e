package sequence

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/ledger"
	"golang.org/x/mod/sumdb/note"
)

// Cosigner gets the cosignatures that a checkpoint has to bear.
type Cosigner interface {
	// Cosign returns a signed checkpoint with the cosignatures that it could get,
	// and an error if they are too few. An error that has the method Conflict() bool
	// and returns true says that a witness has seen another log.
	Cosign(ctx context.Context, signed []byte, key note.Verifier, log ledger.Source) ([]byte, error)
	// Enough is nil for a checkpoint that bears all that it has to.
	Enough(signed []byte) error
}

// ErrUncosigned says that entries are stored and that too few witnesses cosigned
// the checkpoint over them, so that it is not published.
var ErrUncosigned = errors.New("too few witnesses cosigned; a running shoji serve asks them again, and shoji log publish does at once")

// cosignPause is how long witnesses are left alone before they are asked again;
// twice as long each time.
const cosignPause = time.Second

// publish publishes a checkpoint over all that is stored, unless one is there.
// It asks the witnesses once or, with patience, again until PublishTimeout or the
// end of ctx.
func (l *Log) publish(ctx context.Context, patience bool) error {
	size := l.size.Load()
	if size == l.published.Size && l.enough(l.published) == nil {
		l.uncosigned = nil
		return nil
	}
	end := time.Now().Add(l.cfg.PublishTimeout)
	if err := l.await(ctx, l.shown.Add(l.cfg.CheckpointInterval)); err != nil {
		return err
	}
	// What is stored is to be published, even if the caller gives up.
	steady := context.WithoutCancel(ctx)
	if err := l.storage.fetch(steady, l.fetched, size); err != nil {
		return err
	}
	l.fetched = size
	signed, err := l.sign(steady, size)
	if err != nil {
		return err
	}
	c, err := l.cosign(ctx, signed, patience, end)
	if err != nil {
		return err
	}
	return l.show(steady, c)
}

// await waits for a moment; the end of ctx ends the wait and is no error.
func (l *Log) await(ctx context.Context, at time.Time) error {
	wait := time.NewTimer(time.Until(at))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
	return nil
}

// sign signs the tree of all that is stored, which continues what was signed before.
func (l *Log) sign(ctx context.Context, size uint64) (ledger.Checkpoint, error) {
	ts, err := l.storage.tree(ctx)
	if err != nil {
		return ledger.Checkpoint{}, err
	}
	if ts.Size != size {
		l.broken = fmt.Errorf("%d entries are stored where %d should be: something else writes to %s", ts.Size, size, l.storage.place())
		return ledger.Checkpoint{}, l.broken
	}
	next := ledger.Checkpoint{Origin: l.log.Name(), Size: size, Root: [32]byte(ts.Root)}
	if err := ledger.VerifyConsistency(ctx, l.source, l.signed, next); err != nil {
		return ledger.Checkpoint{}, fmt.Errorf("what is stored does not continue what was signed: %w", err)
	}
	if next.Raw, err = signTree(l.signer, next); err != nil {
		return ledger.Checkpoint{}, err
	}
	// A checkpoint that witnesses have seen binds the log, published or not.
	if l.cfg.Witnesses != nil && size > 0 {
		if err := durable.WriteFile(filepath.Join(l.cfg.Dir, signedFile), next.Raw, 0o644); err != nil {
			return ledger.Checkpoint{}, err
		}
	}
	l.signed = next
	return next, nil
}

func signTree(signer note.Signer, c ledger.Checkpoint) ([]byte, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
	return note.Sign(&note.Note{Text: text}, signer)
}

// enough is nil for a checkpoint that bears the cosignatures that it has to. An
// empty log needs none: nothing of it can be in force.
func (l *Log) enough(c ledger.Checkpoint) error {
	if l.cfg.Witnesses == nil || c.Size == 0 {
		return nil
	}
	return l.cfg.Witnesses.Enough(c.Raw)
}

// cosign gets the cosignatures of a checkpoint.
func (l *Log) cosign(ctx context.Context, c ledger.Checkpoint, patience bool, end time.Time) (ledger.Checkpoint, error) {
	if l.enough(c) == nil {
		l.uncosigned = nil
		return c, nil
	}
	for pause := cosignPause; ; pause *= 2 {
		raw, err := l.cfg.Witnesses.Cosign(context.WithoutCancel(ctx), c.Raw, l.log, l.source)
		if err == nil {
			c.Raw, l.uncosigned = raw, nil
			return c, nil
		}
		conflict := conflicts(err)
		l.uncosigned = fmt.Errorf("log entries %d to %d are stored and not in force: %w: %w", l.published.Size, c.Size-1, ErrUncosigned, err)
		if c.Size == l.published.Size || l.cfg.WithoutWitnesses && !conflict {
			l.uncosigned = fmt.Errorf("the log of %d entries is published: %w: %w", c.Size, ErrUncosigned, err)
		}
		switch {
		case l.cfg.WithoutWitnesses && !conflict:
			l.cfg.Logger.Error("a checkpoint is published without the cosignatures that the witness policy asks for", "entries", c.Size, "cause", err)
			c.Raw = raw
			return c, nil
		case conflict, !patience, ctx.Err() != nil, time.Now().Add(pause).After(end):
			return c, l.uncosigned
		}
		if err := l.await(ctx, time.Now().Add(pause)); err != nil {
			return c, err
		}
	}
}

// conflicts reports whether a Cosigner's error says that a witness has seen another log.
func conflicts(err error) bool {
	var c interface{ Conflict() bool }
	return errors.As(err, &c) && c.Conflict()
}

// show puts a checkpoint in its place.
func (l *Log) show(ctx context.Context, c ledger.Checkpoint) error {
	before := l.published
	if before.Size == c.Size && bytes.Equal(before.Raw, c.Raw) {
		return nil
	}
	if err := l.storage.publish(ctx, c.Raw); err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(l.dir, ledger.CheckpointPath), c.Raw, 0o644); err != nil {
		return fmt.Errorf("no checkpoint of %d entries was published: %w", c.Size, err)
	}
	l.published, l.shown = c, time.Now()
	l.removePartial(before.Size, c.Size)
	if l.uncosigned == nil {
		return durable.Remove(filepath.Join(l.cfg.Dir, signedFile))
	}
	return nil
}

// Uncosigned says why the log's newest entries are not published, or are published
// without the cosignatures that they should have; nil where all is well.
func (l *Log) Uncosigned() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.uncosigned
}
