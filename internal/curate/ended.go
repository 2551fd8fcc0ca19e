package curate

import (
	"context"

	"github.com/shoji-dns/shoji/ledger"
)

const (
	// endedStep is how many entries are read at a time on the way back through a log.
	endedStep = 1 << 12

	// endedMost is how many are looked at: some five seconds.
	endedMost = 1 << 20
)

// Ended is the delisting that ended a listing.
type Ended struct {
	N      uint64 // number of its entry
	Listed string // the subject that went: the one asked about, or one above it
	*ledger.Entry
}

// ended finds the last delisting that a subject was under, reading the log back from its end to entry from.
// nil: there is none.
func (k *Known) ended(ctx context.Context, s Subject) (found *Ended, from uint64, err error) {
	from = k.tip.Size - min(k.tip.Size, endedMost)
	for next := k.tip.Size; next > from; {
		first := max((next-1)/endedStep*endedStep, from)
		var last *Ended
		err := ledger.Walk(ctx, k.log, k.tip, first, next, func(n uint64, e *ledger.Entry, _ []byte) error {
			if e.Kind != ledger.KindDelist {
				return nil
			}
			if what, ok := covers(e, s); ok {
				last = &Ended{n, what, e}
			}
			return nil
		})
		if last != nil || err != nil {
			return last, from, err
		}
		next = first
	}
	return nil, from, nil
}

// covers says what an entry is about where that covers a subject.
func covers(e *ledger.Entry, s Subject) (what string, ok bool) {
	if s.Prefix.IsValid() {
		p := e.Prefix
		return p.String(), p.IsValid() && p.Bits() <= s.Prefix.Bits() && p.Contains(s.Prefix.Addr())
	}
	for labels := s.Name.Labels(); labels > 0; labels-- {
		name := subjectName(s.Name.Suffix(labels))
		own := labels == s.Name.Labels()
		told := e.Name == name
		untold := !e.Commitment.IsZero() && ledger.CanCommit(name) && ledger.Commit(e.Salt, e.Scope, name) == e.Commitment
		if (told || untold) && (own || e.Scope == ledger.ScopeSubtree) {
			return name, true
		}
	}
	return "", false
}
