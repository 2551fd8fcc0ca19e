package docket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoji-dns/shoji/internal/appeal"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/database"
	"github.com/shoji-dns/shoji/ledger"
)

// hearAll hears every statement that waits, in order. One that cannot be heard keeps none of the
// others waiting.
func (d *Docket) hearAll(ctx context.Context) error {
	rows, err := d.db.Query(ctx, selectStatement+`WHERE s.state = ? ORDER BY s.at`, Waiting)
	if err != nil {
		return err
	}
	type waiting struct {
		receipt, id string
		s           *Statement
	}
	var all []waiting // MaxWaiting at most
	for rows.Next() {
		var w waiting
		if w.receipt, w.id, w.s, err = scanStatement(rows); err != nil {
			break
		}
		all = append(all, w)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return err
	}
	var failed []error
	for _, w := range all {
		if err := d.hear(ctx, w.receipt, w.id, w.s); err != nil {
			failed = append(failed, err)
			continue
		}
		d.announce()
	}
	return errors.Join(failed...)
}

// outcome is what became of a statement.
type outcome struct {
	state, id string
	people    int
}

// hear hears one statement, which opens the case id unless it joins another.
func (d *Docket) hear(ctx context.Context, receipt, id string, s *Statement) error {
	subject, err := curate.ParseAsked(s.Subject)
	if err != nil {
		return d.heard(ctx, receipt, outcome{state: Unlisted})
	}
	// A hearing that was cut off after the log had it is not repeated.
	if c, err := d.Case(ctx, id); err == nil {
		return d.heard(ctx, receipt, outcome{Joined, id, c.People})
	} else if !errors.Is(err, ErrUnknown) {
		return err
	}
	out := outcome{state: Unlisted}
	err = d.cfg.Hear(ctx, subject, func(h *curate.Hearing) (*curate.Ruling, error) {
		if !h.Listed {
			return nil, nil
		}
		if err := d.Sync(ctx); err != nil {
			return nil, err
		}
		var r *curate.Ruling
		out, r, err = d.open(ctx, id, s.Cause, h)
		return r, err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.Subject, err)
	}
	if err := d.Sync(ctx); err != nil {
		return err
	}
	if c, err := d.Case(ctx, id); err == nil && out.state == Unlisted { // another process has heard it meanwhile
		out = outcome{Joined, id, c.People}
	}
	return d.heard(ctx, receipt, out)
}

// open rules on a statement about something that is listed.
func (d *Docket) open(ctx context.Context, id, cause string, h *curate.Hearing) (outcome, *curate.Ruling, error) {
	standing, err := d.openCase(ctx, keyOf(h))
	if err != nil {
		return outcome{}, nil, err
	}
	if standing != nil {
		var r *curate.Ruling
		if !h.Stays() {
			r = d.rule(&standing.Case, h, "", "")
		}
		return outcome{Joined, standing.ID, h.People}, r, nil
	}
	if h.Stays() {
		upheld, err := d.upheld(ctx, keyOf(h), h.Now.Add(-repeatPause))
		if err != nil || upheld != "" {
			return outcome{Settled, upheld, 0}, nil, err
		}
	}
	var c appeal.Case
	received := appeal.Receive(id, h.Entry, h.Listing, cause, h.Now)
	if err := c.Apply(received); err != nil {
		return outcome{}, nil, err
	}
	r := d.rule(&c, h, "", "")
	if r == nil {
		r = &curate.Ruling{After: []*ledger.Entry{c.Refer(judgement(h), h.Now)}}
	}
	r.Before = append([]*ledger.Entry{received}, r.Before...)
	return outcome{Joined, id, h.People}, r, nil
}

// keyOf is the key of cases about what is listed.
func keyOf(h *curate.Hearing) string { return appeal.KeyOf(h.Subject(), h.Commitment()) }

func judgement(h *curate.Hearing) appeal.Judgement {
	return appeal.Judgement{Clause: h.Clause, Policy: h.Policy, Evidence: h.Evidence}
}

// rule is what follows for an open case from a hearing and from what staff decided; nil where
// nothing does. What the policy no longer lists ends, whatever staff thinks.
func (d *Docket) rule(c *appeal.Case, h *curate.Hearing, verdict, reason string) *curate.Ruling {
	r := &curate.Ruling{Case: c.ID}
	switch {
	case !h.Listed:
		r.After = []*ledger.Entry{c.Delist(appeal.Judgement{}, "", h.Now)}
	case !h.Stays():
		r.End = true
		r.After = []*ledger.Entry{c.Delist(appeal.Judgement{Clause: h.Clause, Policy: h.Policy}, "", h.Now)}
	case verdict == ledger.CaseDelisted:
		r.Granted, r.Note = true, reason
		r.After = []*ledger.Entry{c.Delist(appeal.Judgement{Clause: h.Clause, Policy: h.Policy}, reason, h.Now)}
	case verdict == ledger.CaseUpheld && c.Status == ledger.CaseReferred:
		r.Upheld = true
		r.After = []*ledger.Entry{c.Uphold(appeal.Judgement{Clause: h.Clause, Policy: h.Policy}, reason, h.Now)}
	default:
		return nil
	}
	return r
}

