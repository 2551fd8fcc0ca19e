package curate

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// How the names that a source accuses may stand in the log.
const (
	PublishNames      = "names"
	PublishCommitment = "commitment" // its licence forbids to publish them: a salted commitment stands for each
)

// sealedNote is what the log says of a source whose names are not told.
const sealedNote = "names that are listed for this source alone are not told: a salted commitment stands for each"

// sealedOf are the sources whose names are not told.
func sealedOf(sources []Source) map[string]bool {
	sealed := make(map[string]bool)
	for i := range sources {
		if sources[i].Publish == PublishCommitment {
			sealed[sources[i].ID] = true
		}
	}
	return sealed
}

// saltOf is the salt of a log's commitments: another one for each log, and as public as its
// verifier key, so that nothing has to be kept.
func saltOf(vkey string) ledger.Salt {
	sum := sha256.Sum256([]byte("shoji salt 1\x00" + vkey))
	return ledger.Salt(sum[:])
}

// untellable reports whether evidence is of a source whose subjects are not told, and of one
// that cannot be committed to. It does not count: an address, of which there are few enough to try all.
func (j *judge) untellable(a *evidence.About, e *evidence.Evidence) bool {
	return j.sealed[e.Source] && (a.Prefix || !ledger.CanCommit(a.Text))
}

// errUntellable is of a subject that may neither be told nor committed to.
var errUntellable = errors.New("its source does not let it be published, and it cannot be committed to")

// listEntry is the entry that lists what the policy decided to list. What it lists without the
// sources whose names are not told is listed without citing them; else by commitment.
func (w *Writer) listEntry(d policy.Decision, s *policy.Subject, now time.Time) (*ledger.Entry, error) {
	sealed := func(e policy.Evidence) bool { return w.sealed[e.Source] }
	if !slices.ContainsFunc(s.Evidence, sealed) {
		return w.toldEntry(d, s, now), nil
	}
	told := *s
	told.Evidence = slices.DeleteFunc(slices.Clone(s.Evidence), sealed)
	without, err := w.policy.Decide(&told, now)
	if err != nil {
		return nil, err
	}
	if without.Outcome == policy.List && without.Scope == d.Scope {
		return w.toldEntry(without, &told, now), nil
	}
	return w.hiddenEntry(d, s, now)
}

// hiddenEntry is the entry that lists what the policy decided to list by commitment.
func (w *Writer) hiddenEntry(d policy.Decision, s *policy.Subject, now time.Time) (*ledger.Entry, error) {
	if s.Prefix.IsValid() || !ledger.CanCommit(s.Name) {
		return nil, errUntellable
	}
	e := w.toldEntry(d, s, now)
	e.Salt, e.Commitment, e.Name = w.salt, ledger.Commit(w.salt, e.Scope, s.Name), ""
	e.Evidence = w.untold(e.Evidence, s.Name)
	return e, nil
}

// untold is evidence without the references that would tell a name, or where to read it.
func (w *Writer) untold(given []ledger.Evidence, name string) []ledger.Evidence {
	out := slices.Clone(given)
	for i := range out {
		ref := out[i].Reference
		if telling(ref, name) || w.sealed[out[i].Source] && !policy.IsSample(ref) {
			out[i].Reference = ""
		}
	}
	return out
}

// telling reports whether a text tells a name, or its last two labels.
func telling(text, name string) bool {
	for parent := range parents(name) {
		name = parent
	}
	return strings.Contains(strings.ToLower(text), name)
}

// endEntry is an entry that ends a listing of s, with the subject as the listing tells it, and
// evidence and note that tell no more.
func (w *Writer) endEntry(s Subject, listing *ledger.Entry, e ledger.Entry) *ledger.Entry {
	e.Kind, e.Scope, e.Name, e.Prefix, e.Commitment, e.Salt = ledger.KindDelist, listing.Scope, listing.Name, listing.Prefix, listing.Commitment, listing.Salt
	if !listing.Commitment.IsZero() {
		name := subjectText(s)
		if e.Evidence = w.untold(e.Evidence, name); telling(e.Note, name) {
			e.Note = ""
		}
	}
	return &e
}

// committedEntry is entryOf for a listing by commitment.
func (w *Writer) committedEntry(s Subject) (uint64, bool) {
	inList := w.list != nil && w.list.HasCommitments()
	if s.Prefix.IsValid() || !inList && !w.tail.HasCommitments() {
		return 0, false
	}
	c := ledger.Commitment{Scope: ledger.Scope(s.Scope)}
	name := subjectName(s.Name)
	if !ledger.CanCommit(name) {
		return 0, false
	}
	salts := []ledger.Salt{w.salt}
	if inList {
		salts = append(salts, w.list.Salts()...)
	}
	for _, c.Salt = range salts {
		c.Commitment = ledger.Commit(c.Salt, c.Scope, name)
		entry, listed, known := w.tail.CommitmentEntry(c)
		if !known && inList {
			entry, listed = w.list.CommittedEntry(c.Commitment)
		}
		if listed {
			return entry, true
		}
	}
	return 0, false
}
