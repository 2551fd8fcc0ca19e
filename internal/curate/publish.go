package curate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// Where things lie in the state folder.
const (
	listFolder  = "list"
	pointerName = "current"
)

func policyDigest() ledger.Digest { return sha256.Sum256([]byte(policyText)) }

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
	return w.state.Advance(ctx, w.log.Source(), w.log.Verifier(), w.stage("verifying the log"))
}

// publish appends what is spooled and brings the resulting list into force. If
// the log would list what it listed before, it does nothing.
func (w *Writer) publish(ctx context.Context, sp *spool) (ledger.Epoch, error) {
	if sp.count > 0 {
		if err := errors.Join(w.appendAll(ctx, sp.count, sp.entries()), sp.failed); err != nil {
			return ledger.Epoch{}, err
		}
	}
	epoch, ok := w.state.Epoch()
	if ok && epoch.Entry+1 == w.state.Size() {
		return epoch, w.point(epoch)
	}
	w.progress("compiling the list", 0, 0)
	digest, size, err := w.compile(w.state)
	if err != nil {
		return ledger.Epoch{}, fmt.Errorf("compile the list: %w", err)
	}
	err = w.append(ctx, &ledger.Entry{
		Kind: ledger.KindEpoch, Time: w.now(), Size: w.state.Size(), Digest: digest, Bytes: size, Count: uint64(w.state.Len()),
	})
	if err != nil {
		return ledger.Epoch{}, err
	}
	epoch, _ = w.state.Epoch()
	return epoch, w.point(epoch)
}

// compile writes the list of a state durably, under its digest.
func (w *Writer) compile(state *ledger.State) (ledger.Digest, uint64, error) {
	temp := filepath.Join(w.cfg.Dir, listFolder, "compiling")
	var digest ledger.Digest
	err := durable.Write(temp, 0o644, func(out io.Writer) error {
		d, err := filter.Compile(out, state)
		digest = ledger.Digest(d)
		return err
	})
	if err != nil {
		return digest, 0, err
	}
	info, err := os.Stat(temp)
	if err != nil {
		return digest, 0, err
	}
	if err := os.Rename(temp, listPath(w.cfg.Dir, digest)); err != nil {
		return digest, 0, err
	}
	return digest, uint64(info.Size()), durable.SyncFolder(filepath.Dir(temp))
}

// point makes epoch the one in force, and drops lists older than its predecessor.
func (w *Writer) point(epoch ledger.Epoch) error {
	before, err := readPointer(w.cfg.Dir)
	if err == nil && before == epoch.Entry {
		return nil
	}
	keep := map[string]bool{epoch.Digest.String(): true, pointerName: true}
	if err == nil {
		if old, err := w.epochAt(before); err == nil {
			keep[old.Digest.String()] = true
		}
	}
	text := strconv.FormatUint(epoch.Entry, 10) + "\n"
	if err := durable.WriteFile(pointerPath(w.cfg.Dir), []byte(text), 0o644); err != nil {
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
	return readEpoch(context.Background(), w.log.Source(), w.state.Checkpoint(), n)
}

// finish completes a publication that was cut off, and rebuilds the list in
// force where its file is gone or damaged.
func (w *Writer) finish(ctx context.Context) error {
	epoch, ok := w.state.Epoch()
	if !ok {
		return nil
	}
	if err := checkFile(listPath(w.cfg.Dir, epoch.Digest), epoch.Digest); err != nil {
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
	digest, _, err := w.compile(state)
	if err != nil {
		return err
	}
	if digest != epoch.Digest {
		return fmt.Errorf("the list of epoch entry %d compiles to digest %s; the log says %s", epoch.Entry, digest, epoch.Digest)
	}
	return nil
}

// checkFile says whether the file at path has the digest.
func checkFile(path string, want ledger.Digest) error {
	got, err := filter.Sum(path)
	if err != nil {
		return err
	}
	if ledger.Digest(got) != want {
		return fmt.Errorf("%s is damaged: its digest is %s", path, got)
	}
	return nil
}
