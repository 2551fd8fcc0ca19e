package staff

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/shoji-dns/shoji/internal/database"
)

// Limits of the store.
const (
	MaxMembers     = 200 // of staff
	maxPasskeys    = 10  // of one member
	maxInvitations = 50  // open ones
	maxSessions    = 20  // of one member: the oldest goes
	maxName        = 64  // octets of a member's name
)

// How long things last.
const (
	InvitationTime = time.Hour        // the link is opened by whoever waits for it
	idleTime       = 30 * time.Minute // of a session without a request (NIST SP 800-63B section 2.2.3)
	sessionTime    = 12 * time.Hour   // of the whole session (the same section)
	seenStep       = time.Minute      // how exactly a session's last request is noted
)

// schema is the staff's tables. Times are Unix milliseconds, 0 where there is none. Tokens are
// kept as their SHA-256. Nothing can be changed in or deleted from the trail.
func schema() database.Schema {
	return database.Schema{Version: "staff_schema_version", Lock: 7304928, Steps: []database.Step{{
		Both: `CREATE TABLE staff_member (
			id       TEXT PRIMARY KEY,
			name     TEXT NOT NULL,
			external TEXT UNIQUE,
			created  BIGINT NOT NULL,
			removed  BIGINT NOT NULL DEFAULT 0
		);
		CREATE TABLE staff_passkey (
			id      TEXT PRIMARY KEY,
			member  TEXT NOT NULL,
			data    TEXT NOT NULL,
			created BIGINT NOT NULL,
			used    BIGINT NOT NULL DEFAULT 0
		);
		CREATE TABLE staff_session (
			token   TEXT PRIMARY KEY,
			member  TEXT NOT NULL,
			created BIGINT NOT NULL,
			seen    BIGINT NOT NULL
		);
		CREATE TABLE staff_invitation (
			token   TEXT PRIMARY KEY,
			inviter TEXT NOT NULL,
			member  TEXT NOT NULL,
			created BIGINT NOT NULL
		)`,
		SQLite: trailTable("INTEGER PRIMARY KEY AUTOINCREMENT") + `;
		CREATE TRIGGER staff_trail_update BEFORE UPDATE ON staff_trail BEGIN SELECT RAISE(ABORT, 'the trail is not changed'); END;
		CREATE TRIGGER staff_trail_delete BEFORE DELETE ON staff_trail BEGIN SELECT RAISE(ABORT, 'the trail is not changed'); END`,
		Postgres: trailTable("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY") + `;
		CREATE FUNCTION staff_trail_stays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the trail is not changed'; END $$;
		CREATE TRIGGER staff_trail_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON staff_trail FOR EACH STATEMENT EXECUTE FUNCTION staff_trail_stays()`,
	}}}
}

func trailTable(number string) string {
	return `CREATE TABLE staff_trail (
		number ` + number + `,
		at     BIGINT NOT NULL,
		member TEXT NOT NULL,
		action TEXT NOT NULL,
		about  TEXT NOT NULL,
		detail TEXT NOT NULL
	)`
}

// Member is a member of staff. It is a webauthn.User.
type Member struct {
	ID       string
	Name     string
	External string // identity at the OpenID provider: issuer, blank, subject; "": he has passkeys
	Created  time.Time
	Removed  time.Time // zero: he is a member
	Passkeys int

	credentials []webauthn.Credential
}

// WebAuthnID implements webauthn.User.
func (m *Member) WebAuthnID() []byte { return []byte(m.ID) }

// WebAuthnName implements webauthn.User.
func (m *Member) WebAuthnName() string { return m.Name }

// WebAuthnDisplayName implements webauthn.User.
func (m *Member) WebAuthnDisplayName() string { return m.Name }

// WebAuthnCredentials implements webauthn.User.
func (m *Member) WebAuthnCredentials() []webauthn.Credential { return m.credentials }

// Event is one line of the trail.
type Event struct {
	At     time.Time `json:"at"`
	Member string    `json:"member"` // "" for the console
	Action string    `json:"action"`
	About  string    `json:"about"`
	Detail string    `json:"detail,omitempty"`
}

// What the trail tells of.
const (
	Joined     = "joined"
	SignedIn   = "signed in"
	SignedOut  = "signed out"
	Invited    = "invited"
	RemovedOne = "removed"
	Opened     = "opened" // a case, with its statements and contacts
	Voted      = "voted"
	Heard      = "heard again"
	Reviewed   = "reviewed" // what waited for a person's word
)

// Store keeps who is staff, and what staff did.
type Store struct {
	db  *database.DB
	now func() time.Time
}

