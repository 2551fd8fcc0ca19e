// Package audit checks a public log from outside, and the resolvers that should answer by
// it: that it is one log, whatever was shown before; that every entry is what it should be; that what is listed follows from the policy
// that was in force, executed again; and that the list in force is what the log adds up to.
//
// It believes nobody: not the server that the log is read from, nor the operator whose key
// signs it. What no look at a log alone can show stands in docs/verification.md.
//
// # Checks
//
//	signature   the checkpoint bears the log's signature
//	witnesses   where a witness policy is given, it has the cosignatures that the policy asks for
//	history     it continues the checkpoints that this machine saw before
//	entries     every entry is well-formed, and all of them hash to the checkpoint's root
//	policies    every policy can be executed
//	listings    every listing cites the policy in force and the clause that decides by its evidence
//	delistings  every delisting ends a listing that was there, and has a cause: the clause that
//	            decides instead, a case that was open, or a person's word; evidence that it cites bears it out
//	cases       every case is about a listing that was in force, goes on step by step, is referred only
//	            where the policy lists as before, and ends as delisted only with the listing
//	times       no entry claims a time before what was there already
//	lists       the compiled list rebuilt from the log has the digest, size and count of its epoch,
//	            and the map over it the root, where the epoch has one
//
// Live asks resolvers, and adds:
//
//	filtered    listed names are filtered, and the answer names the entry that lists them
//	answered    others are answered as the own recursion finds them
//	twin        the unfiltered view rewrites nothing
//	uniform     the same question is answered alike, from wherever, however and whenever it is asked
//
// What a resolver filters by another log is held against that one where it was given, and else in
// its form alone: then it is no fault, and not checked (otherlog.go).
//
// What is asked, and how, does not depend on what is listed (plan.go); how content delivery is
// told from tampering stands in delivery.go. Questions and rounds are bounded, and so is what
// is asked again.
//
// # Memory
//
// A Memory is a folder for one log: each checkpoint that continued those seen before it, with the
// time; the proof of any fork, with the checkpoint that did not; and how far the log was verified,
// with the list compiled there, so that the next run reads only what is new. A run that finds a
// fault is not remembered as verified. As long as the proof of a fork is there, every run finds
// that fault, whichever log it is shown: a person removes the folder. A checkpoint of fewer entries
// than one seen before, and one that could not be compared, are not remembered.
//
// # Limits and known faults
//
// Lists of epochs before the last are rebuilt as long as that costs no more than
// rebuildBudget, or where Config.EveryList asks for it; those left out are counted, with those in another format
// than filter's. The list in force is not verified where it is in another one: count and map are held against
// the log, and the digest takes the version that knows the format. A listing by commitment cannot be
// executed without its name, which Config.Names may tell. Listings of addresses cannot be asked for. A resolver's answers are
// held against what this machine's network lets the own recursion see: who controls both is
// caught by DNSSEC alone.
package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/forks"
	"github.com/shoji-dns/shoji/ledger"
)

// MaxEntries is the longest log that is read: who serves one without end must not fill this machine's
// memory, of which each listing takes some 300 octets.
const MaxEntries = 100_000_000

// Config is what an audit needs.
type Config struct {
	Source    ledger.Source
	Key       note.Verifier
	Memory    *Memory
	Now       time.Time
	Witnesses *ledger.WitnessPolicy                  // who has to have cosigned the checkpoint; nil: nobody
	EveryList bool                                   // rebuild the list of every epoch, whatever it costs
	Names     []string                               // with which commitments are opened, as entries write names; MaxOpened at most
	Progress  func(stage string, done, total uint64) // nil: nobody looks
}

// auditor is one run.
type auditor struct {
	cfg    Config
	report *Report
	seen   []seen
	visit  visitor
	names  *opener

	replayed []*Check // that reading the entries is for

	signature, cosigned, history, entries, policies, listings, delistings, cases, times, lists *Check
}

// Run audits a log. An error says why it could not be done, and the report then says how far
// it came.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	a := &auditor{cfg: cfg, report: &Report{Origin: cfg.Key.Name()}, names: newOpener(cfg.Names)}
	at := 0
	for _, c := range []struct {
		name string
		to   **Check
	}{
		{"signature", &a.signature}, {"witnesses", &a.cosigned}, {"history", &a.history}, {"entries", &a.entries}, {"policies", &a.policies}, {"listings", &a.listings},
		{"delistings", &a.delistings}, {"cases", &a.cases}, {"times", &a.times}, {"lists", &a.lists},
	} {
		*c.to = &Check{Name: c.name}
		if c.to == &a.cosigned && cfg.Witnesses == nil {
			continue
		}
		if a.report.Checks = append(a.report.Checks, *c.to); c.to == &a.history {
			at = len(a.report.Checks)
		}
	}
	a.replayed = a.report.Checks[at:]
	err := a.run(ctx)
	err = errors.Join(err, a.keptForks()) // also where no log could be read
	a.report.judge()
	return a.report, err
}

