package curate

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/policy"
)

// Waiting is a subject of which the policy wants a person's word.
type Waiting struct {
	Subject  string            `json:"subject"` // as ParseSubject reads it
	Clause   *policy.Clause    `json:"-"`
	Evidence []policy.Evidence `json:"-"` // that the clause was met by
}

// judge is what the loop's configuration makes of what a store knows.
func (l *Loop) judge(ctx context.Context, store *evidence.Store, now time.Time) (judge, error) {
	j := l.bare(now)
	var err error
	j.reach, err = loadReach(ctx, store, l.groups)
	return j, err
}

// bare is a judge that knows nothing of what reaches a subject from others.
func (l *Loop) bare(now time.Time) judge {
	return judge{policy: l.cfg.Policy, guard: l.cfg.Guard, groups: l.groups, zones: zonesOf(l.cfg.Sources), sealed: sealedOf(l.cfg.Sources), now: now}
}

// Waiting yields all that waits for a person's word. It decides about everything that the store knows.
func (l *Loop) Waiting(ctx context.Context) iter.Seq2[*Waiting, error] {
	return func(yield func(*Waiting, error) bool) {
		j, err := l.judge(ctx, l.cfg.Store, l.cfg.Now().UTC().Truncate(time.Second))
		if err != nil {
			yield(nil, err)
			return
		}
		for a, err := range l.cfg.Store.Since(ctx, 0) {
			v, ok := verdict{}, false
			if err == nil {
				v, ok, err = j.wanted(a)
			}
			switch {
			case err != nil:
				yield(nil, err)
				return
			case ok && v.Outcome == policy.Review && !yield(&Waiting{v.key.String(), v.Clause, v.subject.Evidence}, nil):
				return
			}
		}
	}
}

// Word is what waits for a person's word of one subject; nil where nobody is asked about it.
func (l *Loop) Word(ctx context.Context, s Subject) (*Waiting, error) {
	a, err := l.cfg.Store.One(ctx, subjectText(s))
	if err != nil || a == nil {
		return nil, err
	}
	j := l.bare(l.cfg.Now().UTC().Truncate(time.Second))
	if j.reach, err = nearReach(ctx, l.cfg.Store, l.groups, s); err != nil {
		return nil, err
	}
	v, ok, err := j.wanted(a)
	if err != nil || !ok || v.Outcome != policy.Review {
		return nil, err
	}
	return &Waiting{v.key.String(), v.Clause, v.subject.Evidence}, nil
}

// Changed is a text that differs when what Waiting yields may differ, for another reason than time.
func (l *Loop) Changed(ctx context.Context) (string, error) {
	revision, err := l.cfg.Store.Revision(ctx)
	return fmt.Sprint(revision), err
}

// Rule takes a person's word on subjects whose clause asks for it, and brings what follows into
// force. Nothing is said of any if the clause of one asks for none. A later word on the same
// subject counts in place of an earlier one, as long as the same clause asks. What goes beyond
// the policy's limits is held back as in Update.
func (l *Loop) Rule(ctx context.Context, subjects []Subject, confirmed bool) (*UpdateReport, error) {
	now := l.cfg.Now().UTC().Truncate(time.Second)
	j, err := l.judge(ctx, l.cfg.Store, now)
	if err != nil {
		return nil, err
	}
	said, unsaid := policy.Rejected, policy.Confirmed
	if confirmed {
		said, unsaid = unsaid, said
	}
	var claims []evidence.Claim
	for _, s := range subjects {
		a, err := l.cfg.Store.One(ctx, subjectText(s))
		if err != nil {
			return nil, err
		}
		if a == nil {
			return nil, fmt.Errorf("%s: no source says anything of it; nothing was changed", subjectText(s))
		}
		v, ok, err := j.wanted(a)
		switch {
		case err != nil:
			return nil, err
		case !ok || v.Clause.Then != policy.Review:
			return nil, fmt.Errorf("%s: nobody is asked about it: clause %s decides, %s; nothing was changed", subjectText(s), v.Clause.ID, v.Outcome)
		}
		claims = append(claims, ruling(s, said, v.Clause.ID))
	}
	if err := l.cfg.Store.Say(ctx, SourceOperator, now, claims, unsaid); err != nil {
		return nil, err
	}
	rep := &UpdateReport{Clauses: map[string]uint64{}}
	return rep, l.settle(ctx, l.cfg.Store, UpdateOptions{}, rep, now)
}
