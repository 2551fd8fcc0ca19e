// Package follow keeps a node's list the one that an operator's public log says. A node needs
// the log's address and verifier key, and nothing else of the operator: it believes neither
// the web server nor the caches on the way, and of the operator only what cannot be taken back.
//
// # A step
//
//  1. The checkpoint is read, and the log's signature on it verified; with a policy for
//     witnesses, their cosignatures too.
//  2. It must continue the newest checkpoint that this node ever accepted, by the tiles of the
//     log. Then it is on disk before anything follows from it.
//  3. The last epoch entry is looked for among the entries that are new, each verified by its
//     tile and those above it up to the checkpoint's root.
//  4. Its list is built from the list in force and the new entries, where these are the
//     smaller part: then the node itself knows that the log adds up to it. Else it is fetched
//     by its digest, and where it is not published or not what it should be, it is built from
//     the log. Its header must name the root that the log has at its size. Where the epoch's list
//     is in another format than this program's, it is always built, in the program's own; its digest is then
//     another one, and what the log adds up to is the same.
//  5. The file is on disk, then the note that it is in force; then it is swapped in.
//
// After any fault the list in force stays, also over a restart: a node starts with what it has
// and without the network.
//
// # Folder
//
//	key              the log's verifier key
//	checkpoint       the newest checkpoint that was accepted
//	current          the epoch entry in force, as JSON, with the digest, length and format of the list as it is here
//	list/DIGEST      its compiled list
//	list/DIGEST.part what came of one so far: the next try goes on there
//	forks/           proofs that the log forked (package forks)
//	rollbacks/       older checkpoints that were shown after newer ones
//	damaged/         what stood in the place of the checkpoint and was none
//
// A checkpoint that is damaged is kept, and the node goes on from its list in force, which names a size of
// the log and the root there: what is shown next must continue that. What was accepted after that list is
// forgotten, so that a rollback or fork there would not be seen; Status says so until a person
// removes the folder.
//
// # Limits and known faults
//
// A list that was fetched is what the epoch entry says and, as far as a node looks, not what the
// log adds up to: shoji verify looks. MaxList octets. A server that goes on showing the same
// checkpoint cannot be told from a log in which nothing happens, and one that says nothing not
// from a network that is down; a cache that knows two checkpoints of one second by their times
// alone may show the first until there is a third. Status says of what time the list is, and
// when the log was last seen. Building a list takes the processor in one piece but where it
// reads, and begins anew where it was cut off. Two processes may follow in one folder; what one
// spoils of the other's download is fetched again.
//
// A Follower is of one log, in a folder of its own: a node that follows several has one for each, so that
// a fault of one log stops that one alone, and joins their lists (filter.Join).
package follow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/forks"
	"github.com/shoji-dns/shoji/ledger"
)

// MaxList is the longest compiled list that is taken, in octets: some 100 million names.
const MaxList = 4 << 30

// Where things lie in the folder.
const (
	keyFile        = "key"
	checkpointFile = "checkpoint"
	currentFile    = "current"
	listFolder     = "list"
	forkFolder     = "forks"
	rollbackFolder = "rollbacks"
	damagedFolder  = "damaged"
	partSuffix     = ".part"
)

// Folder is where below a state folder the log with a verifier key is followed.
func Folder(state, vkey string) string {
	sum := sha256.Sum256([]byte(vkey))
	return filepath.Join(state, "follow", hex.EncodeToString(sum[:8]))
}

// DamagedFolder is where below a state folder damaged checkpoints of this log are kept.
func DamagedFolder(state, vkey string) string {
	return filepath.Join(Folder(state, vkey), damagedFolder)
}

// ForkFolder is where below a state folder the proofs are that this log forked.
func ForkFolder(state, vkey string) string { return filepath.Join(Folder(state, vkey), forkFolder) }

// Lists is where compiled lists are fetched from.
type Lists interface {
	// Fetch writes the list with a digest to out, from an octet on and up to size in all. A
	// list that is not published is an error that wraps fs.ErrNotExist.
	Fetch(ctx context.Context, digest ledger.Digest, from, size int64, out io.Writer) error
}

// Config is what a Follower needs.
type Config struct {
	Dir       string // the node's folder for this log; it is made
	Log       ledger.Source
	Lists     Lists // nil: they are built from the log
	Key       note.Verifier
	VKey      string                // the same as text
	Witnesses *ledger.WitnessPolicy // what a checkpoint must have of cosignatures; nil: none
	Every     time.Duration         // between two looks at the log
	Logger    *slog.Logger          // nil: nobody
}

