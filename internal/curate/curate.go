// Package curate is the control loop: it turns claims into listings of the log
// and brings the compiled list into force, and it follows that list for a resolver.
//
// # Coming into force
//
// A [Writer] appends list entries; when a signed checkpoint that covers them is on
// disk, it reads them back and verifies them, compiles the list, writes the file
// durably, appends an epoch entry with the file's digest, waits for its checkpoint,
// and last replaces the pointer, list/current. A [Follower] reads the pointer,
// verifies the checkpoint, the entry and the file's digest, and hands the list out.
// Killed at any moment, the folder holds the list that was in force before or the
// one after; what the log has beyond the last epoch is not in force, and the next
// publication takes it along.
//
// # What a change costs
//
// A Writer goes on from the list in force, as a cache of what the log before it
// adds up to, and reads no entry of the log before that: [filter.Merge] makes of the
// list and the new entries the octets that [filter.Compile] makes of the whole log.
// The list is trusted as far as the log vouches for it: the signed checkpoint
// commits to the epoch entry, the entry to the file's digest, the file to the root
// hash of the log that it was compiled from, and the log's tiles must have that
// root. What is taken from nowhere but the folder itself is which policy entry was
// the last one then. Where any of it is missing or does not fit, the Writer replays
// the whole log, so that everything in list/ may be deleted at any time. An entry
// from before the list that was damaged on disk later is not noticed by a Writer;
// an auditor's replay of the whole log notices it. The verifiable map is merged in the same
// way: of 1,000,000 names it takes 28 ms for one that is new, and 0.6 s anew.
//
// # What a start costs
//
// To sum a list of 10,000,000 names takes a tenth of a second, in which nothing
// would be filtered or nobody answered. A Writer therefore notes in list/checked
// which file it wrote or summed last, with its inode, length and times of change. A
// Follower's first list is taken at that word where all of it still holds, and is
// summed while it is in force already; later ones are summed before. After a
// reboot the first names that are looked up wait for the disk, until the sum has
// read the file.
//
// # The folder
//
//	log/            the tile log, as package sequence keeps it
//	list/DIGEST     compiled lists; the one in force and its predecessor are kept
//	list/ROOT.map   the verifiable maps over them, by their roots (package ledger); a cache
//	list/current    the number of the epoch entry in force and, behind a blank, of
//	                the last policy entry that its list was compiled from
//	list/checked    the list's file whose digest is known, as the system describes it
//
// # The policy
//
// What is listed is what the policy (package policy) lists when it is executed, and
// cites the clause. The policy is an entry of the log; another document gets
// another entry, before the first listing that cites it. What a person imports is the
// evidence "chosen" beside what the list file claims; what a person removes is an
// appeal granted, which the store of evidence remembers. The [Guard] is the last
// line: it refuses what no policy may list.
//
// # The loop
//
// A [Loop] fetches the sources that are due, brings what they say into the store of
// evidence, has the policy decide about the subjects that a refresh changed or whose
// evidence passed one of the policy's ages meanwhile, and publishes the difference to
// what is listed. How far it has come is noted in the store after the publication:
// killed at any moment, it decides the same again, which changes nothing. Everything
// is decided anew once a day, and whenever the policy, the sources, the resolver's own
// names, or facts that reach below their name change. Then what is listed and unknown to
// the store is decided too, by the evidence of its entry.
//
// Facts become evidence: public suffixes, infrastructure and own names from the [Guard];
// what sources say of a shared apex, of popular, benign or special names and address ranges
// speaks for what lies below too, and against a listing of the subtree above.
// Accusations that a source makes no longer count until they are stale; other evidence
// that it gives no longer, and all of a source that is not configured any more, does not count.
//
// What would change more than the policy's limits in one epoch is held back as a whole until
// a person confirms it; the first list, which only grows, is not. [minChanged] listings may change
// whatever their share.
//
// # Names that are not told
//
// The licence of a source may forbid to publish its names. What is listed for such a source
// alone (its key publish: commitment) is listed by a salted commitment in place of the name;
// what the policy lists without it is told, without citing it. References that tell the name,
// or its last two labels, or where the source has it, are left out. The salt is made of the log's
// verifier key. Addresses, and names that ledger.CanCommit refuses, are not listed for it. If the store
// of evidence is lost, such a listing ends only by its name: nothing else tells what it is.
//
// # Appeals
//
// Loop.Hear looks at one subject again: sources that accuse it are read anew, as far as they
// may be and answer in time, and the policy decides. Where the policy says so (its key
// appeals), what sources no longer say does not count then, and is forgotten with the listing
// that it carried. What is ruled on that comes into force by the same writer as all else.
//
// # Limits
//
// A listing that stays one under new evidence keeps its entry, with the clause and evidence of
// then; [Known.Explain] tells both. A subtree's listing by one source does not count for names
// below it. To decide about a million pieces of evidence in SQLite takes 12 s of one core, half of
// it reading, and under half a GiB. The first update after a policy changed holds about 130 octets for each listing that
// a person imported. One writer at a time; a second one waits for the first. The compiled file is
// written anew for each change, 19 octets a name: of 10,000,000 names, 190 MB. An
// import holds 170 octets of memory for each name that is new (10,000,000: 1.6 GB), and
// 40 for each that is listed already where a change is compiled. See [MaxShown],
// [MinPrefixIPv4], [MinPrefixIPv6] and package feed for what a file can make it hold.
package curate