func (a *auditor) run(ctx context.Context) error {
	raw, err := a.cfg.Source.Read(ctx, ledger.CheckpointPath, ledger.MaxCheckpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no log: %w", err)
	}
	if err != nil {
		return err
	}
	tip, err := ledger.OpenCheckpoint(raw, a.cfg.Key)
	if errors.Is(err, ledger.ErrNoNote) { // such as the page of a portal that wants a password
		a.signature.open(Finding{Code: NoCheckpoint, Detail: err.Error()})
		return nil
	}
	if err != nil {
		a.signature.fault(Finding{Code: BadSignature, Detail: err.Error()})
		return nil
	}
	if tip.Size > MaxEntries {
		return fmt.Errorf("the checkpoint is of %d entries; more than %d are not read", tip.Size, MaxEntries)
	}
	a.signature.ok(1)
	a.report.Size, a.report.tip = tip.Size, tip
	a.cosignatures(tip)
	if err := a.compareHistory(ctx, tip); err != nil || a.history.Faults > 0 {
		return err
	}
	if err := a.keptForks(); err != nil {
		return err
	}
	return a.replay(ctx, tip)
}

// keptForks finds the fault that an earlier run has the proof of: that the log now continues one
// of the two does not undo that the other was signed.
func (a *auditor) keptForks() error {
	if a.report.Kept != "" {
		return nil
	}
	kept, err := forks.Kept(filepath.Join(a.cfg.Memory.dir, forkFolder))
	if len(kept) > 0 {
		a.report.Kept = kept[0]
		a.history.fault(Finding{Code: Forked, Detail: fmt.Sprintf("found by an earlier run, and a fault until a person removes %s", kept[0])})
	}
	return err
}

// cosignatures holds a checkpoint against the witness policy.
func (a *auditor) cosignatures(tip ledger.Checkpoint) {
	if a.cfg.Witnesses == nil {
		return
	}
	who := a.cfg.Witnesses.Check(tip)
	a.report.Cosigned = &Cosigned{Missing: who.Missing, Invalid: who.Invalid, By: []Cosigner{}}
	for _, s := range who.Cosignatures {
		c := Cosigner{Witness: s.Witness}
		if !s.Time.IsZero() {
			c.Time = &s.Time
		}
		if a.report.Cosigned.By = append(a.report.Cosigned.By, c); s.Time.After(a.cfg.Now.Add(maxDelay)) {
			a.cosigned.fault(Finding{Code: AfterNow, Subject: s.Witness, Detail: stamp(s.Time)})
		}
	}
	for _, name := range who.Invalid {
		a.cosigned.fault(Finding{Code: BadCosigned, Subject: name})
	}
	if err := who.Err(); err != nil {
		a.cosigned.fault(Finding{Code: Uncosigned, Detail: err.Error()})
	}
	a.cosigned.ok(uint64(len(who.Cosignatures)))
}

// compareHistory holds the checkpoint against those that this machine saw. They continue one
// another, each the one before it, so the last of them that the new one can continue stands for all.
func (a *auditor) compareHistory(ctx context.Context, tip ledger.Checkpoint) error {
	var err error
	if a.seen, err = a.cfg.Memory.seen(a.cfg.Key); err != nil {
		return err
	}
	a.report.Seen = len(a.seen)
	for i := range a.seen {
		if first := a.seen[i].first; i == 0 || first.Before(a.report.First) {
			a.report.First = first
		}
	}
	for i := len(a.seen) - 1; i >= 0; i-- {
		old := &a.seen[i]
		if old.Size > tip.Size {
			if a.history.Faults == 0 {
				a.history.fault(Finding{Code: Rollback, Detail: fmt.Sprintf("%d entries; %d were signed and seen here on %s", tip.Size, old.Size, old.at.UTC().Format(time.DateTime))})
			}
			continue
		}
		err := ledger.VerifyConsistency(ctx, a.cfg.Source, old.Checkpoint, tip)
		if fork := (*ledger.ForkError)(nil); errors.As(err, &fork) {
			return a.forked(fork)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // the replay will say what is wrong with the files
			a.history.open(Finding{Code: Unreadable, Detail: err.Error()})
			return nil
		}
		break
	}
	if a.history.Faults > 0 {
		return nil
	}
	a.history.ok(uint64(len(a.seen)))
	return a.cfg.Memory.record(tip, a.seen, a.cfg.Now)
}

