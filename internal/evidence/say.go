package evidence

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/shoji-dns/shoji/internal/database"
)

// Say takes in single claims of a source that is not read as a whole, such as what a person
// decides, beside what it said before. Of the subjects of claims it forgets what the source
// said of the kinds unsaid.
func (s *Store) Say(ctx context.Context, source string, at time.Time, claims []Claim, unsaid ...string) error {
	err := s.db.Within(ctx, func(t *database.Tx) error {
		r := refresh{t: t, at: at.Unix()}
		if err := declare(ctx, t, source); err != nil {
			return err
		}
		if err := t.Row(ctx, `SELECT number FROM source WHERE id = ?`, source).Scan(&r.number); err != nil {
			return err
		}
		if err := r.bump(ctx); err != nil {
			return err
		}
		for _, c := range claims {
			for _, kind := range unsaid {
				if err := t.Exec(ctx, `DELETE FROM claim WHERE subject = ? AND source = ? AND kind = ?`, c.Text, r.number, kind); err != nil {
					return err
				}
			}
			h := have{reference: c.Reference, family: c.Family, first: cmp.Or(unix(c.First), r.at), said: cmp.Or(unix(c.Last), r.at)}
			if err := r.add(ctx, key{c.Text, r.sort(c.Scope, c.Kind)}, &h); err != nil {
				return err
			}
		}
		return r.flush(ctx)
	})
	if err != nil {
		return fmt.Errorf("evidence: source %s: %w", source, err)
	}
	return nil
}

// Forget drops what sources no longer say of a subject, of some kinds, and reports how much
// that was.
func (s *Store) Forget(ctx context.Context, text string, kinds ...string) (int64, error) {
	var forgotten int64
	err := s.db.Within(ctx, func(t *database.Tx) error {
		for _, kind := range kinds {
			n, err := t.Count(ctx, `DELETE FROM claim WHERE subject = ? AND kind = ? AND withdrawn > 0`, text, kind)
			if err != nil {
				return err
			}
			forgotten += n
		}
		if forgotten == 0 {
			return nil
		}
		// Whoever decides by what changed since a revision has to look at the subject again.
		r := refresh{t: t}
		if err := r.bump(ctx); err != nil {
			return err
		}
		return t.Exec(ctx, `UPDATE claim SET revision = ? WHERE subject = ?`, r.revision, text)
	})
	if err != nil {
		return 0, fmt.Errorf("evidence: %s: %w", text, err)
	}
	return forgotten, nil
}
