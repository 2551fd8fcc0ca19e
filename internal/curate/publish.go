package curate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// Where things lie in the state folder.
const (
	listFolder  = "list"
	pointerName = "current"
)

// listPath is where the compiled list with a digest lies.
func listPath(dir string, d ledger.Digest) string {
	return filepath.Join(dir, listFolder, d.String())
}

func pointerPath(dir string) string { return filepath.Join(dir, listFolder, pointerName) }

// append appends one entry and verifies the log up to it.
func (w *Writer) append(ctx context.Context, e *ledger.Entry) error {
	return w.appendAll(ctx, 1, slices.Values([]*ledger.Entry{e}))
}

// appendAll appends entries, about total of them, and verifies the log up to them.
func (w *Writer) appendAll(ctx context.Context, total uint64, entries iter.Seq[*ledger.Entry]) error {
	progress := func(done uint64) { w.progress("writing the log", done, total) }
	if _, _, err := w.log.Append(ctx, entries, progress); err != nil {
		return err
	}
	return w.tail.Advance(ctx, w.log.Source(), w.log.Verifier(), w.stage("verifying the log"))
}

// publish appends what is spooled and brings the resulting list into force. If
// the log would list what it listed before, it does nothing.
func (w *Writer) publish(ctx context.Context, sp *spool) (ledger.Epoch, error) {
	sp.seen, sp.fresh = nil, nil // of a long import they are as large as the list
	if sp.count > 0 {
		if err := errors.Join(w.appendAll(ctx, sp.count, sp.entries()), sp.failed); err != nil {
			return ledger.Epoch{}, err
		}
	}
	epoch, ok := w.epoch()
	if ok && epoch.Entry+1 == w.tail.Size() && !epoch.Map.IsZero() && epoch.Layout == filter.Version {
		return epoch, w.point(epoch)
	}
	w.progress("compiling the list", 0, 0)
	list, err := w.compile(func(out io.Writer) (filter.Digest, error) { return filter.Merge(out, w.list, w.tail) })
	if err != nil {
		return ledger.Epoch{}, fmt.Errorf("compile the list: %w", err)
	}
	root, err := w.mapList(list)
	if err != nil {
		return ledger.Epoch{}, fmt.Errorf("make the map over the list: %w", err)
	}
	err = w.append(ctx, &ledger.Entry{
		Kind: ledger.KindEpoch, Time: w.now(), Size: w.tail.Size(), Digest: w.made, Bytes: uint64(list.Bytes()), Count: list.Count(),
		Layout: filter.Version, Map: root,
	})
	if err != nil {
		return ledger.Epoch{}, err
	}
	epoch, _ = w.epoch()
	if err := w.point(epoch); err != nil {
		return epoch, err
	}
	_ = w.rebase(ctx) // the old base and what came after it say the same, in more memory
	return epoch, nil
}

// Publish brings into force what the log has beyond its last list, if anything: what
// had to wait for witnesses, or was cut off.
func (w *Writer) Publish(ctx context.Context) (ledger.Epoch, error) {
	sp, err := w.spool()
	if err != nil {
		return ledger.Epoch{}, err
	}
	defer sp.close()
	return w.publish(ctx, sp)
}

// Uncosigned says why the log's newest entries wait for witnesses, or were published
// without them; nil where all is well.
func (w *Writer) Uncosigned() error { return w.log.Uncosigned() }

// unpublished reports whether the log has more than its last list.
func (w *Writer) unpublished() bool {
	epoch, ok := w.epoch()
	return ok && epoch.Entry+1 < w.tail.Size()
}

// behind reports whether the log lists otherwise than the list in force.
func (w *Writer) behind() bool {
	if w.list == nil {
		return false
	}
	for range w.tail.CommitmentChanges() {
		return true
	}
	return w.tail.Len() > 0
}