// OpenStore opens the staff's tables, and makes them where they are missing. now may be nil.
func OpenStore(ctx context.Context, db *database.DB, now func() time.Time) (*Store, error) {
	if now == nil {
		now = time.Now
	}
	if err := db.Migrate(ctx, schema()); err != nil {
		return nil, fmt.Errorf("staff: %w", err)
	}
	return &Store{db, now}, nil
}

var (
	errNoSession    = errors.New("nobody is signed in")
	errNoInvitation = errors.New("the invitation was used, or has run out")
	errNoMember     = errors.New("there is no such member of staff")
	errTooMany      = errors.New("there are too many of them")
	// ErrLast refuses to remove the last member of staff.
	ErrLast = errors.New("the last member of staff cannot be removed")
)

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func newMemberID() string { return "member-" + strings.ToLower(rand.Text()[:12]) }

// checkName puts a member's name into the form in which it is shown to others.
func checkName(name string) (string, error) {
	name = strings.Join(strings.Fields(name), " ")
	if name == "" || len(name) > maxName || !utf8.ValidString(name) ||
		strings.ContainsFunc(name, func(c rune) bool { return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) }) {
		return "", fmt.Errorf("a name of 1 to %d octets, without control characters", maxName)
	}
	return name, nil
}

// Note adds a line to the trail.
func (s *Store) Note(ctx context.Context, member, action, about, detail string) error {
	return s.db.Within(ctx, func(t *database.Tx) error { return s.note(ctx, t, member, action, about, detail) })
}

func (s *Store) note(ctx context.Context, t *database.Tx, member, action, about, detail string) error {
	return t.Exec(ctx, `INSERT INTO staff_trail (at, member, action, about, detail) VALUES (?, ?, ?, ?, ?)`, s.now().UnixMilli(), member, action, about, detail)
}

// Trail is what staff did, the latest first.
func (s *Store) Trail(ctx context.Context, limit, offset int) ([]Event, error) {
	rows, err := s.db.Query(ctx, `SELECT at, member, action, about, detail FROM staff_trail ORDER BY number DESC LIMIT ? OFFSET ?`, limit, offset)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Event
	for rows.Next() {
		var e Event
		var at int64
		if err := rows.Scan(&at, &e.Member, &e.Action, &e.About, &e.Detail); err != nil {
			return nil, err
		}
		e.At = time.UnixMilli(at).UTC()
		out = append(out, e)
	}
	return out, rows.Err()
}

const selectMember = `SELECT m.id, m.name, COALESCE(m.external, ''), m.created, m.removed, (SELECT COUNT(*) FROM staff_passkey p WHERE p.member = m.id) FROM staff_member m `

func scanMember(row interface{ Scan(...any) error }) (*Member, error) {
	m := &Member{}
	var created, removed int64
	err := row.Scan(&m.ID, &m.Name, &m.External, &created, &removed, &m.Passkeys)
	m.Created = time.UnixMilli(created).UTC()
	if removed > 0 {
		m.Removed = time.UnixMilli(removed).UTC()
	}
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoMember
	}
	return m, err
}

