// Package curate is the control loop: it turns claims into listings of the log
// and brings the compiled list into force, and it follows that list for a resolver.
//
// # Coming into force
//
// A [Writer] appends list entries; when a signed checkpoint that covers them is on
// disk, it replays the log, compiles the list, writes the file durably, appends an
// epoch entry with the file's digest, waits for its checkpoint, and last replaces
// the pointer, list/current, which holds the number of that epoch entry. A
// [Follower] reads the pointer, verifies the checkpoint, the entry and the file's
// digest, and hands the list out. Killed at any moment, the folder holds the list
// that was in force before or the one after; what the log has beyond the last
// epoch is not in force, and the next publication takes it along.
//
// # The folder
//
//	log/            the tile log, as package sequence keeps it
//	list/DIGEST     compiled lists; the one in force and its predecessor are kept
//	list/current    the number of the epoch entry in force
//
// # Clauses
//
// A listing cites a clause of the operator policy (policy.txt), whose text is an
// entry of the log itself: canary, import, remove.
//
// # Limits
//
// One writer at a time; a second one waits for the first. See [MaxShown],
// [MinPrefixIPv4], [MinPrefixIPv6] and package feed for what a file can make it hold.
package curate

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// The clauses of the operator policy.
const (
	ClauseCanary = "canary"
	ClauseImport = "import"
	ClauseRemove = "remove"
)

// policyVersion is the version of policy.txt.
const policyVersion = "operator-1"

//go:embed policy.txt
var policyText string

// writerWait is how long Open waits for another writer: a large import of one.
const writerWait = 2 * time.Minute

// progressStep is how many lines or entries pass between two reports of progress.
const progressStep = 4096

// Config is what a Writer needs.
type Config struct {
	Dir      string // the state folder; made if it is not there
	Guard    Guard
	Now      func() time.Time                       // nil: time.Now
	Progress func(stage string, done, total uint64) // nil: nobody looks; total 0: unknown
	Logger   *slog.Logger                           // told what was mended; nil: nobody
}

// Writer changes the list. Only one is open for a folder at any time.
type Writer struct {
	cfg   Config
	log   *sequence.Log
	state *ledger.State
}

