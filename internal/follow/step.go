package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// Step looks at the log once. It returns the list that is now in force if that is another one
// than before, else nil. An error is a *Fault, and the list in force then stays.
func (f *Follower) Step(ctx context.Context) (*filter.List, error) {
	list, err := f.step(ctx)
	if err != nil {
		e := fault(err)
		f.note(e, time.Now())
		return nil, e
	}
	f.note(nil, time.Now())
	return list, nil
}

func (f *Follower) step(ctx context.Context) (*filter.List, error) {
	if err := f.look(ctx); err != nil {
		return nil, err
	}
	epoch, found, err := f.last(ctx)
	if err != nil || !found {
		return nil, err
	}
	list, epoch, err := f.obtain(ctx, epoch)
	if err != nil {
		return nil, err
	}
	return list, f.bring(list, epoch)
}

// look reads the checkpoint and, where it continues the one that was accepted before, accepts it.
func (f *Follower) look(ctx context.Context) error {
	raw, err := f.cfg.Log.Read(ctx, ledger.CheckpointPath, ledger.MaxCheckpoint)
	if err != nil {
		return err
	}
	if f.tip.Raw != nil && bytes.Equal(raw, f.tip.Raw) {
		return nil
	}
	tip, err := ledger.OpenCheckpoint(raw, f.cfg.Key)
	if err != nil {
		return &Fault{Kind: Unsigned, Err: err}
	}
	if p := f.cfg.Witnesses; p != nil {
		if err := p.Check(tip).Err(); err != nil {
			return &Fault{Kind: Unwitnessed, Err: err}
		}
	}
	if f.tip.Size > 0 {
		if err := ledger.VerifyConsistency(ctx, f.cfg.Log, f.tip, tip); err != nil {
			return f.keep(fault(err), tip)
		}
	}
	if err := durable.WriteFile(f.path(checkpointFile), raw, 0o644); err != nil {
		return &Fault{Kind: Local, Err: err}
	}
	f.tip = tip
	return nil
}

// last finds the last epoch entry; found is false where it is the one that is in force, or
// there is none.
func (f *Follower) last(ctx context.Context) (epoch ledger.Epoch, found bool, err error) {
	if f.scanned >= f.tip.Size {
		return epoch, false, nil
	}
	epoch, err = ledger.LatestEpochSince(ctx, f.cfg.Log, f.tip, f.scanned)
	if errors.Is(err, ledger.ErrNoEpoch) {
		f.scanned = f.tip.Size
		return epoch, false, nil
	}
	if err != nil {
		return epoch, false, err
	}
	switch {
	case epoch.Size > epoch.Entry:
		err = &Fault{Kind: Altered, Err: fmt.Errorf("epoch entry %d claims to be of %d entries, more than stand before it", epoch.Entry, epoch.Size)}
	case epoch.Size < f.epoch.Size:
		err = &Fault{Kind: RolledBack, Err: fmt.Errorf("epoch entry %d brings the list of %d entries back; the one in force is of %d", epoch.Entry, epoch.Size, f.epoch.Size)}
	case epoch.Bytes > MaxList:
		err = &Fault{Kind: Altered, Err: fmt.Errorf("the list of epoch entry %d has %d octets; the most that is taken are %d", epoch.Entry, epoch.Bytes, int64(MaxList))}
	}
	return epoch, err == nil, err
}

// bring puts a list in force. Its file is on disk.
func (f *Follower) bring(list *filter.List, epoch ledger.Epoch) error {
	text, err := currentText(epoch)
	if err == nil {
		err = durable.WriteFile(f.path(currentFile), text, 0o644)
	}
	if err != nil {
		return &Fault{Kind: Local, Err: err}
	}
	f.list, f.epoch, f.scanned = list, epoch, f.tip.Size
	f.dropLists(epoch.Digest)
	return nil
}
