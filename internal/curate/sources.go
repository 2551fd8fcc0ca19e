package curate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// MaxSources bounds how many sources are declared: each may hold a claim about each
// subject, and an entry of the log carries ledger.MaxEvidence.
const MaxSources = 256

// The states of a source in its entries of the log.
const (
	statusActive  = "active"
	statusRetired = "retired"
)

// Source is where evidence comes from. Every source is declared in the log before
// anything cites it.
type Source struct {
	ID       string        `json:"id"`       // a token of the log
	Title    string        `json:"title"`    // for people; may be empty
	Location string        `json:"location"` // an https address, a zone to transfer (feed.Transfer), a file, or a folder of files
	Format   feed.Format   `json:"format"`   // feed.Auto detects it
	Kinds    []string      `json:"kinds"`    // of evidence that each of its claims is
	Group    string        `json:"group"`    // sources of one group count as one; "": by itself
	License  string        `json:"license"`  // may be empty
	Scope    feed.Scope    `json:"scope"`    // "" takes the format's own
	Family   string        `json:"family"`   // of malware, for claims that name none
	Undated  string        `json:"undated"`  // what claims without a date say: one of the constants below; "": as archived says
	Publish  string        `json:"publish"`  // PublishNames or PublishCommitment; "": PublishNames
	Interval time.Duration `json:"interval"` // between two readings
}

// What a source's claims say that bear no date: see package evidence.
const (
	UndatedCurrent = "current" // seen when the list was published
	UndatedArchive = "archive" // seen when they were new to the list
)

// archived reports whether the source is an archive. Trails of Maltrail are collected over
// years; of other lists those are published that want to be taken for current.
func (s *Source) archived(f feed.Format) bool {
	return s.Undated == UndatedArchive || s.Undated == "" && f == feed.Maltrail
}

// MinInterval is the shortest interval between two readings of a source: publishers of
// lists ask for no more than one in five minutes (abuse.ch).
const MinInterval = time.Minute

// isZone reports whether the source is a policy zone, which has a place in the order of such.
func (s *Source) isZone() bool { return s.Format == feed.RPZ || feed.IsTransfer(s.Location) }