// Open opens the folder for writing, making what is missing: the log and its
// key. It replays and verifies the log, and finishes a publication that was cut off.
func Open(ctx context.Context, cfg Config) (*Writer, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := os.MkdirAll(filepath.Join(cfg.Dir, listFolder), 0o755); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if err := checkLog(cfg.Dir); err != nil {
		return nil, err
	}
	log, err := sequence.Open(ctx, sequence.Config{Dir: cfg.Dir, Wait: writerWait, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	w := &Writer{cfg: cfg, log: log}
	if err := w.open(ctx); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// checkLog refuses a folder that has published a list and lost its log: a new
// log under the same key would be a second history.
func checkLog(dir string) error {
	path := filepath.Join(sequence.Folder(dir), ledger.CheckpointPath)
	_, err := os.Stat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(pointerPath(dir)); err != nil {
		return nil
	}
	return fmt.Errorf("%s is missing, and %s says that a list was published: restore the log from a mirror or a backup, or begin a new log with a new key in another folder", path, pointerPath(dir))
}

func (w *Writer) open(ctx context.Context) error {
	w.sweep()
	var err error
	w.state, err = ledger.Replay(ctx, w.log.Source(), w.log.Verifier(), w.stage("verifying the log"))
	if err != nil {
		return err
	}
	return w.finish(ctx)
}

// Close releases the folder.
func (w *Writer) Close() error { return w.log.Close() }

// State is the verified state of the log. It changes with the Writer's next call.
func (w *Writer) State() *ledger.State { return w.state }

// Subject is what a listing is about.
type Subject struct {
	Name   dns.Name // "" where Prefix is valid
	Prefix netip.Prefix
	Scope  feed.Scope
}

// ParseSubject reads a name (exact), "*.name" (its subtree), an address or a prefix.
func ParseSubject(s string) (Subject, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return Subject{Prefix: p.Masked(), Scope: feed.Prefix}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return Subject{Prefix: netip.PrefixFrom(a, a.BitLen()), Scope: feed.Prefix}, nil
	}
	text, subtree := strings.CutPrefix(s, "*.")
	name, err := dns.ParseName(text)
	if err != nil || text == "*" || strings.ContainsAny(name.String(), ":/%") { // a mistyped address is no name
		return Subject{}, fmt.Errorf("%q is neither a domain name, *.NAME, an address nor a prefix", s)
	}
	if subtree {
		return Subject{Name: name.Canonical(), Scope: feed.Subtree}, nil
	}
	return Subject{Name: name.Canonical(), Scope: feed.Exact}, nil
}

// Seed lists subjects as canaries, if no list was ever published. It reports
// whether it did.
func (w *Writer) Seed(ctx context.Context, subjects []Subject) (bool, error) {
	if _, ok := w.state.Epoch(); ok {
		return false, nil
	}
	sp, err := w.spool()
	if err != nil {
		return false, err
	}
	defer sp.close()
	for _, s := range subjects {
		e := s.entry()
		e.Kind, e.Time, e.Clause, e.Policy = ledger.KindList, w.now(), ClauseCanary, policyDigest()
		e.Evidence = []ledger.Evidence{{Source: "shoji", Kind: "canary"}}
		if err := sp.add(&e); err != nil {
			return false, err
		}
	}
	_, err = w.publish(ctx, sp)
	return err == nil, err
}

// Remove delists subjects and publishes the list without them. A name loses
// the listing of itself and that of its subtree. It returns how many listings
// ended, and an error that names what is not listed, before anything is changed.
func (w *Writer) Remove(ctx context.Context, subjects []Subject, note string) (int, ledger.Epoch, error) {
	sp, err := w.spool()
	if err != nil {
		return 0, ledger.Epoch{}, err
	}
	defer sp.close()
	var missing []string
	ended := 0
	for _, s := range subjects {
		found := false
		for _, scope := range s.scopes() {
			e := s.entry()
			e.Scope = ledger.Scope(scope)
			if !w.listed(&e) {
				continue
			}
			found = true
			ended++
			e.Kind, e.Time, e.Cause, e.Clause, e.Policy, e.Note = ledger.KindDelist, w.now(), "operator", ClauseRemove, policyDigest(), note
			if err := sp.add(&e); err != nil {
				return 0, ledger.Epoch{}, err
			}
		}
		if !found {
			e := s.entry()
			missing = append(missing, e.Name+prefixText(e.Prefix))
		}
	}
	if len(missing) > 0 {
		return 0, ledger.Epoch{}, fmt.Errorf("not listed: %s; nothing was changed", strings.Join(missing, ", "))
	}
	epoch, err := w.publish(ctx, sp)
	return ended, epoch, err
}

// spool begins what is to be published. The policy's own entry comes first where
// the log does not have it as the one in force.
func (w *Writer) spool() (*spool, error) {
	sp, err := newSpool(w.cfg.Dir)
	if err != nil || w.state.Policy() == policyDigest() {
		return sp, err
	}
	err = sp.add(&ledger.Entry{
		Kind: ledger.KindPolicy, Time: w.now(), Policy: policyDigest(), Version: policyVersion,
		Title: "shoji operator policy", Document: policyText, Bytes: uint64(len(policyText)),
	})
	if err != nil {
		sp.close()
		return nil, err
	}
	return sp, nil
}

// scopes are the listings that a removal of s ends.
func (s Subject) scopes() []feed.Scope {
	if s.Scope == feed.Exact {
		return []feed.Scope{feed.Exact, feed.Subtree}
	}
	return []feed.Scope{s.Scope}
}

// entry is an entry with the subject alone.
func (s Subject) entry() ledger.Entry {
	if s.Prefix.IsValid() {
		return ledger.Entry{Scope: ledger.ScopePrefix, Prefix: s.Prefix}
	}
	return ledger.Entry{Scope: ledger.Scope(s.Scope), Name: subjectName(s.Name)}
}

// listed reports whether exactly e's subject is on the list.
func (w *Writer) listed(e *ledger.Entry) bool {
	if e.Prefix.IsValid() {
		_, ok := w.state.LookupPrefix(e.Prefix)
		return ok
	}
	_, ok := w.state.Lookup(e.Name, e.Scope)
	return ok
}

func (w *Writer) now() time.Time { return w.cfg.Now().UTC().Truncate(time.Second) }

func (w *Writer) progress(stage string, done, total uint64) {
	if w.cfg.Progress != nil {
		w.cfg.Progress(stage, done, total)
	}
}

// stage is progress with its stage filled in.
func (w *Writer) stage(name string) func(done, total uint64) {
	return func(done, total uint64) { w.progress(name, done, total) }
}

// sweep removes the spools of imports that were killed.
func (w *Writer) sweep() {
	old, _ := filepath.Glob(filepath.Join(w.cfg.Dir, spoolName)) // the pattern is well-formed
	for _, path := range old {
		os.Remove(path)
	}
}