// heard notes what became of a statement.
func (d *Docket) heard(ctx context.Context, receipt string, out outcome) error {
	now := d.now().UnixMilli()
	return d.db.Within(ctx, func(t *database.Tx) error {
		if out.state == Joined {
			var n int
			if err := t.Row(ctx, `SELECT COUNT(*) FROM docket_statement WHERE case_id = ? AND state = ?`, out.id, Joined).Scan(&n); err != nil {
				return err
			}
			if n >= MaxStatements { // its author can follow the case, and his words are not kept
				if err := t.Exec(ctx, `UPDATE docket_statement SET words = '' WHERE receipt = ?`, receipt); err != nil {
					return err
				}
			}
			if err := t.Exec(ctx, `UPDATE docket_case SET people = ?, checked = ? WHERE id = ?`, out.people, now, out.id); err != nil {
				return err
			}
			// From the first appeal to the end, as measured here.
			if err := t.Exec(ctx, `UPDATE docket_case SET took = CAST(? AS BIGINT) - (SELECT at FROM docket_statement WHERE receipt = ?) WHERE id = ? AND ended > 0 AND took = 0`, now, receipt, out.id); err != nil {
				return err
			}
		}
		if out.id == "" {
			return t.Exec(ctx, `UPDATE docket_statement SET state = ?, heard = ? WHERE receipt = ? AND state = ?`, out.state, now, receipt, Waiting)
		}
		return t.Exec(ctx, `UPDATE docket_statement SET state = ?, case_id = ?, heard = ? WHERE receipt = ? AND state = ?`, out.state, out.id, now, receipt, Waiting)
	})
}

