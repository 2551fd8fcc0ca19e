package staff

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/shoji-dns/shoji/internal/web"
)

// OpenID is an OpenID provider whose users may be staff.
type OpenID struct {
	Issuer string   // https://…
	Client string   // identity of this site there
	Secret string   // of the client; may be empty
	Allow  []string // verified mail addresses, or subjects, of who is staff
}

// foreign is the name of the cookie that carries a ceremony with the provider.
const foreign = "shoji-openid"

// openIDTime is how long the provider may take for one reply.
const openIDTime = 10 * time.Second

// openID speaks with the provider. What it says of itself is read when somebody first signs in, so that
// its failure keeps nothing else from starting.
type openID struct {
	conf     OpenID
	redirect string

	mu       sync.Mutex
	provider *oidc.Provider
}

func (o *openID) client() *http.Client { return &http.Client{Timeout: openIDTime} }

// config is what is needed to send somebody to the provider, and to believe what it says.
func (o *openID) config(ctx context.Context) (*oauth2.Config, *oidc.IDTokenVerifier, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider == nil {
		p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), o.client()), o.conf.Issuer)
		if err != nil {
			return nil, nil, err
		}
		o.provider = p
	}
	return &oauth2.Config{
		ClientID: o.conf.Client, ClientSecret: o.conf.Secret, Endpoint: o.provider.Endpoint(), RedirectURL: o.redirect,
		Scopes: []string{oidc.ScopeOpenID, "email", "profile"},
	}, o.provider.Verifier(&oidc.Config{ClientID: o.conf.Client}), nil
}

// asked is what has to last until the provider sends the browser back.
type asked struct{ State, Nonce, Verifier string }

func (a *area) beginOpenID(r *web.Request) (*web.Reply, error) {
	if a.openID == nil {
		return nil, web.NotFound
	}
	if err := r.Spend(5); err != nil {
		return nil, err
	}
	conf, _, err := a.openID.config(r.Context())
	if err != nil {
		a.conf.Logger.Error("staff: the OpenID provider", "cause", err)
		return nil, web.Refuse(http.StatusBadGateway, web.Text{EN: "The provider cannot be reached.", JA: "プロバイダーに接続できません。"})
	}
	q := asked{rand.Text(), rand.Text(), oauth2.GenerateVerifier()}
	// Lax: the browser comes back from the provider's site.
	c, err := a.flows.seal(foreign, q, a.conf.Now(), http.SameSiteLaxMode)
	if err != nil {
		return nil, err
	}
	reply := web.Raw("text/plain; charset=utf-8", nil)
	reply.Status = http.StatusSeeOther
	reply.Header = http.Header{"Location": {conf.AuthCodeURL(q.State, oidc.Nonce(q.Nonce), oauth2.S256ChallengeOption(q.Verifier))}}
	return set(reply, c), nil
}

func (a *area) finishOpenID(r *web.Request) (*web.Reply, error) {
	if a.openID == nil {
		return nil, web.NotFound
	}
	if err := r.Spend(5); err != nil {
		return nil, err
	}
	var q asked
	id, err := a.flows.open(r, foreign, &q, a.conf.Now())
	if err == nil && (q.State == "" || r.URL.Query().Get("state") != q.State) {
		err = errFlow
	}
	if err == nil {
		err = a.flows.spend(id, a.conf.Now())
	}
	if err != nil {
		return nil, a.refused("signing in by OpenID", err)
	}
	who, err := a.openID.identify(r.Context(), r.URL.Query().Get("code"), q)
	if err != nil {
		return nil, a.refused("signing in by OpenID", err)
	}
	m, err := a.conf.Store.external(r.Context(), who.issuer+" "+who.subject, who.name)
	if errors.Is(err, errNoMember) {
		return nil, a.refused("signing in by OpenID", err)
	}
	if err != nil {
		return nil, err
	}
	// A redirect would still be part of the provider's request, to which a strict cookie does not go.
	reply := a.pages["enter"].Reply(web.Text{EN: "Signed in", JA: "サインインしました"}, nil)
	reply, err = a.enter(r, m, reply)
	if err == nil {
		reply.Header.Set("Refresh", "0; url="+r.Link("/staff"))
	}
	return reply, err
}

// identity is who the provider says somebody is.
type identity struct{ issuer, subject, name string }

// identify has the provider say who came back with a code, and whether he is staff.
func (o *openID) identify(ctx context.Context, code string, q asked) (identity, error) {
	conf, verifier, err := o.config(ctx)
	if err != nil {
		return identity{}, err
	}
	token, err := conf.Exchange(oidc.ClientContext(ctx, o.client()), code, oauth2.VerifierOption(q.Verifier))
	if err != nil {
		return identity{}, err
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return identity{}, errors.New("the provider sent no ID token")
	}
	said, err := verifier.Verify(oidc.ClientContext(ctx, o.client()), raw)
	if err != nil {
		return identity{}, err
	}
	var claims struct {
		Email    string `json:"email"`
		Verified bool   `json:"email_verified"`
		Name     string `json:"name"`
	}
	if err := said.Claims(&claims); err != nil {
		return identity{}, err
	}
	if said.Nonce != q.Nonce {
		return identity{}, errFlow
	}
	byMail := claims.Verified && claims.Email != "" && slices.ContainsFunc(o.conf.Allow, func(s string) bool { return strings.EqualFold(s, claims.Email) })
	if !byMail && !slices.Contains(o.conf.Allow, said.Subject) {
		return identity{}, fmt.Errorf("%q (mail address %q, verified: %v) is not staff", said.Subject, claims.Email, claims.Verified)
	}
	name, err := checkName(claims.Name)
	if err != nil {
		if name, err = checkName(claims.Email); err != nil {
			name = "OpenID"
		}
	}
	return identity{said.Issuer, said.Subject, name}, nil
}
