package curate

import (
	"context"
	"hash/maphash"
	"time"

	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// The sources of evidence that no feed gives.
const (
	SourceOperator = "operator"           // what a person decided here
	sourceShoji    = "shoji"              // what the program knows
	sourceSuffixes = "public-suffix-list" // https://publicsuffix.org
)

// subjectText is a subject as an entry of the log has it: its name or prefix, and "." for the root.
func subjectText(s Subject) string {
	if s.Prefix.IsValid() {
		return s.Prefix.String()
	}
	if text := subjectName(s.Name); text != "" {
		return text
	}
	return "."
}

// String is the subject as ParseSubject reads it.
func (s Subject) String() string {
	if s.Scope == feed.Subtree {
		return "*." + subjectText(s)
	}
	return subjectText(s)
}

// decide has the policy decide about s by what is given, what is known of it beside,
// and the facts. What it was decided by is in the policy's subject.
func (w *Writer) decide(s Subject, given, known []policy.Evidence, now time.Time) (policy.Decision, *policy.Subject, error) {
	subject := &policy.Subject{Prefix: s.Prefix, Scope: ledger.Scope(s.Scope)}
	if !s.Prefix.IsValid() {
		subject.Name = subjectText(s)
	}
	facts := w.cfg.Guard.facts(s)
	subject.Evidence = make([]policy.Evidence, 0, len(given)+len(facts)+len(known))
	subject.Evidence = append(append(append(subject.Evidence, given...), facts...), known...)
	if len(subject.Evidence) > ledger.MaxEvidence {
		subject.Evidence = subject.Evidence[:ledger.MaxEvidence]
	}
	d, err := w.policy.Decide(subject, now)
	return d, subject, err
}

// toldEntry is the entry that lists what the policy decided to list, and tells it.
func (w *Writer) toldEntry(d policy.Decision, s *policy.Subject, now time.Time) *ledger.Entry {
	e := &ledger.Entry{
		Kind: ledger.KindList, Time: now, Scope: d.Scope, Name: s.Name, Prefix: s.Prefix, Clause: d.Clause.ID, Policy: w.policy.Digest,
	}
	e.Evidence = citedEvidence(s)
	return e
}

// citedEvidence is the evidence of a subject as an entry of the log carries it.
func citedEvidence(s *policy.Subject) []ledger.Evidence {
	out := make([]ledger.Evidence, len(s.Evidence))
	for i := range s.Evidence {
		e := s.Evidence[i].Evidence
		e.First, e.Last = e.First.UTC().Truncate(time.Second), e.Last.UTC().Truncate(time.Second)
		if !e.Last.IsZero() && e.First.After(e.Last) { // an undated claim of a date, say
			e.First = e.Last
		}
		out[i] = e
	}
	return out
}

// facts is what the guard knows of a subject, as evidence.
func (g Guard) facts(s Subject) []policy.Evidence {
	if s.Prefix.IsValid() {
		if why := g.Prefix(s.Prefix); why != "" {
			return []policy.Evidence{fact(sourceShoji, policy.Infrastructure, why)}
		}
		return nil
	}
	return g.nameFacts(s.Name, ledger.Scope(s.Scope) == ledger.ScopeSubtree)
}

func fact(source, kind, reference string) policy.Evidence {
	return policy.Evidence{Evidence: ledger.Evidence{Source: source, Kind: kind, Reference: reference}}
}

// known is what the store has about a subject, from sources that count.
func (w *Writer) known(ctx context.Context, text string) ([]policy.Evidence, error) {
	if w.cfg.Evidence == nil {
		return nil, nil
	}
	about, err := w.cfg.Evidence.One(ctx, text)
	if err != nil || about == nil {
		return nil, err
	}
	return counted(w.groups, about, "", nil), nil
}

// entryOf is the entry of the log that lists exactly s; false where none does.
func (w *Writer) entryOf(s Subject) (uint64, bool) {
	var entry uint64
	var listed, known bool
	if s.Prefix.IsValid() {
		entry, listed, known = w.tail.PrefixEntry(s.Prefix)
	} else {
		entry, listed, known = w.tail.Entry(subjectName(s.Name), ledger.Scope(s.Scope))
	}
	if !known && w.list != nil {
		if s.Prefix.IsValid() {
			entry, listed = w.list.PrefixEntry(s.Prefix)
		} else {
			entry, listed = w.list.Entry(s.Name, ledger.Scope(s.Scope))
		}
	}
	if !listed {
		return w.committedEntry(s)
	}
	return entry, listed
}

// ruling is what a person decided about s, as a claim of the store.
func ruling(s Subject, kind, why string) evidence.Claim {
	scope := ledger.ScopeExact
	if s.Prefix.IsValid() {
		scope = ledger.ScopePrefix
	}
	return evidence.Claim{Subject: evidence.Subject{Text: subjectText(s), Scope: scope}, Kind: kind, Reference: why}
}

// subjects says quickly whether the store has something about a subject. It may say yes
// where there is nothing, rarely.
func (w *Writer) subjects(ctx context.Context) (func(text string) bool, error) {
	if w.cfg.Evidence == nil {
		return func(string) bool { return false }, nil
	}
	seed := maphash.MakeSeed()
	set := make(map[uint64]struct{})
	for text, err := range w.cfg.Evidence.Subjects(ctx) {
		if err != nil {
			return nil, err
		}
		set[maphash.String(seed, text)] = struct{}{}
	}
	return func(text string) bool {
		_, ok := set[maphash.String(seed, text)]
		return ok
	}, nil
}
