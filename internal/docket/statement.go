package docket

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/shoji-dns/shoji/internal/appeal"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/database"
)

// Appeal is what somebody hands in.
type Appeal struct {
	Subject  string // a name or an address, as it was typed
	Cause    string // one of appeal.Causes
	Words    string // for staff; may be empty
	Contact  string // for staff; may be empty
	Language string // in which to answer
}

// The states of a statement.
const (
	Waiting   = "waiting"   // it was not heard yet
	Joined    = "joined"    // it belongs to a case
	Unlisted  = "unlisted"  // nothing filters its subject
	Settled   = "settled"   // a person upheld the listing not long ago, in the case that it names
	Withdrawn = "withdrawn" // its author took it back
)

// Statement is an appeal as it is kept.
type Statement struct {
	Appeal          // Contact is there for staff alone
	HasContact bool // there is one
	State      string
	Case       string // "" where there is none
	At, Heard  time.Time
}

// Refusal is why an appeal is not taken. Its text is for logs; Code is for pages.
type Refusal struct {
	Code   string
	detail string
}

func (r *Refusal) Error() string { return "the appeal is not taken: " + r.Code + ": " + r.detail }

// The codes of refusals.
const (
	BadSubject = "bad-subject" // neither a name nor an address
	BadCause   = "bad-cause"
	BadText    = "bad-text" // too long, no UTF-8, or with control characters
	QueueFull  = "queue-full"
)

func refuse(code, format string, args ...any) error {
	return &Refusal{code, fmt.Sprintf(format, args...)}
}

// Check says what is wrong with an appeal: a *Refusal.
func (a Appeal) Check() error {
	_, err := a.check()
	return err
}

// check says what is wrong with an appeal, and puts it into the form in which it is kept.
func (a *Appeal) check() (curate.Subject, error) {
	a.Subject = strings.TrimSpace(a.Subject)
	if len(a.Subject) > MaxSubject || !utf8.ValidString(a.Subject) {
		return curate.Subject{}, refuse(BadSubject, "%d octets", len(a.Subject))
	}
	s, err := curate.ParseAsked(a.Subject)
	if err != nil {
		return s, refuse(BadSubject, "%v", err)
	}
	if !slices.Contains(appeal.Causes(), a.Cause) {
		return s, refuse(BadCause, "%.40q", a.Cause)
	}
	if a.Words, err = plain(a.Words, MaxWords, true); err != nil {
		return s, err
	}
	if a.Contact, err = plain(a.Contact, MaxContact, false); err != nil {
		return s, err
	}
	if a.Language != "ja" {
		a.Language = "en"
	}
	a.Subject = s.String()
	return s, nil
}

// plain is a text that can be shown as it is: UTF-8 without control characters, and without
// those that change the direction of what follows, which could make it read as another text.
func plain(s string, most int, lines bool) (string, error) {
	s = strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n"))
	if len(s) > most {
		return "", refuse(BadText, "%d octets, more than %d", len(s), most)
	}
	if !utf8.ValidString(s) {
		return "", refuse(BadText, "no UTF-8")
	}
	for _, c := range s {
		if unicode.Is(unicode.Bidi_Control, c) || unicode.IsControl(c) && !(lines && (c == '\n' || c == '\t')) {
			return "", refuse(BadText, "%#U", c)
		}
	}
	return s, nil
}