// compile has a list written durably, names the file by its digest and opens it.
func (w *Writer) compile(write func(io.Writer) (filter.Digest, error)) (*filter.List, error) {
	temp := filepath.Join(w.cfg.Dir, listFolder, "compiling")
	var digest ledger.Digest
	err := durable.Write(temp, 0o644, func(out io.Writer) error {
		d, err := write(out)
		digest = ledger.Digest(d)
		return err
	})
	if err != nil {
		return nil, err
	}
	path := listPath(w.cfg.Dir, digest)
	if err := os.Rename(temp, path); err != nil {
		return nil, err
	}
	if err := durable.SyncFolder(filepath.Dir(temp)); err != nil {
		return nil, err
	}
	w.made = digest
	w.mark(digest)
	return filter.Open(path)
}

// point makes epoch the one in force, and drops lists older than its predecessor.
func (w *Writer) point(epoch ledger.Epoch) error {
	next := pointer{epoch: epoch.Entry}
	next.policy, next.hasPolicy = w.policyAt()
	before, err := readPointer(w.cfg.Dir)
	if err == nil && before == next {
		return nil
	}
	keep := map[string]bool{epoch.Digest.String(): true, epoch.Map.String() + mapSuffix: true, pointerName: true, markName: true}
	if err == nil {
		if old, err := w.epochAt(before.epoch); err == nil {
			keep[old.Digest.String()], keep[old.Map.String()+mapSuffix] = true, true
		}
	}
	if err := durable.WriteFile(pointerPath(w.cfg.Dir), next.text(), 0o644); err != nil {
		return err
	}
	files, err := os.ReadDir(filepath.Join(w.cfg.Dir, listFolder))
	for _, f := range files {
		if !keep[f.Name()] {
			os.Remove(filepath.Join(w.cfg.Dir, listFolder, f.Name()))
		}
	}
	return err
}

// epochAt is the epoch entry number n.
func (w *Writer) epochAt(n uint64) (*ledger.Entry, error) {
	return readEpoch(context.Background(), w.log.Source(), w.tail.Checkpoint(), n)
}

// finish completes a publication that was cut off, rebuilds the list in
// force where its file is gone or damaged, and publishes it anew where it is of another version of
// the format.
func (w *Writer) finish(ctx context.Context) error {
	epoch, ok := w.epoch()
	if !ok {
		return nil
	}
	if w.made == epoch.Digest {
		return w.point(epoch)
	}
	if epoch.Layout != filter.Version { // its list can be neither read nor rebuilt here
		_, err := w.Publish(ctx)
		return err
	}
	if err := checkFile(listPath(w.cfg.Dir, epoch.Digest), epoch.Digest, nil); err != nil {
		w.progress("rebuilding the list", 0, 0)
		if err := w.rebuild(ctx, epoch); err != nil {
			return err
		}
	}
	return w.point(epoch)
}

// rebuild compiles the list of an epoch again.
func (w *Writer) rebuild(ctx context.Context, epoch ledger.Epoch) error {
	state, err := ledger.ReplayAt(ctx, w.log.Source(), w.log.Verifier(), epoch.Size, w.stage("verifying the log"))
	if err != nil {
		return err
	}
	if _, err := w.compile(func(out io.Writer) (filter.Digest, error) { return filter.Compile(out, state) }); err != nil {
		return err
	}
	if w.made != epoch.Digest {
		return fmt.Errorf("the list of epoch entry %d compiles to digest %s; the log says %s", epoch.Entry, w.made, epoch.Digest)
	}
	return nil
}

// checkFile says whether the file at path has the digest. See filter.Sum for pause.
func checkFile(path string, want ledger.Digest, pause func()) error {
	got, err := filter.Sum(path, pause)
	if err != nil {
		return err
	}
	if ledger.Digest(got) != want {
		return fmt.Errorf("%s %w: its digest is %s", path, errDamaged, got)
	}
	return nil
}

// errDamaged says of a list's file that it is not what its digest is of.
var errDamaged = errors.New("is damaged")
