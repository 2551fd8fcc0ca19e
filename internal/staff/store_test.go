package staff

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/shoji-dns/shoji/internal/database"
)

// records is a store with a clock that tests move.
type records struct {
	*testing.T
	*Store
	at time.Time
}

func open(t *testing.T) *records {
	t.Helper()
	db, err := database.Open(filepath.Join(t.TempDir(), "desk.db"), database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	r := &records{T: t, at: start}
	if r.Store, err = OpenStore(t.Context(), db, func() time.Time { return r.at }); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *records) invite(by string) string {
	r.Helper()
	token, err := r.Invite(r.Context(), by)
	if err != nil {
		r.Fatal(err)
	}
	return token
}

// joins makes a member whose passkey has the member's identity.
func (r *records) joins(id string) {
	r.Helper()
	m := &Member{ID: id, Name: strings.ToUpper(id)}
	if err := r.join(r.Context(), r.invite(""), m, &webauthn.Credential{ID: []byte(id)}); err != nil {
		r.Fatal(err)
	}
}

// Everything that the store holds has an end.
func TestTheStoreIsBounded(t *testing.T) {
	r := open(t)
	ctx := t.Context()
	r.joins("ann")
	for range maxInvitations {
		r.invite("ann")
	}
	if _, err := r.Invite(ctx, "ann"); !errors.Is(err, errTooMany) {
		t.Errorf("more invitations: %v", err)
	}
	r.at = r.at.Add(InvitationTime + time.Second)
	r.invite("ann")
	for i := 1; i < maxPasskeys; i++ {
		if err := r.addPasskey(ctx, "ann", &webauthn.Credential{ID: []byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.addPasskey(ctx, "ann", &webauthn.Credential{ID: []byte("more")}); !errors.Is(err, errTooMany) {
		t.Errorf("more passkeys: %v", err)
	}
	if err := r.addPasskey(ctx, "bob", &webauthn.Credential{ID: []byte("ann")}); err == nil {
		t.Error("another's passkey was taken over")
	}
	var tokens []string
	for range maxSessions + 1 {
		r.at = r.at.Add(time.Second)
		token, err := r.begin(ctx, "ann", "")
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	if _, err := r.session(ctx, tokens[0]); !errors.Is(err, errNoSession) {
		t.Errorf("the oldest of too many sessions: %v", err)
	}
	for _, token := range tokens[1:] {
		if _, err := r.session(ctx, token); err != nil {
			t.Errorf("a later session: %v", err)
		}
	}
	for i := 1; i < MaxMembers; i++ {
		if err := r.external2(i); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := r.external2(MaxMembers); !errors.Is(err, errTooMany) {
		t.Errorf("more members: %v", err)
	}
}

// external2 is the i-th user of a provider, signing in.
func (r *records) external2(i int) error {
	_, err := r.external(r.Context(), "https://login.example "+strings.Repeat("i", i), "Somebody")
	return err
}

// A membership that ended takes everything with it, and does not come back by what was left.
func TestTheEndOfAMembership(t *testing.T) {
	r := open(t)
	ctx := t.Context()
	r.joins("ann")
	r.joins("bob")
	token, err := r.begin(ctx, "ann", "")
	if err != nil {
		t.Fatal(err)
	}
	invitation := r.invite("ann")
	if err := r.Remove(ctx, "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.session(ctx, token); !errors.Is(err, errNoSession) {
		t.Errorf("the session: %v", err)
	}
	if err := r.Invited(ctx, invitation); !errors.Is(err, errNoInvitation) {
		t.Errorf("the invitation: %v", err)
	}
	if _, err := r.withPasskeys(ctx, "ann"); !errors.Is(err, errNoMember) {
		t.Errorf("the passkeys: %v", err)
	}
	if err := r.Remove(ctx, "bob", "bob"); !errors.Is(err, ErrLast) {
		t.Errorf("the last one: %v", err)
	}
	if err := r.Remove(ctx, "bob", ""); err != nil {
		t.Errorf("by the console: %v", err)
	}
	if n, err := r.Count(ctx); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	all, err := r.Trail(ctx, 100, 0)
	if err != nil || all[0].Action != RemovedOne || all[0].Member != "" || all[0].About != "bob" {
		t.Errorf("%+v, %v", all, err)
	}
}

// The trail tells who invited whom.
func TestTheTrailTellsWhoInvited(t *testing.T) {
	r := open(t)
	r.joins("ann")
	m := &Member{ID: "bob", Name: "Bob"}
	if err := r.join(t.Context(), r.invite("ann"), m, &webauthn.Credential{ID: []byte("bob")}); err != nil {
		t.Fatal(err)
	}
	all, err := r.Trail(t.Context(), 2, 0)
	if err != nil || all[0].Action != Joined || all[0].Member != "bob" || all[0].Detail != "invited by ann" || all[1].Action != Invited || all[1].Member != "ann" {
		t.Errorf("%+v, %v", all, err)
	}
}
