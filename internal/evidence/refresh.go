package evidence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/database"
	"github.com/shoji-dns/shoji/ledger"
)

// Revision numbers the refreshes of a store. What a refresh changed has its number.
type Revision int64

// Refreshed is what a refresh did.
type Refreshed struct {
	Revision  Revision // 0 where nothing changed
	Claims    int      // that the source makes now
	Added     int      // new, or made again
	Changed   int      // with another date, family or reference
	Withdrawn int
}

// ShrunkError refuses a refresh that would withdraw most of what a source says.
type ShrunkError struct {
	Source      string
	Before, Now int
}

func (e *ShrunkError) Error() string {
	return fmt.Sprintf("source %s makes %d claims, and made %d before: nothing was changed; if that is right, refresh it by force", e.Source, e.Now, e.Before)
}

// Validators are what an HTTP server said to ask by the next time (RFC 9110 §8.8).
type Validators struct {
	ETag, LastModified string
}

// shrinkFloor is how many claims a source must have made for a shrinkage to be suspicious.
const shrinkFloor = 16

// Reading is one reading of a source.
type Reading struct {
	Source     string
	At         time.Time
	Published  time.Time // when what was read was published; zero: the source does not say
	Validators           // for the next reading
	Force      bool      // take it although the source shrank
}

// Refresh takes in all that a source says at a moment. An error of claims ends it, with
// nothing changed. Of claims that are about the same, the last one counts.
func (s *Store) Refresh(ctx context.Context, of Reading, claims iter.Seq2[Claim, error]) (Refreshed, error) {
	var r refresh
	err := s.db.Within(ctx, func(t *database.Tx) error {
		r = refresh{t: t, of: of, at: of.At.Unix()}
		if err := r.begin(ctx); err != nil {
			return err
		}
		for c, err := range claims {
			if err == nil {
				err = r.take(ctx, c)
			}
			if err != nil {
				return err
			}
		}
		return r.finish(ctx)
	})
	if err != nil {
		return Refreshed{}, fmt.Errorf("evidence: source %s: %w", of.Source, err)
	}
	return r.done, nil
}

// key is what there is one claim for in a source: its subject's text, and which of
// refresh.sorts it is.
type key struct {
	text string
	sort int32
}

// sort is what a claim is beside its subject's text.
type sort struct {
	scope ledger.Scope
	kind  string
}

// refresh is a refresh under way.
type refresh struct {
	t         *database.Tx
	of        Reading
	at        int64
	number    int64 // of the source
	published int64 // what it said before; 0: it was never read
	revision  int64
	index     map[key]int32 // into have
	have      []have
	sorts     []sort
	rows      []any // of claims to write
	done      Refreshed
}

// have is what is known of a claim: in the store, and then as the source says it now.
type have struct {
	reference, family      string
	first, said, withdrawn int64
	seen                   bool // the source says it now
}

// begin reads what the source said before.
func (r *refresh) begin(ctx context.Context) error {
	if err := declare(ctx, r.t, r.of.Source); err != nil {
		return err
	}
	var size int // about what there is
	if err := r.t.Row(ctx, `SELECT number, published, claims FROM source WHERE id = ?`, r.of.Source).Scan(&r.number, &r.published, &size); err != nil {
		return err
	}
	if err := r.bump(ctx); err != nil {
		return err
	}
	rows, err := r.t.Query(ctx, `SELECT subject`+between+`scope`+between+`kind`+between+`first_seen`+between+`last_said`+between+`withdrawn, reference, family FROM claim WHERE source = ?`, r.number)
	if err != nil {
		return err
	}
	defer rows.Close()
	size += size / 16
	r.index, r.have = make(map[key]int32, size), make([]have, 0, size)
	for rows.Next() {
		var h have
		var p packed
		if err := rows.Scan(&p, &h.reference, &h.family); err != nil {
			return err
		}
		text, scope, kind := p.text(), ledger.Scope(p.text()), p.text()
		h.first, h.said, h.withdrawn = p.number(), p.number(), p.number()
		r.index[key{text, r.sort(scope, kind)}] = int32(len(r.have))
		r.have = append(r.have, h)
	}
	return rows.Err()
}

// sort is the number of a sort of claim.
func (r *refresh) sort(scope ledger.Scope, kind string) int32 {
	s := sort{scope, kind}
	i := slices.Index(r.sorts, s)
	if i < 0 {
		i = len(r.sorts)
		r.sorts = append(r.sorts, s)
	}
	return int32(i)
}

// bump begins a revision.
func (r *refresh) bump(ctx context.Context) error {
	return r.t.Row(ctx, `UPDATE counter SET value = value + 1 WHERE name = 'revision' RETURNING value`).Scan(&r.revision)
}

// take compares one claim with what was known, and writes it where it differs.
func (r *refresh) take(ctx context.Context, c Claim) error {
	k := key{c.Text, r.sort(c.Scope, c.Kind)}
	i, known := r.index[k]
	if !known {
		i = int32(len(r.have))
		r.index[k], r.have = i, append(r.have, have{})
	}
	h := &r.have[i]
	if !h.seen {
		r.done.Claims++
	}
	old := *h
	old.seen = true
	*h = have{reference: c.Reference, family: c.Family, first: unix(c.First), said: unix(c.Last), seen: true}
	if h.said == 0 && c.Archived {
		h.said = r.archived(h.first, old, known)
	}
	switch {
	case h.said == unknown && h.first == 0: // when it was first read says nothing of when it was seen
		h.first = unknown
	case h.first == 0 && h.said == 0 && !r.of.Published.IsZero(): // a list that was published before it was read
		h.first = min(r.at, unix(r.of.Published))
	case h.first == 0:
		h.first = r.at
	}
	if known {
		h.first = min(h.first, old.first)
	}
	switch {
	case known && old == *h:
		return nil
	case known && old.withdrawn == 0:
		r.done.Changed++
	default:
		r.done.Added++
	}
	return r.add(ctx, k, h)
}