import (
	"context"
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
	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// writerWait is how long Open waits for another writer: a large import of one.
const writerWait = 2 * time.Minute

// progressStep is how many lines or entries pass between two reports of progress.
const progressStep = 4096

// Config is what a Writer needs.
type Config struct {
	Dir      string          // the state folder; made if it is not there
	Log      sequence.Config // how the log is kept; Dir, Wait and Logger are set here
	Guard    Guard
	Policy   *policy.Policy                         // decides; nil: policy.Default
	Evidence *evidence.Store                        // what is known beside what is imported; nil: nothing
	Sources  []Source                               // whose evidence counts, beside a person's word
	Now      func() time.Time                       // nil: time.Now
	Progress func(stage string, done, total uint64) // nil: nobody looks; total 0: unknown
	Logger   *slog.Logger                           // told what was mended; nil: nobody
}

// Writer changes the list. Only one is open for a folder at any time.
type Writer struct {
	cfg    Config
	policy *policy.Policy
	groups map[string]string // of sources that count
	sealed map[string]bool   // sources whose names are not told
	salt   ledger.Salt       // of commitments
	log    *sequence.Log
	list   *filter.List // compiled from the entries before tail; nil if tail is the whole log
	tail   *ledger.Tail

	policyEntry uint64        // the policy in force where tail begins, if there is a list
	made        ledger.Digest // of a list whose file this writer wrote or checked
}

// Open opens the folder for writing, making what is missing: the log and its
// key. It verifies the list in force and the log beyond it, or where that cannot
// be, replays and verifies the whole log, and finishes a publication that was cut off. A list of
// another version of the format is published anew.
func Open(ctx context.Context, cfg Config) (*Writer, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := os.MkdirAll(filepath.Join(cfg.Dir, listFolder), 0o755); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if cfg.Log.Database == "" { // which remembers the log by itself
		if err := checkLog(cfg.Dir); err != nil {
			return nil, err
		}
	}
	if cfg.Policy == nil {
		var err error
		if cfg.Policy, err = policy.Default(); err != nil {
			return nil, err
		}
	}
	cfg.Log.Dir, cfg.Log.Wait, cfg.Log.Logger = cfg.Dir, writerWait, cfg.Logger
	log, err := sequence.Open(ctx, cfg.Log)
	if err != nil {
		return nil, err
	}
	w := &Writer{cfg: cfg, policy: cfg.Policy, groups: groupsOf(cfg.Sources), sealed: sealedOf(cfg.Sources), log: log}
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
	vkey, err := sequence.ReadVerifierKey(w.cfg.Dir)
	if err != nil {
		return err
	}
	w.salt = saltOf(vkey)
	if err := w.resume(ctx); err != nil {
		return err
	}
	return w.finish(ctx)
}

// Close releases the folder.
func (w *Writer) Close() error { return w.log.Close() }

// Size is the number of entries of the log.
func (w *Writer) Size() uint64 { return w.tail.Size() }

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
	// A mistyped address is no name, and an asterisk that is a label of its own is a wildcard.
	if err != nil || strings.HasPrefix(string(name), "\x01*") || strings.ContainsAny(name.String(), ":/%") {
		return Subject{}, fmt.Errorf("%q is neither a domain name, *.NAME, an address nor a prefix", s)
	}
	if subtree {
		return Subject{Name: name.Canonical(), Scope: feed.Subtree}, nil
	}
	return Subject{Name: name.Canonical(), Scope: feed.Exact}, nil
}

