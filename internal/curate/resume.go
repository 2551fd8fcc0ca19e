package curate

import (
	"context"
	"fmt"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// resume makes the list in force the writer's base, so that only what the log
// has beyond it need be read. It is taken for what the log's beginning adds up
// to because the log itself says so: the file has the digest of an epoch entry
// that the signed checkpoint commits to, and its header names the root hash that
// the log's tiles must have at that size. Where anything is missing or does not
// fit, the whole log is replayed.
func (w *Writer) resume(ctx context.Context) error {
	err := w.rebase(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	w.tail, err = ledger.ReplayTail(ctx, w.log.Source(), w.log.Verifier(), ledger.Base{}, w.stage("verifying the log"))
	return err
}

// rebase makes the list in force the writer's base. After an error the base is
// what it was.
func (w *Writer) rebase(ctx context.Context) error {
	list, base, policy, err := w.base(ctx)
	if err != nil {
		return err
	}
	tail, err := ledger.ReplayTail(ctx, w.log.Source(), w.log.Verifier(), base, w.stage("verifying the log"))
	if err != nil {
		return err
	}
	w.list, w.tail, w.policyEntry = list, tail, policy
	return nil
}

// base is the list in force, what of the log it is, and the number of the policy
// entry that was in force then.
func (w *Writer) base(ctx context.Context) (*filter.List, ledger.Base, uint64, error) {
	var none ledger.Base
	at, err := readPointer(w.cfg.Dir)
	if err != nil {
		return nil, none, 0, err
	}
	tip, err := w.log.Checkpoint(ctx)
	if err != nil {
		return nil, none, 0, err
	}
	epoch, err := readEpoch(ctx, w.log.Source(), tip, at.epoch)
	if err != nil {
		return nil, none, 0, err
	}
	if !at.hasPolicy || at.policy >= epoch.Size {
		return nil, none, 0, fmt.Errorf("%s does not say which policy was in force", pointerPath(w.cfg.Dir))
	}
	policy, err := ledger.ReadEntry(ctx, w.log.Source(), tip, at.policy)
	if err != nil {
		return nil, none, 0, err
	}
	if policy.Kind != ledger.KindPolicy {
		return nil, none, 0, fmt.Errorf("entry %d is of kind %s and not a policy", at.policy, policy.Kind)
	}
	path := listPath(w.cfg.Dir, epoch.Digest)
	if w.made != epoch.Digest { // else this writer has just written it
		w.progress("checking the list", 0, 0)
		if err := checkFile(path, epoch.Digest, nil); err != nil {
			return nil, none, 0, err
		}
		w.mark(epoch.Digest)
	}
	list, err := filter.Open(path)
	if err != nil {
		return nil, none, 0, err
	}
	if list.Epoch() != epoch.Size {
		return nil, none, 0, fmt.Errorf("%s is of %d entries, and its epoch entry %d says %d", path, list.Epoch(), at.epoch, epoch.Size)
	}
	w.made = epoch.Digest
	return list, ledger.Base{Size: epoch.Size, Root: list.RootHash(), Policy: policy.Policy}, at.policy, nil
}

// policyAt is the number of the policy entry in force; false if there is none.
func (w *Writer) policyAt() (uint64, bool) {
	if n, ok := w.tail.PolicyEntry(); ok {
		return n, true
	}
	return w.policyEntry, w.list != nil
}

// epoch is the last epoch entry of the log; false if there is none. It is never
// before the tail: a list's epoch entry follows the entries that it was compiled from.
func (w *Writer) epoch() (ledger.Epoch, bool) { return w.tail.Epoch() }

// listed reports whether exactly s is on the list.
func (w *Writer) listed(s Subject) bool {
	_, ok := w.entryOf(s)
	return ok
}