// recheck hears open cases again that were not heard for a while.
func (d *Docket) recheck(ctx context.Context) error {
	rows, err := d.db.Query(ctx, `SELECT id FROM docket_case WHERE ended = 0 AND checked < ? ORDER BY checked LIMIT ?`, d.now().Add(-recheckEvery).UnixMilli(), rechecks)
	if err != nil {
		return err
	}
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			rows.Close()
			return err
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	var failed []error
	for _, id := range ids {
		if _, err := d.Reconsider(ctx, id); err != nil {
			failed = append(failed, err)
			_, err = d.db.Exec(ctx, `UPDATE docket_case SET checked = ? WHERE id = ?`, d.now().UnixMilli(), id)
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// Reconsider hears an open case again, with the votes that it has. A case that all its authors have
// taken back ends. It returns the case as it is then.
func (d *Docket) Reconsider(ctx context.Context, id string) (*Case, error) {
	c, err := d.Case(ctx, id)
	if err != nil || !c.Open() {
		return c, err
	}
	subject, err := d.subject(ctx, c)
	if err != nil {
		return nil, err
	}
	people := c.People
	err = d.cfg.Hear(ctx, subject, func(h *curate.Hearing) (*curate.Ruling, error) {
		if err := d.Sync(ctx); err != nil { // another process may have ended it meanwhile
			return nil, err
		}
		if c, err = d.Case(ctx, id); err != nil || !c.Open() {
			return nil, err
		}
		if h.Listed && keyOf(h) != c.Key() { // the listing ended; a wider one filters the same
			h = &curate.Hearing{Asked: h.Asked, Now: h.Now, Policy: h.Policy}
		}
		if h.Listed {
			people = h.People
		}
		return d.reconsidered(ctx, c, h)
	})
	if err != nil {
		return nil, fmt.Errorf("case %s: %w", id, err)
	}
	if err := d.Sync(ctx); err != nil {
		return nil, err
	}
	if _, err := d.db.Exec(ctx, `UPDATE docket_case SET people = ?, checked = ? WHERE id = ?`, people, d.now().UnixMilli(), id); err != nil {
		return nil, err
	}
	defer d.announce()
	if err := d.measure(ctx, id); err != nil {
		return nil, err
	}
	return d.Case(ctx, id)
}

// subject is what a case is about. Of a name that is not told, what somebody asked for who appealed.
func (d *Docket) subject(ctx context.Context, c *Case) (curate.Subject, error) {
	if text := c.Subject(); text != "" {
		return curate.ParseSubject(text)
	}
	var asked string
	err := d.db.Row(ctx, `SELECT subject FROM docket_statement WHERE case_id = ? ORDER BY at LIMIT 1`, c.ID).Scan(&asked)
	if err != nil {
		return curate.Subject{}, fmt.Errorf("case %s is about a name that is not told, and nobody's appeal is left: %w", c.ID, err)
	}
	return curate.ParseAsked(asked)
}

func (d *Docket) reconsidered(ctx context.Context, c *Case, h *curate.Hearing) (*curate.Ruling, error) {
	live, err := d.live(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	votes, err := d.Votes(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	verdict, reason, _ := appeal.Tally(votes, h.People)
	r := d.rule(&c.Case, h, verdict, reason)
	switch {
	case r != nil:
	case !live:
		r = &curate.Ruling{After: []*ledger.Entry{c.Withdraw(h.Now)}}
	case c.Status == ledger.CaseReceived: // of a hearing that was cut off
		r = &curate.Ruling{After: []*ledger.Entry{c.Refer(judgement(h), h.Now)}}
	}
	return r, nil
}

// live reports whether not every author of a case has taken his appeal back. A case whose
// statements are not known, as after a store was lost, is.
func (d *Docket) live(ctx context.Context, id string) (bool, error) {
	var all, back int
	err := d.db.Row(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN state = ? THEN 1 ELSE 0 END), 0) FROM docket_statement WHERE case_id = ? AND state <> ?`, Withdrawn, id, Waiting).Scan(&all, &back)
	return all == 0 || back < all, err
}

// measure notes how long a case took that has ended.
func (d *Docket) measure(ctx context.Context, id string) error {
	_, err := d.db.Exec(ctx, `UPDATE docket_case SET took = CAST(? AS BIGINT) - (SELECT MIN(at) FROM docket_statement WHERE case_id = ?)
		WHERE id = ? AND ended > 0 AND took = 0 AND EXISTS (SELECT 1 FROM docket_statement WHERE case_id = ?)`, d.now().UnixMilli(), id, id, id)
	return err
}

// Vote is a vote of a member of staff, and what follows: the case as it is then.
func (d *Docket) Vote(ctx context.Context, id, member, verdict, reason string) (*Case, error) {
	if verdict != ledger.CaseUpheld && verdict != ledger.CaseDelisted {
		return nil, refuse(BadText, "no verdict: %.40q", verdict)
	}
	reason, err := plain(reason, MaxReason, false)
	if err != nil {
		return nil, err
	}
	if reason == "" {
		return nil, refuse(BadText, "a decision needs a reason")
	}
	c, err := d.Case(ctx, id)
	if err != nil || !c.Open() {
		return c, err
	}
	_, err = d.db.Exec(ctx, `INSERT INTO docket_vote (case_id, member, verdict, reason, at) VALUES (?, ?, ?, ?, ?)`, id, member, verdict, reason, d.now().UnixMilli())
	if err != nil {
		return nil, err
	}
	return d.Reconsider(ctx, id)
}

// Votes are those of a case, in order.
func (d *Docket) Votes(ctx context.Context, id string) ([]appeal.Vote, error) {
	return d.votes(ctx, `SELECT member, verdict, reason, at FROM docket_vote WHERE case_id = ? ORDER BY number`, id)
}

func (d *Docket) votes(ctx context.Context, query string, args ...any) ([]appeal.Vote, error) {
	rows, err := d.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []appeal.Vote
	for rows.Next() {
		var v appeal.Vote
		var at int64
		if err := rows.Scan(&v.Member, &v.Verdict, &v.Reason, &at); err != nil {
			return nil, err
		}
		v.At = moment(at)
		out = append(out, v)
	}
	return out, rows.Err()
}

// Disqualify takes back the votes of a member on cases that are open and on what waits, as when his membership ends.
func (d *Docket) Disqualify(ctx context.Context, member string) error {
	_, err1 := d.db.Exec(ctx, `DELETE FROM docket_vote WHERE member = ? AND case_id IN (SELECT id FROM docket_case WHERE ended = 0)`, member)
	_, err2 := d.db.Exec(ctx, `DELETE FROM docket_review WHERE member = ?`, member)
	return errors.Join(err1, err2)
}

// Figures are how the docket does.
type Figures struct {
	Open     int           `json:"open"`
	Waiting  int           `json:"waiting"` // statements that were not heard yet
	Ended    int           `json:"ended"`   // cases, ever
	Delisted int           `json:"delisted"`
	Upheld   int           `json:"upheld"`
	Policy   time.Duration `json:"policy_median"` // from the appeal to the end, where the policy alone decided
	People   time.Duration `json:"people_median"` // where staff did
}

// Figures counts and measures.
func (d *Docket) Figures(ctx context.Context) (*Figures, error) {
	f := &Figures{}
	err := d.db.Row(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN ended > 0 THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN status = ? THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN status = ? THEN 1 ELSE 0 END), 0) FROM docket_case`, ledger.CaseDelisted, ledger.CaseUpheld).Scan(&f.Open, &f.Ended, &f.Delisted, &f.Upheld)
	if err != nil {
		return nil, err
	}
	f.Open -= f.Ended
	if err := d.db.Row(ctx, `SELECT COUNT(*) FROM docket_statement WHERE state = ?`, Waiting).Scan(&f.Waiting); err != nil {
		return nil, err
	}
	cases, err := d.Cases(ctx, Search{Ended: true, Limit: figuresOver})
	if err != nil {
		return nil, err
	}
	var policy, people appeal.Spans
	for i := range cases {
		c := &cases[i]
		switch {
		case c.Took == 0 || c.Status == ledger.CaseWithdrawn:
		case c.ByPeople():
			people = append(people, c.Took)
		default:
			policy = append(policy, c.Took)
		}
	}
	f.Policy, f.People = policy.Within(0.5), people.Within(0.5)
	return f, nil
}

// figuresOver is how many of the last cases times are measured over.
const figuresOver = 500