// Submit takes an appeal in, to be heard at once, and hands out its receipt.
func (d *Docket) Submit(ctx context.Context, a Appeal) (receipt string, err error) {
	if _, err := a.check(); err != nil {
		return "", err
	}
	receipt = rand.Text()
	now := d.now()
	err = d.db.Within(ctx, func(t *database.Tx) error {
		if err := room(ctx, t, now); err != nil {
			return err
		}
		err := t.Exec(ctx, `INSERT INTO docket_statement (receipt, case_id, subject, cause, words, language, state, at, heard) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)`,
			digest(receipt), newID(), a.Subject, a.Cause, a.Words, a.Language, Waiting, now.UnixMilli())
		if err == nil && a.Contact != "" {
			err = t.Exec(ctx, `INSERT INTO docket_contact (receipt, contact) VALUES (?, ?)`, digest(receipt), a.Contact)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	d.poke()
	return receipt, nil
}

// poke has Run look at what waits.
func (d *Docket) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// room refuses where the docket holds all that it may.
func room(ctx context.Context, t *database.Tx, now time.Time) error {
	for _, limit := range []struct {
		query string
		args  []any
		most  int
	}{
		{`SELECT COUNT(*) FROM docket_case WHERE ended = 0`, nil, MaxOpen},
		{`SELECT COUNT(*) FROM docket_statement WHERE state = ?`, []any{Waiting}, MaxWaiting},
		{`SELECT COUNT(*) FROM docket_statement WHERE at > ?`, []any{now.Add(-24 * time.Hour).UnixMilli()}, MaxDaily},
	} {
		var n int
		if err := t.Row(ctx, limit.query, limit.args...).Scan(&n); err != nil {
			return err
		}
		if n >= limit.most {
			return refuse(QueueFull, "%d of %d", n, limit.most)
		}
	}
	return nil
}

// digest is what is kept of a token: whoever reads the store cannot use it.
func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// newID is a case's identity in the log: random, so that a store that is restored from a backup
// does not give one away twice.
func newID() string { return "case-" + strings.ToLower(rand.Text()[:12]) }

// ErrUnknown says that there is no such case or receipt.
var ErrUnknown = errors.New("there is no such case or receipt")

const selectStatement = `SELECT s.receipt, s.case_id, s.subject, s.cause, s.words, s.language, s.state, s.at, s.heard, COALESCE(c.contact, '')
	FROM docket_statement s LEFT JOIN docket_contact c ON c.receipt = s.receipt `

func scanStatement(row interface{ Scan(...any) error }) (receipt, id string, s *Statement, err error) {
	s = &Statement{}
	var at, heard int64
	err = row.Scan(&receipt, &id, &s.Subject, &s.Cause, &s.Words, &s.Language, &s.State, &at, &heard, &s.Contact)
	s.At, s.Heard, s.HasContact = moment(at), moment(heard), s.Contact != ""
	if s.State == Joined || s.State == Settled {
		s.Case = id
	}
	return receipt, id, s, err
}

func moment(milliseconds int64) time.Time {
	if milliseconds == 0 {
		return time.Time{}
	}
	return time.UnixMilli(milliseconds).UTC()
}

// Statement is what became of the appeal with a receipt, without words and contact: a receipt
// that is lost must not give them away.
func (d *Docket) Statement(ctx context.Context, receipt string) (*Statement, error) {
	_, _, s, err := scanStatement(d.db.Row(ctx, selectStatement+`WHERE s.receipt = ?`, digest(receipt)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrUnknown
	}
	if err == nil {
		s.Words, s.Contact = "", ""
	}
	return s, err
}

// Statements are those of a case, with all that is known, for staff.
func (d *Docket) Statements(ctx context.Context, id string) ([]Statement, error) {
	rows, err := d.db.Query(ctx, selectStatement+`WHERE s.case_id = ? AND s.state = ? ORDER BY s.at`, id, Joined)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Statement
	for rows.Next() {
		_, _, s, err := scanStatement(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, *s)
	}
	return out, rows.Err()
}

// DeleteContact deletes how the author of an appeal can be reached.
func (d *Docket) DeleteContact(ctx context.Context, receipt string) error {
	_, err := d.db.Exec(ctx, `DELETE FROM docket_contact WHERE receipt = ?`, digest(receipt))
	return errors.Join(err, d.db.Erase(ctx))
}

// Withdraw takes an appeal back: its words and contact are deleted at once. Its case ends with
// the last appeal that it has.
func (d *Docket) Withdraw(ctx context.Context, receipt string) error {
	s, err := d.Statement(ctx, receipt)
	if err != nil || s.State == Withdrawn {
		return err
	}
	left := 0
	err = d.db.Within(ctx, func(t *database.Tx) error {
		if err := t.Exec(ctx, `DELETE FROM docket_contact WHERE receipt = ?`, digest(receipt)); err != nil {
			return err
		}
		err := t.Exec(ctx, `UPDATE docket_statement SET state = ?, words = '', heard = ? WHERE receipt = ?`, Withdrawn, d.now().UnixMilli(), digest(receipt))
		if err != nil || s.Case == "" {
			return err
		}
		return t.Row(ctx, `SELECT COUNT(*) FROM docket_statement WHERE case_id = ? AND state = ?`, s.Case, Joined).Scan(&left)
	})
	if err = errors.Join(err, d.db.Erase(ctx)); err != nil || s.State != Joined || left > 0 {
		return err
	}
	_, err = d.Reconsider(ctx, s.Case)
	return err
}