// Members are all who are or were staff.
func (s *Store) Members(ctx context.Context) ([]Member, error) {
	rows, err := s.db.Query(ctx, selectMember+`ORDER BY m.created, m.id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Member
	for rows.Next() {
		m, err := scanMember(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, *m)
	}
	return out, rows.Err()
}

// Names are the names of members by their identities.
func (s *Store) Names(ctx context.Context) (map[string]string, error) {
	all, err := s.Members(ctx)
	out := make(map[string]string, len(all))
	for i := range all {
		out[all[i].ID] = all[i].Name
	}
	return out, err
}

// Count is how many members there are.
func (s *Store) Count(ctx context.Context) (n int, err error) {
	err = s.db.Row(ctx, `SELECT COUNT(*) FROM staff_member WHERE removed = 0`).Scan(&n)
	return n, err
}

// Invite makes a token with which somebody joins staff, once, within InvitationTime. inviter is the
// member who invites; "" is the console, whose earlier invitation ends.
func (s *Store) Invite(ctx context.Context, inviter string) (token string, err error) {
	token = rand.Text()
	now := s.now()
	err = s.db.Within(ctx, func(t *database.Tx) error {
		if err := t.Exec(ctx, `DELETE FROM staff_invitation WHERE created < ? OR (inviter = '' AND CAST(? AS TEXT) = '')`, now.Add(-InvitationTime).UnixMilli(), inviter); err != nil {
			return err
		}
		var n int
		if err := t.Row(ctx, `SELECT COUNT(*) FROM staff_invitation`).Scan(&n); err != nil {
			return err
		}
		if n >= maxInvitations {
			return fmt.Errorf("invitations: %w", errTooMany)
		}
		if err := t.Exec(ctx, `INSERT INTO staff_invitation (token, inviter, member, created) VALUES (?, ?, '', ?)`, digest(token), inviter, now.UnixMilli()); err != nil {
			return err
		}
		return s.note(ctx, t, inviter, Invited, "", "")
	})
	return token, err
}

// Invited reports whether an invitation can be used.
func (s *Store) Invited(ctx context.Context, token string) error {
	var n int
	err := s.db.Row(ctx, `SELECT COUNT(*) FROM staff_invitation WHERE token = ? AND created >= ?`, digest(token), s.now().Add(-InvitationTime).UnixMilli()).Scan(&n)
	if err == nil && n == 0 {
		err = errNoInvitation
	}
	return err
}

// join makes a member of whoever holds an invitation, with his first passkey. The invitation is spent
// in the same transaction.
func (s *Store) join(ctx context.Context, token string, m *Member, c *webauthn.Credential) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	now := s.now()
	return s.db.Within(ctx, func(t *database.Tx) error {
		var inviter string
		err := t.Row(ctx, `SELECT inviter FROM staff_invitation WHERE token = ? AND created >= ?`, digest(token), now.Add(-InvitationTime).UnixMilli()).Scan(&inviter)
		if errors.Is(err, sql.ErrNoRows) {
			return errNoInvitation
		}
		if err != nil {
			return err
		}
		n, err := t.Count(ctx, `DELETE FROM staff_invitation WHERE token = ?`, digest(token))
		if err != nil {
			return err
		}
		if n != 1 { // another took it in the same moment
			return errNoInvitation
		}
		if err := s.add(ctx, t, m, "invited by "+cmp.Or(inviter, "the console")); err != nil {
			return err
		}
		return t.Exec(ctx, `INSERT INTO staff_passkey (id, member, data, created) VALUES (?, ?, ?, ?)`, credentialID(c.ID), m.ID, string(data), now.UnixMilli())
	})
}

// add makes a member; how is by what right, for the trail.
func (s *Store) add(ctx context.Context, t *database.Tx, m *Member, how string) error {
	var n int
	if err := t.Row(ctx, `SELECT COUNT(*) FROM staff_member WHERE removed = 0`).Scan(&n); err != nil {
		return err
	}
	if n >= MaxMembers {
		return fmt.Errorf("members: %w", errTooMany)
	}
	external := sql.NullString{String: m.External, Valid: m.External != ""}
	if err := t.Exec(ctx, `INSERT INTO staff_member (id, name, external, created) VALUES (?, ?, ?, ?)`, m.ID, m.Name, external, s.now().UnixMilli()); err != nil {
		return err
	}
	return s.note(ctx, t, m.ID, Joined, m.Name, how)
}

func credentialID(id []byte) string { return hex.EncodeToString(id) }

// withPasskeys is the member with an identity and his passkeys; errNoMember where he is none.
func (s *Store) withPasskeys(ctx context.Context, id string) (*Member, error) {
	m, err := scanMember(s.db.Row(ctx, selectMember+`WHERE m.id = ? AND m.removed = 0`, id))
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT data FROM staff_passkey WHERE member = ? ORDER BY created`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var data string
		var c webauthn.Credential
		if err := rows.Scan(&data); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			return nil, err
		}
		m.credentials = append(m.credentials, c)
	}
	return m, rows.Err()
}

// used notes that a passkey was used: its counter shows copies.
func (s *Store) used(ctx context.Context, c *webauthn.Credential) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = s.db.Exec(ctx, `UPDATE staff_passkey SET data = ?, used = ? WHERE id = ?`, string(data), s.now().UnixMilli(), credentialID(c.ID))
	return err
}

// addPasskey gives a member one more passkey.
func (s *Store) addPasskey(ctx context.Context, member string, c *webauthn.Credential) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return s.db.Within(ctx, func(t *database.Tx) error {
		var n int
		if err := t.Row(ctx, `SELECT COUNT(*) FROM staff_passkey WHERE member = ?`, member).Scan(&n); err != nil {
			return err
		}
		if n >= maxPasskeys {
			return fmt.Errorf("passkeys: %w", errTooMany)
		}
		if err := t.Exec(ctx, `INSERT INTO staff_passkey (id, member, data, created) VALUES (?, ?, ?, ?)`, credentialID(c.ID), member, string(data), s.now().UnixMilli()); err != nil {
			return err
		}
		return s.note(ctx, t, member, Joined, "passkey", "")
	})
}

