package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// entryOctets is about how long an entry with its hashes is, by which building a list from the
// log is weighed against fetching it.
const entryOctets = 400

// obtain has the list of an epoch on disk, and opens it. The epoch it returns says of the list what it
// is here.
func (f *Follower) obtain(ctx context.Context, epoch ledger.Epoch) (*filter.List, ledger.Epoch, error) {
	list, err := f.openList(epoch, f.pause) // from before a crash, or the same as another epoch's
	if err != nil && !errors.Is(err, filter.ErrVersion) {
		if epoch, err = f.make(ctx, epoch); err != nil {
			return nil, epoch, err
		}
		list, err = f.openList(epoch, f.pause)
	}
	if err != nil {
		// One that lies of its count is not kept: they would fill the disk. Nor is it fetched at every look for
		// its format.
		if !errors.Is(err, filter.ErrVersion) && epoch.Digest != f.epoch.Digest {
			os.Remove(f.listPath(epoch.Digest))
		}
		return nil, epoch, &Fault{Kind: Altered, Err: fmt.Errorf("the list of epoch entry %d: %w", epoch.Entry, err)}
	}
	at := ledger.Checkpoint{Origin: f.tip.Origin, Size: list.Epoch(), Root: list.RootHash()}
	err = ledger.VerifyConsistency(ctx, f.cfg.Log, at, f.tip)
	if fork := (*ledger.ForkError)(nil); errors.As(err, &fork) {
		os.Remove(f.listPath(epoch.Digest))
		return nil, epoch, &Fault{Kind: Altered, Err: fmt.Errorf("the list of epoch entry %d names another root for the log's first %d entries than the log has", epoch.Entry, epoch.Size)}
	}
	return list, epoch, err
}

// make has the file of an epoch's list made or fetched. The epoch it returns says of the list what it
// is here.
func (f *Follower) make(ctx context.Context, epoch ledger.Epoch) (ledger.Epoch, error) {
	if epoch.Layout != filter.Version {
		upgrade := "this node's shoji"
		if epoch.Layout < filter.Version {
			upgrade = "the operator's shoji"
		}
		if f.warned != epoch.Entry {
			f.cfg.Logger.Warn("the log's list is in another format than this program's; it is built from the log, which takes longer",
				"entry", epoch.Entry, "format", epoch.Layout, "ours", filter.Version, "upgrade", upgrade)
		}
		f.warned = epoch.Entry
		return f.build(ctx, epoch)
	}
	if f.list != nil && (epoch.Size-f.list.Epoch())*entryOctets <= epoch.Bytes || f.cfg.Lists == nil {
		return f.build(ctx, epoch)
	}
	err := f.fetch(ctx, epoch)
	switch {
	case err == nil || ctx.Err() != nil:
		return epoch, err
	case errors.Is(err, fs.ErrNotExist):
		f.cfg.Logger.Info("the list is not published; it is built from the log", "entry", epoch.Entry)
	case errors.Is(err, errOther):
		f.cfg.Logger.Warn("the list is built from the log", "entry", epoch.Entry, "cause", err)
	default:
		return epoch, err
	}
	return f.build(ctx, epoch)
}

// build builds the list of an epoch from the list in force and the entries since, in this program's
// format: where the epoch's is another one, its digest says nothing of the file.
func (f *Follower) build(ctx context.Context, epoch ledger.Epoch) (ledger.Epoch, error) {
	var base ledger.Base
	if f.list != nil {
		base = ledger.Base{Size: f.list.Epoch(), Root: f.list.RootHash()}
	}
	var digest filter.Digest
	compile := func(out io.Writer) error {
		compiled := false
		_, err := ledger.ReplayVisit(ctx, ledger.NewAhead(f.cfg.Log, f.tip.Size), f.tip, base, nil, func(n uint64, _ *ledger.Entry, before *ledger.Tail) (err error) {
			if n == epoch.Size {
				digest, err = filter.Merge(out, f.list, before)
				compiled = err == nil
			}
			return err
		})
		if err == nil && (!compiled || (ledger.Digest(digest) == epoch.Digest) != (epoch.Layout == filter.Version)) {
			err = &Fault{Kind: Altered, Err: fmt.Errorf("epoch entry %d says that the list has the digest %s in format %d; what the log says adds up to %s in format %d",
				epoch.Entry, epoch.Digest, epoch.Layout, digest, filter.Version)}
		}
		return err
	}
	var cause error
	part := f.listPath(epoch.Digest) + partSuffix
	err := durable.Write(part, 0o644, func(out io.Writer) error {
		cause = compile(out)
		return cause
	})
	if cause != nil {
		return epoch, cause
	}
	if err != nil {
		return epoch, &Fault{Kind: Local, Err: err}
	}
	info, err := os.Stat(part)
	if err != nil {
		return epoch, &Fault{Kind: Local, Err: err}
	}
	epoch.Digest, epoch.Bytes, epoch.Layout = ledger.Digest(digest), uint64(info.Size()), filter.Version
	return epoch, f.place(part, epoch.Digest)
}

// place gives a list that is whole the name of its digest.
func (f *Follower) place(part string, digest ledger.Digest) error {
	path := f.listPath(digest)
	err := os.Rename(part, path)
	if err == nil {
		err = durable.SyncFolder(filepath.Dir(path))
	}
	if err != nil {
		return &Fault{Kind: Local, Err: err}
	}
	return nil
}

// errOther says that what came is not what was asked for.
var errOther = errors.New("not the list that the epoch entry names")

// fetch fetches the list of an epoch, from where an earlier try ended.
func (f *Follower) fetch(ctx context.Context, epoch ledger.Epoch) error {
	part := f.listPath(epoch.Digest) + partSuffix
	if err := f.download(ctx, epoch, part); err != nil {
		if errors.Is(err, errOther) || errors.Is(err, fs.ErrNotExist) {
			os.Remove(part)
		}
		return err
	}
	return f.place(part, epoch.Digest)
}

// download fills a file with a list, checks it and syncs it.
func (f *Follower) download(ctx context.Context, epoch ledger.Epoch, path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return &Fault{Kind: Local, Err: err}
	}
	defer file.Close()
	at, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return &Fault{Kind: Local, Err: err}
	}
	if at > int64(epoch.Bytes) {
		return fmt.Errorf("%w: %d octets of %d", errOther, at, epoch.Bytes)
	}
	if at < int64(epoch.Bytes) {
		if err := f.cfg.Lists.Fetch(ctx, epoch.Digest, at, int64(epoch.Bytes), file); err != nil {
			return err
		}
	}
	sum, err := filter.Sum(path, f.pause)
	if err != nil {
		return &Fault{Kind: Local, Err: err}
	}
	if ledger.Digest(sum) != epoch.Digest {
		return fmt.Errorf("%w: its digest is %s", errOther, sum)
	}
	if err := file.Sync(); err != nil {
		return &Fault{Kind: Local, Err: err}
	}
	return nil
}