// Follower follows one log. Step and Run are for one goroutine; the others for any.
type Follower struct {
	cfg   Config
	pause func() // between slices of long work

	tip     ledger.Checkpoint // the newest that was accepted
	list    *filter.List      // in force
	epoch   ledger.Epoch      // of list as it is here, or of the list that was in force and cannot be used
	scanned uint64            // entries among which no epoch is but that one
	warned  uint64            // the last epoch entry whose list's format was warned of
	damage  error             // what is wrong with the checkpoint that was on disk

	mu     sync.Mutex
	status Status
}

// Open makes a folder ready to follow into, and reads what it holds. It asks nobody.
func Open(cfg Config) (*Follower, error) {
	lists := filepath.Join(cfg.Dir, listFolder)
	if err := durable.MakeFolder(lists, 0o755); err != nil {
		return nil, err
	}
	if err := errors.Join(durable.RemoveLeftovers(cfg.Dir), durable.RemoveLeftovers(lists)); err != nil {
		return nil, err
	}
	if err := durable.WriteFile(filepath.Join(cfg.Dir, keyFile), []byte(cfg.VKey+"\n"), 0o644); err != nil {
		return nil, err
	}
	f, err := Read(cfg)
	if err != nil || f.damage == nil {
		return f, err
	}
	return f, f.putAside()
}

// putAside keeps a damaged checkpoint as evidence, and makes room for the next one.
func (f *Follower) putAside() error {
	from, folder := f.path(checkpointFile), f.path(damagedFolder)
	if err := durable.MakeFolder(folder, 0o755); err != nil {
		return err
	}
	b, err := os.ReadFile(from)
	name := "unreadable"
	if err == nil {
		sum := sha256.Sum256(b)
		name = hex.EncodeToString(sum[:8])
	}
	if err := os.Rename(from, filepath.Join(folder, name)); err != nil {
		return err
	}
	if err := errors.Join(durable.SyncFolder(folder), durable.SyncFolder(f.cfg.Dir)); err != nil {
		return err
	}
	f.mu.Lock()
	f.status.Damaged = f.damaged()
	f.mu.Unlock()
	f.cfg.Logger.Error("the checkpoint of the log that is followed was damaged; the list in force stays, and the log must continue it",
		"cause", f.damage, "kept", filepath.Join(folder, name), "mend", "look at the disk, hold the log against what others saw (shoji verify), then remove the folder "+folder)
	return nil
}

// damaged counts the damaged checkpoints that are kept.
func (f *Follower) damaged() int {
	kept, err := os.ReadDir(f.path(damagedFolder))
	if err != nil {
		return 0
	}
	return len(kept)
}

// Read reads what a folder holds into which another process may follow. It writes nothing.
func Read(cfg Config) (*Follower, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Follower{cfg: cfg, pause: func() { time.Sleep(breath) }}
	if err := f.load(); err != nil {
		return nil, err
	}
	kept, err := forks.Kept(f.path(forkFolder))
	f.status = Status{Kind: Waiting, Forks: len(kept), Damaged: f.damaged(), Size: f.tip.Size}
	if f.damage != nil && f.status.Damaged == 0 {
		f.status.Damaged = 1 // which whoever follows here will keep
	}
	f.setEpoch()
	return f, err
}

// breath is how long the processor is left to others between two slices of a list that is
// summed: without it, a server with one processor answers nobody for 10 ms at a time.
const breath = 100 * time.Microsecond

func (f *Follower) path(name ...string) string {
	return filepath.Join(append([]string{f.cfg.Dir}, name...)...)
}

func (f *Follower) listPath(d ledger.Digest) string { return f.path(listFolder, d.String()) }

// load reads checkpoint and list. Where the checkpoint is damaged, or none is there though a
// damaged one was put aside, the list in force takes its place.
func (f *Follower) load() error {
	raw, err := os.ReadFile(f.path(checkpointFile))
	switch {
	case err == nil:
		f.tip, err = ledger.OpenCheckpoint(raw, f.cfg.Key)
	case errors.Is(err, fs.ErrPermission):
		return err
	case errors.Is(err, fs.ErrNotExist) && f.damaged() == 0:
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.damage = fmt.Errorf("%s is damaged: %w", f.path(checkpointFile), err)
	}
	if err := f.loadList(); err != nil {
		return err
	}
	if f.tip.Raw == nil && f.list != nil {
		f.tip = ledger.Checkpoint{Origin: f.cfg.Key.Name(), Size: f.list.Epoch(), Root: f.list.RootHash()}
	}
	return nil
}

