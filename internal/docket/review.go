package docket

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/appeal"
	"github.com/shoji-dns/shoji/internal/curate"
)

// What staff can say of a subject that the policy wants a person's word on.
const (
	Confirmed = "confirmed" // it is listed
	Rejected  = "rejected"  // it is not
)

const (
	// MaxReviews is how many subjects that wait for a person's word are shown; further ones are counted.
	MaxReviews = 1000
	// reviewAge is how long what waits is taken for known although no evidence changed: evidence goes stale.
	reviewAge = time.Hour
)

// Reviewer is the part of a curate.Loop that knows what waits for a person's word, and takes it.
type Reviewer interface {
	Waiting(ctx context.Context) iter.Seq2[*curate.Waiting, error]
	Word(ctx context.Context, s curate.Subject) (*curate.Waiting, error)
	Rule(ctx context.Context, subjects []curate.Subject, confirmed bool) (*curate.UpdateReport, error)
	Changed(ctx context.Context) (string, error)
}

// Reviews is what waits for a person's word.
type Reviews struct {
	All   []curate.Waiting // the first MaxReviews
	Total int
	At    time.Time
}

// board remembers what waits, which costs a pass over all evidence: it is made when somebody looks.
type board struct {
	mu      sync.Mutex
	making  chan struct{} // closed when the one that is being made is done; nil: none is
	reviews *Reviews
	state   string // of the evidence that it was made of
	err     error  // of the last attempt
}

// Reviews is what waits for a person's word: nil while it is still being found out after patience. What was known
// before is returned while something newer is being made.
func (d *Docket) Reviews(ctx context.Context, patience time.Duration) (*Reviews, error) {
	if d.cfg.Reviewer == nil {
		return &Reviews{At: d.now()}, nil
	}
	state, err := d.cfg.Reviewer.Changed(ctx)
	if err != nil {
		return nil, err
	}
	making, known := d.board.look(state, d.now(), func() (*Reviews, error) {
		return d.review(context.WithoutCancel(ctx)) // who waits for it may go away
	})
	if making != nil {
		over := time.NewTimer(patience)
		defer over.Stop()
		select {
		case <-making:
			return d.board.result()
		case <-over.C:
		case <-ctx.Done():
		}
	}
	return known, nil
}

// look returns what is known; where that is old it has it made anew, once at a time, and says when that is done.
func (b *board) look(state string, now time.Time, find func() (*Reviews, error)) (making chan struct{}, known *Reviews) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.making != nil || b.err == nil && b.reviews != nil && b.state == state && now.Sub(b.reviews.At) < reviewAge {
		return b.making, b.reviews
	}
	done := make(chan struct{})
	b.making = done
	go func() {
		reviews, err := find()
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.err = err; err == nil {
			b.reviews, b.state = reviews, state
		}
		b.making = nil
		close(done)
	}()
	return done, b.reviews
}

func (b *board) result() (*Reviews, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reviews, b.err
}

// review finds out what waits.
func (d *Docket) review(ctx context.Context) (*Reviews, error) {
	r := &Reviews{At: d.now()}
	for w, err := range d.cfg.Reviewer.Waiting(ctx) {
		if err != nil {
			return nil, err
		}
		if r.Total++; len(r.All) < MaxReviews {
			r.All = append(r.All, *w)
		}
	}
	return r, nil
}

// Review is one subject that waits for a person's word, with what members of staff have said of it.
type Review struct {
	curate.Waiting
	Votes  []appeal.Vote
	People int // of staff, who have to agree
}

// Review is what waits of a subject, as curate.ParseSubject reads it; ErrUnknown where nobody is asked about it.
func (d *Docket) Review(ctx context.Context, subject string) (*Review, error) {
	s, err := curate.ParseSubject(subject)
	if err != nil || d.cfg.Reviewer == nil {
		return nil, ErrUnknown
	}
	w, err := d.cfg.Reviewer.Word(ctx, s)
	if err != nil {
		return nil, err
	}
	if w == nil {
		return nil, ErrUnknown
	}
	r := &Review{Waiting: *w, People: max(w.Clause.People, 1)}
	r.Votes, err = d.reviewVotes(ctx, w.Subject, w.Clause.ID)
	return r, err
}

// reviewVotes are those on a subject while a clause asks about it.
func (d *Docket) reviewVotes(ctx context.Context, subject string, clause string) ([]appeal.Vote, error) {
	return d.votes(ctx, `SELECT member, verdict, reason, at FROM docket_review WHERE subject = ? AND clause = ? ORDER BY number`, subject, clause)
}

// Say is what a member of staff says of a subject that waits. When as many agree as the clause asks for, it
// comes into force. ErrUnknown says that nobody is asked any more.
func (d *Docket) Say(ctx context.Context, subject, member, verdict, reason string) (decided bool, err error) {
	if verdict != Confirmed && verdict != Rejected {
		return false, refuse(BadText, "no verdict: %.40q", verdict)
	}
	if reason, err = plain(reason, MaxReason, false); err != nil {
		return false, err
	}
	if reason == "" {
		return false, refuse(BadText, "a decision needs a reason")
	}
	r, err := d.Review(ctx, subject)
	if err != nil {
		return false, err
	}
	_, err = d.db.Exec(ctx, `INSERT INTO docket_review (subject, clause, member, verdict, reason, at) VALUES (?, ?, ?, ?, ?, ?)`,
		r.Subject, r.Clause.ID, member, verdict, reason, d.now().UnixMilli())
	if err != nil {
		return false, err
	}
	if r.Votes, err = d.reviewVotes(ctx, r.Subject, r.Clause.ID); err != nil {
		return false, err
	}
	verdict, _, decided = appeal.Agree(r.Votes, r.People, Rejected, Confirmed)
	if !decided {
		return false, nil
	}
	s, err := curate.ParseSubject(r.Subject)
	if err != nil {
		return false, err
	}
	rep, err := d.cfg.Reviewer.Rule(ctx, []curate.Subject{s}, verdict == Confirmed)
	if err != nil {
		return false, err
	}
	if _, err = d.db.Exec(ctx, `DELETE FROM docket_review WHERE subject = ?`, r.Subject); err == nil && rep.Held != "" {
		err = fmt.Errorf("%w: %s", ErrHeld, rep.Held)
	}
	return true, err
}

// ErrHeld says that a word was taken, and that more would change with it than the policy lets through unseen.
var ErrHeld = errors.New("nothing came into force yet")