// Seed lists subjects as canaries, as far as the policy does, if no list was ever
// published. It reports whether it did.
func (w *Writer) Seed(ctx context.Context, subjects []Subject) (bool, error) {
	if _, ok := w.epoch(); ok {
		return false, nil
	}
	sp, err := w.spool()
	if err != nil {
		return false, err
	}
	defer sp.close()
	canary := []policy.Evidence{fact(sourceShoji, policy.Canary, "")}
	for _, s := range subjects {
		d, subject, err := w.decide(s, canary, nil, w.now())
		if err != nil {
			return false, err
		}
		if d.Outcome != policy.List {
			continue
		}
		if err := sp.add(w.toldEntry(d, subject, w.now())); err != nil {
			return false, err
		}
	}
	_, err = w.publish(ctx, sp)
	return err == nil, err
}

// Remove delists subjects and publishes the list without them. A name loses
// the listing of itself and that of its subtree. It returns how many listings
// ended, and an error that names what is not listed, before anything is changed.
// The evidence remembers it as an appeal that the operator granted, so that what is
// read later does not list it again as long as the policy heeds that.
func (w *Writer) Remove(ctx context.Context, subjects []Subject, note string) (int, ledger.Epoch, error) {
	sp, err := w.spool()
	if err != nil {
		return 0, ledger.Epoch{}, err
	}
	defer sp.close()
	var missing []string
	var claims []evidence.Claim
	ended := 0
	for _, s := range subjects {
		n, err := w.remove(ctx, sp, s, causeOperator, "", note)
		if err != nil {
			return 0, ledger.Epoch{}, err
		}
		if n == 0 {
			missing = append(missing, subjectText(s))
		}
		ended += n
		claims = append(claims, ruling(s, policy.AppealGranted, note))
	}
	if len(missing) > 0 {
		return 0, ledger.Epoch{}, fmt.Errorf("not listed: %s; nothing was changed", strings.Join(missing, ", "))
	}
	if w.cfg.Evidence != nil { // before the log: what is delisted must not come back
		if err := w.cfg.Evidence.Say(ctx, SourceOperator, w.now(), claims, policy.Confirmed); err != nil {
			return 0, ledger.Epoch{}, err
		}
	}
	epoch, err := w.publish(ctx, sp)
	return ended, epoch, err
}

// remove spools the end of the listings of one subject, because a person says so, and says
// how many there are. id is that of the case that it follows from; "" for none.
func (w *Writer) remove(ctx context.Context, sp *spool, s Subject, cause, id, note string) (int, error) {
	ended := 0
	for _, scope := range s.scopes() {
		s.Scope = scope
		at, listed := w.entryOf(s)
		if !listed {
			continue
		}
		before, err := ledger.ReadEntry(ctx, w.log.Source(), w.tail.Checkpoint(), at)
		if err != nil {
			return 0, err
		}
		granted := fact(SourceOperator, policy.AppealGranted, note)
		granted.First, granted.Last = w.now(), w.now()
		given := []policy.Evidence{granted}
		for _, e := range before.Evidence {
			if e.Source != SourceOperator || e.Kind == policy.Chosen {
				given = append(given, policy.Evidence{Evidence: e})
			}
		}
		d, subject, err := w.decide(s, given, nil, w.now())
		if err != nil {
			return 0, err
		}
		if d.Outcome == policy.List {
			return 0, fmt.Errorf("%s: the policy lists it by clause %s even so; nothing was changed", subjectText(s), d.Clause.ID)
		}
		e := w.endEntry(s, before, ledger.Entry{
			Time: w.now(), Cause: cause, Clause: d.Clause.ID, Policy: w.policy.Digest, Note: note, Case: id, Evidence: citedEvidence(subject),
		})
		if err := sp.addCited(e); err != nil {
			return 0, err
		}
		ended++
	}
	return ended, nil
}

// causeOperator is the cause of a delisting by hand.
const causeOperator = "operator"

// spool begins what is to be published. The policy's own entry comes first where
// the log does not have it as the one in force.
func (w *Writer) spool() (*spool, error) {
	sp, err := newSpool(w.cfg.Dir)
	if err != nil || w.tail.Policy() == w.policy.Digest {
		return sp, err
	}
	if err := sp.add(w.policy.Entry(w.now())); err != nil {
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
