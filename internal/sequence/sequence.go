package sequence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/ledger"
	"golang.org/x/mod/sumdb/note"
)

const (
	// defaultCheckpointInterval keeps a busy writer from more than ten checkpoints a
	// second, each of which readers, caches and witnesses fetch.
	defaultCheckpointInterval = 100 * time.Millisecond

	// DefaultOrigin names a log whose operator gave it no name.
	DefaultOrigin = "shoji-log"

	// defaultPublishTimeout is how long witnesses are asked again for one Append.
	defaultPublishTimeout = 30 * time.Second
)

// The names in a writer's folder.
const (
	keyFile      = "key"
	verifierFile = "key.pub"
	signedFile   = "signed"
	storageFile  = "storage"
	lockFile     = "lock"
	logFolder    = "log"
)

// ErrLocked says that another writer has the log open.
var ErrLocked = errors.New("another writer has the log open")

// Config is what Open needs. Only Dir has no default.
type Config struct {
	// Dir is the writer's folder; it is made if it is not there.
	Dir string
	// Origin is the log's name, made part of its key on the first run. Empty
	// takes the key's, or DefaultOrigin on the first run.
	Origin string
	// CheckpointInterval is the shortest time between two checkpoints; 0 is
	// 100 ms. An entry after a pause is covered at once.
	CheckpointInterval time.Duration
	// Witnesses cosign each checkpoint before it is published; nil: there are none.
	Witnesses Cosigner
	// WithoutWitnesses has a checkpoint published that too few witnesses cosigned
	// after they were asked once. One of which a witness says that it does not
	// continue what it has seen is not published even so.
	WithoutWitnesses bool
	// PublishTimeout is how long an Append asks witnesses again while too few
	// cosign; 0 is 30 s.
	PublishTimeout time.Duration
	// Database is a MySQL database that keeps the log: see ParseDatabase. The folder then
	// is a copy, which is published. Empty: the folder keeps it.
	Database string
	// Wait is how long Open waits for another writer to finish; 0 does not wait.
	Wait time.Duration
	// Logger is told what was mended; nil tells nobody.
	Logger *slog.Logger
}

// Log is a log that is open for writing.
type Log struct {
	cfg    Config
	dir    string // of the log itself
	signer note.Signer
	log    note.Verifier
	vkey   string
	unlock func() error
	source *ledger.Folder

	storage storage

	size       atomic.Uint64     // entries that are stored
	mu         sync.Mutex        // one Append at a time; guards what follows
	appender   *appender         // nil between two Appends
	fetched    uint64            // entries that the folder has
	signed     ledger.Checkpoint // the last one that was signed
	published  ledger.Checkpoint // the last one that was published
	shown      time.Time         // when, by this Log
	uncosigned error             // why the last one lacks cosignatures
	broken     error             // why nothing more may be written
}

// Folder is where under a writer's folder the log is that may be served and read.
func Folder(dir string) string { return filepath.Join(dir, logFolder) }

// Waiting reports whether a log's newest entries wait for witnesses, or were published
// without them.
func Waiting(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, signedFile))
	return err == nil
}

// Open opens the log for writing, and makes folder, key and log on the first
// run. While it is open no other writer can open it.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := durable.MakeFolder(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, filepath.Join(cfg.Dir, lockFile), cfg.Wait)
	if err != nil {
		return nil, fmt.Errorf("log %s: %w", cfg.Dir, err)
	}
	l := &Log{cfg: cfg, dir: Folder(cfg.Dir), unlock: unlock}
	if err := l.open(ctx); err != nil {
		l.Close()
		return nil, fmt.Errorf("log %s: %w", cfg.Dir, err)
	}
	return l, nil
}

func (cfg Config) withDefaults() (Config, error) {
	if cfg.Dir == "" {
		return cfg, errors.New("the log's writer has no folder")
	}
	if cfg.CheckpointInterval == 0 {
		cfg.CheckpointInterval = defaultCheckpointInterval
	}
	if cfg.PublishTimeout == 0 {
		cfg.PublishTimeout = defaultPublishTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg, nil
}

// open does what Open does once the lock is held.
func (l *Log) open(ctx context.Context) error {
	if err := durable.RemoveLeftovers(l.cfg.Dir); err != nil {
		return err
	}
	var err error
	if l.storage, err = openStorage(ctx, l.cfg, l.dir); err != nil {
		return err
	}
	have, err := l.exists(ctx)
	if err != nil {
		return err
	}
	k, err := openKey(l.cfg.Dir, l.cfg.Origin, have)
	if err != nil {
		return err
	}
	l.signer, l.log, l.vkey = k.signer, k.verifier, k.vkey
	if err := durable.MakeFolder(filepath.Join(l.dir, stateFolder), 0o755); err != nil {
		return err
	}
	if err := durable.RemoveLeftovers(l.dir); err != nil {
		return err
	}
	if err := k.publish(l.dir); err != nil {
		return err
	}
	if l.source, err = ledger.OpenFolder(l.dir); err != nil {
		return err
	}
	if err := l.recover(ctx); err != nil {
		return err
	}
	l.sweep()
	if l.cfg.Witnesses == nil && l.signed.Size > l.published.Size {
		return nil // whoever opens it knows no witnesses, and need not mean to append
	}
	err = l.publish(ctx, false)
	if errors.Is(err, ErrUncosigned) {
		l.cfg.Logger.Error("stored entries wait for witnesses; what was in force before stays", "cause", err)
		return nil
	}
	if err == nil && l.uncosigned == nil { // of a policy that was there before
		err = durable.Remove(filepath.Join(l.cfg.Dir, signedFile))
	}
	return err
}

// exists reports whether the log was begun before.
func (l *Log) exists(ctx context.Context) (bool, error) {
	if _, err := os.Stat(filepath.Join(l.dir, ledger.CheckpointPath)); err == nil {
		return true, nil
	}
	c, err := l.storage.checkpoint(ctx)
	return c != nil, err
}

// errClosed is why a closed log takes nothing more.
var errClosed = errors.New("the log is closed")

// Close waits for an Append that runs and lets other writers in.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(l.broken, errClosed) {
		return nil
	}
	l.broken = errClosed
	l.retire()
	var err error
	if l.source != nil {
		err = l.source.Close()
	}
	if l.storage != nil {
		err = errors.Join(err, l.storage.close())
	}
	return errors.Join(err, l.unlock())
}

// Verifier is the log's public key.
func (l *Log) Verifier() note.Verifier { return l.log }

// VerifierKey is the log's public key as text (name+hash+key), to be given to readers.
func (l *Log) VerifierKey() string { return l.vkey }

// Source reads the log. It is closed with the Log.
func (l *Log) Source() ledger.Source { return l.source }

// Size is the number of entries in the log. While an Append runs, some of them
// may not be under a checkpoint yet.
func (l *Log) Size() uint64 { return l.size.Load() }

// Checkpoint is the log's latest checkpoint, read from disk and verified.
func (l *Log) Checkpoint(ctx context.Context) (ledger.Checkpoint, error) {
	return ledger.ReadCheckpoint(ctx, l.source, l.log)
}