// external is the member with an identity at the OpenID provider, who becomes one if he is none.
// Who was removed stays so.
func (s *Store) external(ctx context.Context, identity, name string) (*Member, error) {
	m, err := scanMember(s.db.Row(ctx, selectMember+`WHERE m.external = ?`, identity))
	switch {
	case errors.Is(err, errNoMember):
		m = &Member{ID: newMemberID(), Name: name, External: identity}
		err = s.db.Within(ctx, func(t *database.Tx) error { return s.add(ctx, t, m, identity) })
	case err == nil && !m.Removed.IsZero():
		err = errNoMember
	}
	return m, err
}

// Remove ends a membership, with its passkeys and sessions. by is who does it; "" is the console, which
// may remove the last one.
func (s *Store) Remove(ctx context.Context, id, by string) error {
	return s.db.Within(ctx, func(t *database.Tx) error {
		var left int
		if err := t.Row(ctx, `SELECT COUNT(*) FROM staff_member WHERE removed = 0 AND id <> ?`, id).Scan(&left); err != nil {
			return err
		}
		if left == 0 && by != "" {
			return ErrLast
		}
		n, err := t.Count(ctx, `UPDATE staff_member SET removed = ? WHERE id = ? AND removed = 0`, s.now().UnixMilli(), id)
		if err != nil {
			return err
		}
		if n == 0 {
			return errNoMember
		}
		for _, table := range []string{"staff_passkey", "staff_session"} {
			if err := t.Exec(ctx, `DELETE FROM `+table+` WHERE member = ?`, id); err != nil {
				return err
			}
		}
		if err := t.Exec(ctx, `DELETE FROM staff_invitation WHERE inviter = ?`, id); err != nil {
			return err
		}
		return s.note(ctx, t, by, RemovedOne, id, "")
	})
}

// begin begins a member's session and hands out its token. An earlier session, whose token the same
// browser sent, ends with it.
func (s *Store) begin(ctx context.Context, member, earlier string) (token string, err error) {
	token = rand.Text()
	now := s.now()
	err = s.db.Within(ctx, func(t *database.Tx) error {
		err := t.Exec(ctx, `DELETE FROM staff_session WHERE token = ? OR created < ? OR seen < ?`, digest(earlier), now.Add(-sessionTime).UnixMilli(), now.Add(-idleTime).UnixMilli())
		if err != nil {
			return err
		}
		err = t.Exec(ctx, `DELETE FROM staff_session WHERE member = ? AND token NOT IN (SELECT token FROM staff_session WHERE member = ? ORDER BY seen DESC LIMIT ?)`, member, member, maxSessions-1)
		if err != nil {
			return err
		}
		if err := t.Exec(ctx, `INSERT INTO staff_session (token, member, created, seen) VALUES (?, ?, ?, ?)`, digest(token), member, now.UnixMilli(), now.UnixMilli()); err != nil {
			return err
		}
		return s.note(ctx, t, member, SignedIn, "", "")
	})
	return token, err
}

// session is whose session a token is of; errNoSession where it is none, or is over.
func (s *Store) session(ctx context.Context, token string) (*Member, error) {
	if token == "" {
		return nil, errNoSession
	}
	var member string
	var created, seen int64
	err := s.db.Row(ctx, `SELECT member, created, seen FROM staff_session WHERE token = ?`, digest(token)).Scan(&member, &created, &seen)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoSession
	}
	if err != nil {
		return nil, err
	}
	now := s.now()
	if now.Sub(time.UnixMilli(created)) > sessionTime || now.Sub(time.UnixMilli(seen)) > idleTime {
		return nil, errNoSession
	}
	m, err := scanMember(s.db.Row(ctx, selectMember+`WHERE m.id = ? AND m.removed = 0`, member))
	if errors.Is(err, errNoMember) {
		return nil, errNoSession
	}
	if err == nil && now.Sub(time.UnixMilli(seen)) > seenStep {
		_, err = s.db.Exec(ctx, `UPDATE staff_session SET seen = ? WHERE token = ?`, now.UnixMilli(), digest(token))
	}
	return m, err
}

// end ends a session.
func (s *Store) end(ctx context.Context, member, token string) error {
	return s.db.Within(ctx, func(t *database.Tx) error {
		if err := t.Exec(ctx, `DELETE FROM staff_session WHERE token = ?`, digest(token)); err != nil {
			return err
		}
		return s.note(ctx, t, member, SignedOut, "", "")
	})
}
