package docket

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/shoji-dns/shoji/internal/appeal"
	"github.com/shoji-dns/shoji/internal/database"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// Case is a case with what the docket knows beside the log.
type Case struct {
	appeal.Case
	Entries []uint64      // of the log, one a step
	Took    time.Duration // from the appeal to the end, as measured here; 0 where it was not
	People  int           // of staff, who have to agree
}

const selectCase = `SELECT data, entries, took, people FROM docket_case `

func scanCase(row interface{ Scan(...any) error }) (*Case, error) {
	c := &Case{}
	var data, entries string
	var took int64
	if err := row.Scan(&data, &entries, &took, &c.People); err != nil {
		return nil, err
	}
	c.Took = time.Duration(took) * time.Millisecond
	return c, errors.Join(json.Unmarshal([]byte(data), &c.Case), json.Unmarshal([]byte(entries), &c.Entries))
}

// Case is the case with an identity.
func (d *Docket) Case(ctx context.Context, id string) (*Case, error) {
	c, err := scanCase(d.db.Row(ctx, selectCase+`WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrUnknown
	}
	return c, err
}

// Search says which cases are looked for.
type Search struct {
	Open, Ended bool // both or none: all
	Limit       int
	Offset      int
}

// Cases are the cases that are looked for, the last received first; those that are open the other
// way around, for who came first is to be heard first.
func (d *Docket) Cases(ctx context.Context, s Search) ([]Case, error) {
	where, order := `WHERE true`, `DESC`
	switch {
	case s.Open && !s.Ended:
		where, order = `WHERE ended = 0`, `ASC`
	case s.Ended && !s.Open:
		where = `WHERE ended > 0`
	}
	rows, err := d.db.Query(ctx, selectCase+where+` ORDER BY received `+order+`, id LIMIT ? OFFSET ?`, s.Limit, s.Offset)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Case
	for rows.Next() {
		c, err := scanCase(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, *c)
	}
	return out, rows.Err()
}

// openCase is the open case about a subject; nil where there is none.
func (d *Docket) openCase(ctx context.Context, subject string) (*Case, error) {
	c, err := scanCase(d.db.Row(ctx, selectCase+`WHERE subject = ? AND ended = 0 ORDER BY received LIMIT 1`, subject))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return c, err
}

// upheld is the case in which a listing was upheld last since a moment; "" for none.
func (d *Docket) upheld(ctx context.Context, subject string, since time.Time) (id string, err error) {
	err = d.db.Row(ctx, `SELECT id FROM docket_case WHERE subject = ? AND status = ? AND ended > ? ORDER BY ended DESC LIMIT 1`,
		subject, ledger.CaseUpheld, since.UnixMilli()).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, err
}

// memoLog is the name under which the store notes up to which entry it has read the log.
const memoLog = "log"

// Sync reads what the log says of cases since it was read last. Where the log is shorter than
// that, which only another log is, it is read from the beginning.
func (d *Docket) Sync(ctx context.Context) error {
	d.sync.Lock()
	defer d.sync.Unlock()
	key, err := sequence.ReadVerifier(d.cfg.Dir)
	if err != nil {
		return err
	}
	log, err := ledger.OpenFolder(sequence.Folder(d.cfg.Dir))
	if err != nil {
		return err
	}
	defer log.Close()
	tip, err := ledger.ReadCheckpoint(ctx, log, key)
	if err != nil {
		return err
	}
	var memo string
	err = d.db.Row(ctx, `SELECT value FROM docket_memo WHERE name = ?`, memoLog).Scan(&memo)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	from, err := strconv.ParseUint(memo, 10, 64)
	if err != nil || from > tip.Size {
		from = 0
	}
	if from == tip.Size {
		return nil
	}
	return d.db.Within(ctx, func(t *database.Tx) error {
		err := ledger.Walk(ctx, log, tip, from, tip.Size, func(n uint64, e *ledger.Entry, _ []byte) error {
			if e.Kind != ledger.KindCase {
				return nil
			}
			return d.step(ctx, t, n, e)
		})
		if err != nil {
			return err
		}
		return t.Exec(ctx, `INSERT INTO docket_memo (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, memoLog, strconv.FormatUint(tip.Size, 10))
	})
}

// step takes one entry of a case into the store. One that does not follow is told, and left out.
func (d *Docket) step(ctx context.Context, t *database.Tx, n uint64, e *ledger.Entry) error {
	c, err := scanCase(t.Row(ctx, selectCase+`WHERE id = ?`, e.Case))
	if errors.Is(err, sql.ErrNoRows) {
		c, err = &Case{People: 1}, nil
	}
	if err != nil {
		return err
	}
	if slices.Contains(c.Entries, n) {
		return nil
	}
	if err := c.Apply(e); err != nil {
		d.cfg.Logger.Warn("an entry of the log is no step of its case", "entry", n, "cause", err)
		return nil
	}
	c.Entries = append(c.Entries, n)
	data, err1 := json.Marshal(c.Case)
	entries, err2 := json.Marshal(c.Entries)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("case %s: %w", c.ID, err)
	}
	ended := int64(0)
	if !c.Ended.IsZero() {
		ended = c.Ended.UnixMilli()
	}
	return t.Exec(ctx, `INSERT INTO docket_case (id, subject, status, received, ended, entries, data) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET status = excluded.status, ended = excluded.ended, entries = excluded.entries, data = excluded.data`,
		c.ID, c.Key(), c.Status, c.Received.UnixMilli(), ended, string(entries), string(data))
}

// Entry is an entry of the log, for what a page shows of it.
func (d *Docket) Entry(ctx context.Context, n uint64) (*ledger.Entry, error) {
	key, err := sequence.ReadVerifier(d.cfg.Dir)
	if err != nil {
		return nil, err
	}
	log, err := ledger.OpenFolder(sequence.Folder(d.cfg.Dir))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	tip, err := ledger.ReadCheckpoint(ctx, log, key)
	if err != nil {
		return nil, err
	}
	return ledger.ReadEntry(ctx, log, tip, n)
}
