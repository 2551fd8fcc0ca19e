// Package staff is where staff signs in and decides about cases.
//
// # Signing in
//
// By passkey (WebAuthn): whoever holds an invitation, a link that works once and for
// InvitationTime, makes one and is a member of staff from then on. The first invitation is made on the
// console; members make further ones. A passkey has to verify its user, and lies on his
// device or in his password manager; nothing secret is kept here. Or by an OpenID provider,
// where one is configured: who is in its list of addresses or subjects is a member.
//
// All members are equal: each may vote, invite and remove others, but not the last one. What they do
// stands in a trail that the database itself refuses to change.
//
// # Sessions
//
// A session is a random token in a cookie (HttpOnly, SameSite=Strict, over TLS Secure with the
// prefix __Host-), of which the store has the digest. It is made anew at each signing in, ends idleTime after
// the last request and sessionTime after the first, and with the membership. What lasts from one
// step of a ceremony to the next is sealed into a cookie of its own and taken once. Requests
// from other sites are refused by the shell (package web).
//
// # Limits and known faults
//
// MaxMembers and the constants beside it. Where two have to agree, nothing but the trail, which tells who invited whom,
// keeps one member from inviting himself as a second one. Ceremonies that are under way when the program
// starts anew have to be begun again. Passkeys need a name for the site: not an address such as
// 127.0.0.1, for which WebAuthn has no identity; http://localhost works. They need a browser with scripts.
package staff

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/docket"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/web"
)

//go:embed *.html *.js
var files embed.FS

// Config is what the staff's pages need.
type Config struct {
	Store   *Store
	Docket  *docket.Docket
	Policy  *policy.Policy // for the titles of its clauses
	Explain func(ctx context.Context, subject string) (*curate.Explanation, error)
	Address string // of the site, as browsers know it: https://desk.example, or http://localhost:PORT
	OpenID  OpenID // the zero value: passkeys alone
	Now     func() time.Time
	Logger  *slog.Logger // nil: nobody
}

// area is the staff's pages.
type area struct {
	conf    Config
	keys    *webauthn.WebAuthn // nil: there can be no passkeys
	flows   *flows
	openID  *openID // nil: none is configured
	pages   map[string]*web.Page
	session string // name of the session's cookie
}

// Register adds the pages to a site.
func Register(s *web.Site, conf Config) error {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	if conf.Logger == nil {
		conf.Logger = slog.New(slog.DiscardHandler)
	}
	a := &area{conf: conf, pages: map[string]*web.Page{}, session: "shoji-staff"}
	var err error
	if a.keys, err = keysFor(conf.Address); err != nil {
		return err
	}
	if a.flows, err = newFlows(isTLS(conf.Address)); err != nil {
		return err
	}
	if conf.OpenID.Issuer != "" {
		a.openID = &openID{conf: conf.OpenID, redirect: conf.Address + "/staff/openid/callback"}
	}
	for _, name := range []string{"signin", "join", "queue", "case", "reviews", "review", "trail", "members", "invited", "enter"} {
		if a.pages[name], err = web.ParsePage(files, name+".html", "parts.html"); err != nil {
			return err
		}
	}
	a.routes(s)
	return nil
}

