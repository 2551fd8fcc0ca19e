package evidence

import (
	"context"
	"database/sql"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/ledger"
)

// About is all that is known about one name or prefix.
type About struct {
	Text     string
	Prefix   bool
	Evidence []Evidence
}

// Evidence is one claim as it stands.
type Evidence struct {
	ledger.Evidence
	Scope     ledger.Scope
	Withdrawn bool // the source no longer says so
}

// MaxEvidence is how many claims about one subject are read: as many as a log entry holds.
// Further ones, of sources that were declared later, are left out.
const MaxEvidence = ledger.MaxEvidence

// What is of restricted form comes in one column, its parts apart by fieldEnd: each column of a
// row costs modernc's SQLite a call under a lock, and that is most of what reading costs.
const (
	fieldEnd     = "\x1f"
	between      = ` || '` + fieldEnd + `' || `
	selectClaims = `SELECT c.subject` + between + `c.scope` + between + `c.kind` + between + `c.first_seen` + between + `c.last_said` + between + `c.withdrawn` +
		between + `s.id` + between + `s.published, c.reference, c.family FROM claim c JOIN source s ON s.number = c.source `
)

// packed is such a column, taken apart from its beginning.
type packed string

func (p *packed) text() string {
	text, rest, _ := strings.Cut(string(*p), fieldEnd)
	*p = packed(rest)
	return text
}

func (p *packed) number() int64 {
	n, _ := strconv.ParseInt(p.text(), 10, 64) // the database holds an integer
	return n
}

// Since yields every subject that a refresh after a revision changed, with all that is known
// about it, in the order of their texts. Since(0) yields all subjects.
func (s *Store) Since(ctx context.Context, after Revision) iter.Seq2[*About, error] {
	if after == 0 {
		return s.read(ctx, selectClaims+`ORDER BY c.subject, c.source, c.kind, c.scope`)
	}
	return s.read(ctx, selectClaims+`WHERE c.subject IN (SELECT subject FROM claim WHERE revision > ?) ORDER BY c.subject, c.source, c.kind, c.scope`, int64(after))
}

// LastSeenBetween yields the subjects with evidence that was last seen from one moment to
// before another: those whose evidence has passed an age meanwhile.
func (s *Store) LastSeenBetween(ctx context.Context, from, to time.Time) iter.Seq2[*About, error] {
	return s.read(ctx, selectClaims+`WHERE c.subject IN (SELECT c.subject FROM claim c JOIN source s ON s.number = c.source
		WHERE CASE WHEN c.last_said <> 0 THEN c.last_said WHEN c.withdrawn > 0 THEN c.withdrawn ELSE s.published END BETWEEN ? AND ?)
		ORDER BY c.subject, c.source, c.kind, c.scope`, from.Unix(), to.Unix()-1)
}

// One is all that is known about a name or prefix; nil where nothing is.
func (s *Store) One(ctx context.Context, text string) (*About, error) {
	for a, err := range s.read(ctx, selectClaims+`WHERE c.subject = ? ORDER BY c.source, c.kind, c.scope`, text) {
		return a, err
	}
	return nil, nil
}

// OfKinds yields every claim of some kinds that was not withdrawn, with its subject.
func (s *Store) OfKinds(ctx context.Context, kinds ...string) iter.Seq2[*About, error] {
	args := make([]any, len(kinds))
	for i, k := range kinds {
		args[i] = k
	}
	in := strings.TrimSuffix(strings.Repeat("?,", len(kinds)), ",")
	return s.read(ctx, selectClaims+`WHERE c.withdrawn = 0 AND c.kind IN (`+in+`) ORDER BY c.subject, c.source, c.kind, c.scope`, args...)
}

// Near yields what OfKinds does, of some subjects alone: those with the texts names, those
// whose name ends with a dot and below unless that is "", and with prefixes all that are prefixes.
func (s *Store) Near(ctx context.Context, names []string, below string, prefixes bool, kinds ...string) iter.Seq2[*About, error] {
	var args []any
	marks := func(texts []string) string {
		for _, t := range texts {
			args = append(args, t)
		}
		return "(" + strings.TrimSuffix(strings.Repeat("?,", len(texts)), ",") + ")"
	}
	query := selectClaims + `WHERE c.withdrawn = 0 AND c.kind IN ` + marks(kinds) + ` AND (c.subject IN ` + marks(append(names, ""))
	if below != "" {
		query += ` OR SUBSTR(c.subject, LENGTH(c.subject) - LENGTH(CAST(? AS TEXT)), LENGTH(CAST(? AS TEXT)) + 1) = CAST(? AS TEXT)`
		args = append(args, below, below, "."+below)
	}
	if prefixes {
		query += ` OR c.scope = ?`
		args = append(args, string(ledger.ScopePrefix))
	}
	return s.read(ctx, query+`) ORDER BY c.subject, c.source, c.kind, c.scope`, args...)
}

// Subjects yields the texts of all subjects, each once.
func (s *Store) Subjects(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		rows, err := s.db.Query(ctx, `SELECT DISTINCT subject FROM claim`)
		if err != nil {
			yield("", err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			err := rows.Scan(&text)
			if !yield(text, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield("", err)
		}
	}
}

// Revision is that of the last refresh.
func (s *Store) Revision(ctx context.Context) (Revision, error) {
	var r Revision
	err := s.db.Row(ctx, `SELECT value FROM counter WHERE name = 'revision'`).Scan(&r)
	return r, err
}

// read groups rows by subject.
func (s *Store) read(ctx context.Context, query string, args ...any) iter.Seq2[*About, error] {
	return func(yield func(*About, error) bool) {
		rows, err := s.db.Query(ctx, query, args...)
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close()
		var a *About
		for rows.Next() {
			text, e, err := scan(rows)
			if err != nil {
				yield(nil, err)
				return
			}
			if a == nil || a.Text != text {
				if a != nil && !yield(a, nil) {
					return
				}
				a = &About{Text: text, Prefix: e.Scope == ledger.ScopePrefix}
			}
			if len(a.Evidence) < MaxEvidence {
				a.Evidence = append(a.Evidence, e)
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, err)
			return
		}
		if a != nil {
			yield(a, nil)
		}
	}
}

func scan(rows *sql.Rows) (text string, e Evidence, err error) {
	var p packed
	err = rows.Scan(&p, &e.Reference, &e.Family)
	text, e.Scope, e.Kind = p.text(), ledger.Scope(p.text()), p.text()
	first, said, withdrawn := p.number(), p.number(), p.number()
	e.Source = p.text()
	published := p.number()
	e.First = moment(first)
	e.Withdrawn = withdrawn > 0
	switch {
	case said != 0:
		e.Last = moment(said)
	case withdrawn > 0:
		e.Last = moment(withdrawn)
	default:
		e.Last = moment(published)
	}
	return text, e, err
}

// moment is the zero time where there is none, or nobody knows.
func moment(unix int64) time.Time {
	if unix <= 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}