// loadList reads the list in force.
func (f *Follower) loadList() error {
	b, err := os.ReadFile(f.path(currentFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	epoch, err := parseCurrent(b)
	if err != nil {
		f.cfg.Logger.Warn("which list was in force is not known any more; the log will say", "cause", fmt.Errorf("%s: %w", f.path(currentFile), err))
		return nil
	}
	f.epoch, f.scanned = epoch, epoch.Entry
	list, err := f.openList(epoch, nil)
	if err != nil {
		f.cfg.Logger.Warn("the list that was in force cannot be used; until it is had anew there is none", "cause", err)
		return nil
	}
	f.list, f.scanned = list, epoch.Entry+1
	return nil
}

// openList opens the list of an epoch if its file is there and right.
func (f *Follower) openList(epoch ledger.Epoch, pause func()) (*filter.List, error) {
	if epoch.Layout != filter.Version {
		return nil, fmt.Errorf("the list of epoch entry %d is in format %d; this program knows format %d", epoch.Entry, epoch.Layout, filter.Version)
	}
	path := f.listPath(epoch.Digest)
	sum, err := filter.Sum(path, pause)
	if err != nil {
		return nil, err
	}
	if ledger.Digest(sum) != epoch.Digest {
		return nil, fmt.Errorf("%s has the digest %s", path, sum)
	}
	list, err := filter.Open(path)
	if err != nil {
		return nil, err
	}
	if list.Epoch() != epoch.Size || list.Count() != epoch.Count || uint64(list.Bytes()) != epoch.Bytes {
		return nil, fmt.Errorf("%s has %d listings of %d entries in %d octets; its epoch entry says %d of %d in %d",
			path, list.Count(), list.Epoch(), list.Bytes(), epoch.Count, epoch.Size, epoch.Bytes)
	}
	return list, nil
}

// current is how currentFile holds an epoch.
type current struct {
	Entry  uint64    `json:"entry"`
	Time   time.Time `json:"time"`
	Size   uint64    `json:"size"`
	Digest string    `json:"digest"`
	Bytes  uint64    `json:"bytes"`
	Count  uint64    `json:"count"`
	Layout uint32    `json:"layout"`
}

func currentText(e ledger.Epoch) ([]byte, error) {
	b, err := json.Marshal(current{e.Entry, e.Time, e.Size, e.Digest.String(), e.Bytes, e.Count, e.Layout})
	return append(b, '\n'), err
}

func parseCurrent(b []byte) (ledger.Epoch, error) {
	var c current
	if err := json.Unmarshal(b, &c); err != nil {
		return ledger.Epoch{}, err
	}
	digest, err := ledger.ParseDigest(c.Digest)
	return ledger.Epoch{Entry: c.Entry, Time: c.Time, Size: c.Size, Digest: digest, Bytes: c.Bytes, Count: c.Count, Layout: c.Layout}, err
}

// List is the list in force and its epoch, with what the list is here; nil where there is none yet. It is for who
// opened the Follower, before Run.
func (f *Follower) List() (*filter.List, ledger.Epoch) { return f.list, f.epoch }

// Origin names the log.
func (f *Follower) Origin() string { return f.cfg.Key.Name() }

// Walk hands out entries first to next-1 of the log as far as it was accepted, verified.
func Walk(ctx context.Context, src ledger.Source, dir string, key note.Verifier, first, next uint64, each func(uint64, *ledger.Entry) error) error {
	raw, err := os.ReadFile(filepath.Join(dir, checkpointFile))
	if err != nil {
		return err
	}
	tip, err := ledger.OpenCheckpoint(raw, key)
	if err != nil {
		return err
	}
	return ledger.Walk(ctx, ledger.NewAhead(src, tip.Size), tip, first, next, func(n uint64, e *ledger.Entry, _ []byte) error { return each(n, e) })
}

// dropLists removes the files of lists but those of the given digests, and what came of
// others.
func (f *Follower) dropLists(keep ...ledger.Digest) {
	entries, err := os.ReadDir(f.path(listFolder))
	if err != nil {
		return
	}
	for _, e := range entries {
		kept := false
		for _, d := range keep {
			kept = kept || strings.TrimSuffix(e.Name(), partSuffix) == d.String()
		}
		if !kept {
			os.Remove(f.path(listFolder, e.Name()))
		}
	}
}