// unknown stands for a time in the store where nobody knows it.
const unknown = -1

// archived is when an archive saw what it does not say when it saw last.
func (r *refresh) archived(first int64, old have, known bool) int64 {
	switch {
	case first != 0:
		return first
	case known && old.withdrawn == 0 && old.said != 0:
		return old.said
	case known && old.withdrawn == 0, r.published == 0: // of a source that was a current list, or new
		return unknown
	}
	return r.at
}

// add has a claim written.
func (r *refresh) add(ctx context.Context, k key, h *have) error {
	is := r.sorts[k.sort]
	r.rows = append(r.rows, k.text, string(is.scope), r.number, is.kind, h.reference, h.family, h.first, h.said, h.withdrawn, r.revision)
	if len(r.rows) == batchRows*columns {
		return r.flush(ctx)
	}
	return nil
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

const columns = 10 // of a claim

// flush writes the claims that wait.
func (r *refresh) flush(ctx context.Context) error {
	n := len(r.rows) / columns
	if n == 0 {
		return nil
	}
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", columns), ",") + ")"
	err := r.t.Exec(ctx, `INSERT INTO claim (subject, scope, source, kind, reference, family, first_seen, last_said, withdrawn, revision) VALUES `+
		strings.TrimSuffix(strings.Repeat(row+",", n), ",")+
		` ON CONFLICT (subject, scope, source, kind) DO UPDATE SET reference = excluded.reference, family = excluded.family,
		first_seen = excluded.first_seen, last_said = excluded.last_said, withdrawn = excluded.withdrawn, revision = excluded.revision`, r.rows...)
	r.rows = r.rows[:0]
	return err
}

// finish withdraws what the source no longer says, and notes the refresh.
func (r *refresh) finish(ctx context.Context) error {
	standing := 0
	var gone []key
	for k, i := range r.index {
		h := &r.have[i]
		if h.withdrawn == 0 && !h.seen {
			gone = append(gone, k)
		}
		if h.withdrawn == 0 {
			standing++
		}
	}
	if before := standing - r.done.Added; !r.of.Force && before >= shrinkFloor && 2*len(gone) > before {
		return &ShrunkError{r.of.Source, before, r.done.Claims}
	}
	for _, k := range gone {
		h := &r.have[r.index[k]]
		h.withdrawn = max(r.published, 1)
		if err := r.add(ctx, k, h); err != nil {
			return err
		}
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	r.done.Withdrawn = len(gone)
	if r.done.Added+r.done.Changed+len(gone) > 0 {
		r.done.Revision = Revision(r.revision)
	}
	if err := r.t.Exec(ctx, `DELETE FROM claim WHERE source = ? AND withdrawn > 0 AND withdrawn < ?`, r.number, r.at-int64(Retention/time.Second)); err != nil {
		return err
	}
	return r.t.Exec(ctx, `UPDATE source SET refreshed = ?, published = ?, claims = ?, etag = ?, last_modified = ?, failures = 0, alert = '' WHERE number = ?`,
		r.at, r.publication(), r.done.Claims, r.of.ETag, r.of.LastModified, r.number)
}

// publication is when what was read was published, as far as that can be known. It never
// goes back, and is never ahead of the clock.
func (r *refresh) publication() int64 {
	said := unix(r.of.Published)
	if said == 0 && (r.done.Revision > 0 || r.published == 0) {
		said = r.at
	}
	return max(r.published, min(said, r.at))
}

// Unchanged notes that a source was read at a moment and has nothing newer than before.
func (s *Store) Unchanged(ctx context.Context, source string, at time.Time) error {
	_, err := s.db.Exec(ctx, `UPDATE source SET refreshed = ?, failures = 0, alert = '' WHERE id = ?`, at.Unix(), source)
	return err
}

// Failed notes that a source could not be read, and why. What it said before stands.
func (s *Store) Failed(ctx context.Context, source, why string) error {
	return s.db.Within(ctx, func(t *database.Tx) error {
		if err := declare(ctx, t, source); err != nil {
			return err
		}
		return t.Exec(ctx, `UPDATE source SET failures = failures + 1, alert = ? WHERE id = ?`, why, source)
	})
}

// declare makes a source known.
func declare(ctx context.Context, t *database.Tx, source string) error {
	return t.Exec(ctx, `INSERT INTO source (number, id) SELECT COALESCE(MAX(number), 0) + 1, CAST(? AS TEXT) FROM source WHERE true ON CONFLICT (id) DO NOTHING`, source)
}

// State is what is known of a source.
type State struct {
	ID        string
	Refreshed time.Time // when it was read last; zero: never
	Published time.Time // when what was read was published; zero: never read
	Claims    int
	Validators
	Failures int    // in a row
	Alert    string // why it failed last; "" while it does not
}

// Source is the state of a source; a zero State where it was never refreshed.
func (s *Store) Source(ctx context.Context, id string) (State, error) {
	st := State{ID: id}
	var refreshed, published int64
	err := s.db.Row(ctx, `SELECT refreshed, published, claims, etag, last_modified, failures, alert FROM source WHERE id = ?`, id).
		Scan(&refreshed, &published, &st.Claims, &st.ETag, &st.LastModified, &st.Failures, &st.Alert)
	if errors.Is(err, sql.ErrNoRows) {
		return st, nil
	}
	st.Refreshed, st.Published = moment(refreshed), moment(published)
	return st, err
}