// check says what is wrong with a source.
func (s *Source) check() error {
	if err := ledger.CheckToken(s.ID); err != nil {
		return fmt.Errorf("id: %w", err)
	}
	if s.ID == SourceOperator || s.ID == sourceShoji || s.ID == sourceSuffixes {
		return fmt.Errorf("id: %q stands for evidence that no source gives; choose another", s.ID)
	}
	if s.Group != "" {
		if err := ledger.CheckToken(s.Group); err != nil {
			return fmt.Errorf("group: %w", err)
		}
	}
	if err := feed.CheckLocation(s.Location); err != nil {
		return fmt.Errorf("location: %w", err)
	}
	if len(s.Kinds) == 0 {
		return fmt.Errorf("kinds: there is none; say what its claims are, such as %s", policy.C2)
	}
	for _, k := range s.Kinds {
		if !slices.Contains(policy.Kinds(), k) {
			return fmt.Errorf("kinds: %q is no kind of evidence; the kinds are %v", k, policy.Kinds())
		}
		if slices.Contains(ruled, k) {
			return fmt.Errorf("kinds: %q is what a person decides, and no source's claim", k)
		}
	}
	if s.Format != feed.Auto && !slices.Contains(feed.Formats(), s.Format) {
		return fmt.Errorf("format: %q is none of %v", s.Format, feed.Formats())
	}
	if s.Interval < MinInterval {
		return fmt.Errorf("interval: %s is shorter than %s", s.Interval, MinInterval)
	}
	for what, text := range map[string]string{"title": s.Title, "license": s.License, "family": s.Family} {
		if text != "" {
			if err := ledger.CheckText(text); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	return s.checkChoices()
}

func (s *Source) checkChoices() error {
	if !slices.Contains([]feed.Scope{"", feed.Exact, feed.Subtree}, s.Scope) {
		return fmt.Errorf("scope: %q is neither exact nor subtree", s.Scope)
	}
	if !slices.Contains([]string{"", UndatedCurrent, UndatedArchive}, s.Undated) {
		return fmt.Errorf("undated: %q is neither %s nor %s", s.Undated, UndatedCurrent, UndatedArchive)
	}
	if !slices.Contains([]string{"", PublishNames, PublishCommitment}, s.Publish) {
		return fmt.Errorf("publish: %q is neither %s nor %s", s.Publish, PublishNames, PublishCommitment)
	}
	spares := func(kind string) bool { return !slices.Contains(accusing, kind) }
	if s.Publish == PublishCommitment && slices.ContainsFunc(s.Kinds, spares) {
		return fmt.Errorf("publish: only accusations can be kept from being told, and the kinds that accuse are %v: what spares others is cited where it does", accusing)
	}
	if feed.IsTransfer(s.Location) && s.Format != feed.Auto && s.Format != feed.RPZ {
		return fmt.Errorf("format: what is transferred is %s, and not %s", feed.RPZ, s.Format)
	}
	return nil
}

// ruled are the kinds of evidence that only a person gives.
var ruled = []string{policy.Chosen, policy.Canary, policy.AppealGranted, policy.Confirmed, policy.Rejected}

// CheckSources says what is wrong with the sources of a configuration.
func CheckSources(sources []Source) error {
	if len(sources) > MaxSources {
		return fmt.Errorf("%d sources, more than %d", len(sources), MaxSources)
	}
	seen := make(map[string]bool)
	for i := range sources {
		if err := sources[i].check(); err != nil {
			return fmt.Errorf("source %d (%s): %w", i+1, sources[i].ID, err)
		}
		if seen[sources[i].ID] {
			return fmt.Errorf("source %d: %s stands there twice", i+1, sources[i].ID)
		}
		seen[sources[i].ID] = true
	}
	return nil
}

// group is the group that a source counts with.
func (s *Source) group() string {
	if s.Group != "" {
		return s.Group
	}
	return s.ID
}

// entry declares the source in the log.
func (s *Source) entry(at time.Time, status string) *ledger.Entry {
	e := &ledger.Entry{
		Kind: ledger.KindSource, Time: at, Source: s.ID, Group: s.group(), Status: status, Title: s.Title,
		Claims: ledger.SortClaims(slices.Clone(s.Kinds)), License: s.License, Interval: uint64(s.Interval / time.Second),
	}
	if s.Publish == PublishCommitment {
		e.Note = sealedNote
	}
	if s.Format != feed.Auto {
		e.Format = string(s.Format)
	}
	if ledger.CheckText(s.Location) == nil {
		e.Location = s.Location
	}
	return e
}

// memoDeclared is the name under which the store notes which sources the log declares.
// Where the note is lost, they are declared again.
const memoDeclared = "sources"

// declare spools what changed about the sources since the log declared them. After the
// publication, declared is to be noted.
func (l *Loop) declare(ctx context.Context, store *evidence.Store, sp *spool, now time.Time) (declared string, err error) {
	text, err := store.Memo(ctx, memoDeclared)
	if err != nil {
		return "", err
	}
	before := make(map[string]Source)
	if text != "" {
		if err := json.Unmarshal([]byte(text), &before); err != nil {
			before = nil // a damaged note is a lost one
		}
	}
	after := make(map[string]Source)
	for i := range l.cfg.Sources {
		s := &l.cfg.Sources[i]
		after[s.ID] = *s
		e := s.entry(now, statusActive)
		if old, ok := before[s.ID]; ok && sameEntry(e, old.entry(now, statusActive)) {
			continue
		}
		if err := sp.add(e); err != nil {
			return "", fmt.Errorf("source %s: %w", s.ID, err)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		old := before[id]
		if _, ok := after[id]; ok {
			continue
		}
		if err := sp.add(old.entry(now, statusRetired)); err != nil {
			return "", fmt.Errorf("source %s: %w", id, err)
		}
	}
	b, err := json.Marshal(after)
	return string(b), err
}

// sameEntry reports whether two entries are the same octets.
func sameEntry(a, b *ledger.Entry) bool {
	x, err1 := a.Marshal()
	y, err2 := b.Marshal()
	return errors.Join(err1, err2) == nil && string(x) == string(y)
}