func (a *auditor) forked(fork *ledger.ForkError) error {
	var err error
	a.report.Kept, err = forks.Keep(filepath.Join(a.cfg.Memory.dir, forkFolder), fork)
	a.history.fault(Finding{Code: Forked, Detail: fork.Error()})
	return err
}

// replay reads and judges all entries that were not verified before.
func (a *auditor) replay(ctx context.Context, tip ledger.Checkpoint) error {
	from := a.cfg.Memory.load(ctx, a.cfg.Source, tip)
	if a.cfg.EveryList && slices.ContainsFunc(from.tallies, func(t tally) bool { return t.Left > 0 }) {
		from = &base{} // what earlier runs left out lies before it
	}
	if len(a.cfg.Names) > 0 && slices.ContainsFunc(from.tallies, func(t tally) bool { return t.Unchecked > 0 }) {
		from = &base{} // and so does what could not be opened
	}
	defer func() { a.visit.close() }()
	err := a.replayFrom(ctx, tip, from)
	if err != nil && from.Size > 0 && ctx.Err() == nil { // what was kept does not fit: from the beginning
		for _, c := range a.replayed {
			*c = Check{Name: c.Name}
		}
		a.visit.close()
		err = a.replayFrom(ctx, tip, &base{})
	}
	damage, entry, fork := (*ledger.DamageError)(nil), (*ledger.EntryError)(nil), (*ledger.ForkError)(nil)
	switch {
	case err == nil:
		return a.finish()
	case errors.As(err, &fork):
		return a.forked(fork)
	case errors.As(err, &entry):
		a.entries.fault(Finding{Code: Malformed, Entry: &entry.Index, Detail: entry.Err.Error()})
	case errors.As(err, &damage), errors.Is(err, ledger.ErrOtherRoot):
		a.entries.fault(Finding{Code: Damaged, Detail: err.Error()})
	default:
		return err
	}
	return nil
}

func (a *auditor) replayFrom(ctx context.Context, tip ledger.Checkpoint, from *base) error {
	v := &a.visit
	*v = visitor{auditor: a, now: a.cfg.Now, base: from, kept: from.kept.clone()}
	for i, c := range a.replayed {
		if i < len(from.tallies) {
			*c = from.tallies[i].check(c.Name)
		}
	}
	a.report.Before, a.names.opened = from.Size, 0
	last, err := ledger.LatestEpoch(ctx, a.cfg.Source, tip)
	switch {
	case err == nil:
		v.last, a.report.Epoch = &last, &last
	case ctx.Err() != nil:
		return ctx.Err()
	}
	v.again = func(from ledger.Base, visit ledger.Visit) error {
		_, err := ledger.ReplayVisit(ctx, a.cfg.Source, tip, from, nil, visit)
		return err
	}
	v.within = func(c ledger.Checkpoint) error { return ledger.VerifyConsistency(ctx, a.cfg.Source, c, tip) }
	src := ledger.NewAhead(a.cfg.Source, tip.Size)
	progress := func(done, total uint64) {
		if a.cfg.Progress != nil {
			a.cfg.Progress("", done, total)
		}
	}
	if _, err := ledger.ReplayVisit(ctx, src, tip, from.Base, progress, v.entry); err != nil {
		return err
	}
	a.entries.Checked = tip.Size
	if v.last != nil {
		a.report.list = v.rebuilt.list
	}
	a.report.released, a.report.Opened = v.kept.Released.Names, a.names.opened
	return nil
}

// finish closes the checks of a replay that came to its end, and remembers it.
func (a *auditor) finish() error {
	if a.visit.last == nil {
		a.lists.open(Finding{Code: NoEpoch})
	}
	a.openCases()
	for _, c := range a.report.Checks {
		c.done = true
		if c.Faults > 0 {
			return nil
		}
	}
	if a.cfg.EveryList && a.lists.has(OtherFormat) { // a run that does not ask for them leaves those out
		return nil
	}
	return a.visit.save()
}
