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
	// MinCheckpointInterval is the shortest that Tessera's POSIX driver takes.
	MinCheckpointInterval = 100 * time.Millisecond

	// DefaultOrigin names a log whose operator gave it no name.
	DefaultOrigin = "shoji-log"

	// defaultPublishTimeout is how long a checkpoint may take once its entries are stored.
	defaultPublishTimeout = 30 * time.Second
)

// The names in a writer's folder.
const (
	keyFile      = "key"
	verifierFile = "key.pub"
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
	// MinCheckpointInterval. An entry after a pause is covered at once.
	CheckpointInterval time.Duration
	// PublishTimeout is how long a checkpoint may take once its entries are
	// stored; 0 is 30 s.
	PublishTimeout time.Duration
	// Wait is how long Open waits for another writer to finish; 0 does not wait.
	Wait time.Duration
	// Logger is told what was mended; nil tells nobody.
	Logger *slog.Logger
}

// Log is a log that is open for writing.
type Log struct {
	cfg    Config
	dir    string // of the log itself
	signer *guard
	log    note.Verifier
	vkey   string
	unlock func() error
	source *ledger.Folder

	size     atomic.Uint64 // entries that are stored
	mu       sync.Mutex    // one Append at a time; guards what follows
	appender *appender     // nil between two Appends
	broken   error         // why nothing more may be written
}

// Folder is where under a writer's folder the log is that may be served and read.
func Folder(dir string) string { return filepath.Join(dir, logFolder) }

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
		cfg.CheckpointInterval = MinCheckpointInterval
	}
	if cfg.CheckpointInterval < MinCheckpointInterval {
		return cfg, fmt.Errorf("a checkpoint interval of %s; the shortest is %s", cfg.CheckpointInterval, MinCheckpointInterval)
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
	_, err := os.Stat(filepath.Join(l.dir, ledger.CheckpointPath))
	k, err := openKey(l.cfg.Dir, l.cfg.Origin, err == nil)
	if err != nil {
		return err
	}
	l.signer, l.log, l.vkey = &guard{Signer: k.signer}, k.verifier, k.vkey
	if err := durable.MakeFolder(filepath.Join(l.dir, stateFolder), 0o755); err != nil {
		return err
	}
	if l.source, err = ledger.OpenFolder(l.dir); err != nil {
		return err
	}
	l.sweep()
	if err := l.recover(ctx); err != nil {
		return err
	}
	return l.settle(ctx)
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
	var err error
	if l.source != nil {
		err = l.source.Close()
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