func (a *area) routes(s *web.Site) {
	for pattern, answer := range map[string]web.Answer{
		"GET /staff.js":             a.script,
		"GET /staff/signin":         a.signIn,
		"POST /staff/signin/begin":  a.beginSignIn,
		"POST /staff/signin/finish": a.finishSignIn,
		"GET /staff/join/{token}":   a.join,
		"POST /staff/join/{token}":  a.finishJoin,
		"POST /staff/begin/{token}": a.beginJoin,
		"GET /staff/openid":         a.beginOpenID,
		"GET /staff/openid/callback": func(r *web.Request) (*web.Reply, error) {
			return a.finishOpenID(r)
		},

		"GET /staff":                  a.member(a.queue),
		"GET /staff/case/{id}":        a.member(a.one),
		"POST /staff/case/{id}":       a.member(a.vote),
		"POST /staff/case/{id}/again": a.member(a.again),
		"GET /staff/review":           a.member(a.reviews),
		"GET /staff/review/one":       a.member(a.review),
		"POST /staff/review/one":      a.member(a.say),
		"GET /staff/trail":            a.member(a.trail),
		"GET /staff/members":          a.member(a.members),
		"POST /staff/members":         a.member(a.changeMembers),
		"POST /staff/passkey/begin":   a.member(a.beginPasskey),
		"POST /staff/passkey":         a.member(a.finishPasskey),
		"POST /staff/signout":         a.member(a.signOut),
	} {
		s.Handle(web.Route{Pattern: pattern, Answer: answer, Time: 30 * time.Second})
	}
}

// keysFor is what makes passkeys for a site; nil where its address has no name.
func keysFor(address string) (*webauthn.WebAuthn, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("staff: the site's address %q: write it like https://desk.example", address)
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return nil, nil
	}
	verified := protocol.AuthenticatorSelection{
		ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(), UserVerification: protocol.VerificationRequired,
	}
	return webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: "shoji", RPOrigins: []string{u.Scheme + "://" + u.Host}, AuthenticatorSelection: verified,
		AttestationPreference:             protocol.PreferNoAttestation,
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore, // browsers add some of their own
	})
}

// JoinPath is the path of an invitation.
func JoinPath(token string) string { return "/staff/join/" + token }

// request is one of a member who is signed in.
type request struct {
	*web.Request
	who   *Member
	token string
}

// member lets members of staff alone through; others are sent to sign in.
func (a *area) member(answer func(*request) (*web.Reply, error)) web.Answer {
	return func(r *web.Request) (*web.Reply, error) {
		token := ""
		if c, err := r.Cookie(a.flows.name(a.session)); err == nil {
			token = c.Value
		}
		who, err := a.conf.Store.session(r.Context(), token)
		if errors.Is(err, errNoSession) {
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				return nil, signInFirst()
			}
			return web.Redirect(r, "/staff/signin"), nil
		}
		if err != nil {
			return nil, err
		}
		return answer(&request{r, who, token})
	}
}

func signInFirst() error {
	return web.Refuse(http.StatusForbidden, web.Text{EN: "Please sign in first.", JA: "先にサインインしてください。"})
}

// enter begins a session, and gives the browser its cookie with a reply.
func (a *area) enter(r *web.Request, m *Member, reply *web.Reply) (*web.Reply, error) {
	earlier := ""
	if c, err := r.Cookie(a.flows.name(a.session)); err == nil {
		earlier = c.Value
	}
	token, err := a.conf.Store.begin(r.Context(), m.ID, earlier)
	if err != nil {
		return nil, err
	}
	return set(reply, a.flows.cookie(a.session, token, http.SameSiteStrictMode), a.flows.drop(ceremony), a.flows.drop(foreign)), nil
}

func (a *area) signOut(r *request) (*web.Reply, error) {
	if err := a.conf.Store.end(r.Context(), r.who.ID, r.token); err != nil {
		return nil, err
	}
	return set(web.Redirect(r.Request, "/staff/signin"), a.flows.drop(a.session)), nil
}

func (a *area) script(*web.Request) (*web.Reply, error) {
	b, err := files.ReadFile("staff.js")
	if err != nil {
		return nil, err
	}
	r := web.Raw("text/javascript; charset=utf-8", b)
	r.Cache = "no-cache"
	return r, nil
}

// page is a page for members.
func (a *area) page(name string, r *request, title web.Text, data any) *web.Reply {
	reply := a.pages[name].Reply(title, shown{r.who, data})
	reply.Cookie = true
	return reply
}

// shown is what a member's page shows.
type shown struct {
	Who  *Member
	Data any
}

// isVerdict reports whether text is one of some.
func oneOf(text string, all ...string) bool { return slices.Contains(all, text) }
