package staff

import (
	"errors"
	"net/http"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/shoji-dns/shoji/internal/web"
)

// ceremony is the name of the cookie that carries a ceremony of WebAuthn.
const ceremony = "shoji-ceremony"

// making is what has to last while a passkey is made.
type making struct {
	Session webauthn.SessionData
	Token   string // of the invitation; "": another passkey of a member
	Member  Member // to be
}

// refused is what is told where a ceremony fails. Which of its steps did is for the log: whoever
// tries to sign in with another's key learns nothing.
func (a *area) refused(what string, err error) error {
	a.conf.Logger.Info("staff: "+what, "cause", err)
	return web.Refuse(http.StatusForbidden, web.Text{EN: "That did not work. Please begin again.", JA: "うまくいきませんでした。最初からやり直してください。"})
}

func (a *area) noKeys() error {
	return web.Refuse(http.StatusConflict, web.Text{
		EN: "Passkeys need a name for this site. Open it by its name, such as http://localhost, or set its address in the configuration.",
		JA: "パスキーにはサイトの名前が必要です。http://localhost のような名前で開くか、設定でサイトのアドレスを指定してください。",
	})
}

// signInPage is how one may sign in.
type signInPage struct{ Passkeys, OpenID bool }

func (a *area) signIn(r *web.Request) (*web.Reply, error) {
	reply := a.pages["signin"].Reply(web.Text{EN: "Staff", JA: "担当者"}, signInPage{a.keys != nil, a.openID != nil})
	reply.Script = "/staff.js"
	return reply, nil
}

func (a *area) beginSignIn(r *web.Request) (*web.Reply, error) {
	if err := r.Spend(5); err != nil {
		return nil, err
	}
	if a.keys == nil {
		return nil, a.noKeys()
	}
	options, session, err := a.keys.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, err
	}
	return a.begun("signin", options, session)
}

// begun hands the browser what its authenticator needs, and seals what is needed in the end.
func (a *area) begun(what string, options, session any) (*web.Reply, error) {
	reply, err := web.JSON(options)
	if err != nil {
		return nil, err
	}
	c, err := a.flows.seal(ceremony, map[string]any{what: session}, a.conf.Now(), http.SameSiteStrictMode)
	if err != nil {
		return nil, err
	}
	return set(reply, c), nil
}

func (a *area) finishSignIn(r *web.Request) (*web.Reply, error) {
	if err := r.Spend(5); err != nil {
		return nil, err
	}
	if a.keys == nil {
		return nil, a.noKeys()
	}
	var begun struct{ Signin *webauthn.SessionData }
	id, err := a.flows.open(r, ceremony, &begun, a.conf.Now())
	if err == nil && begun.Signin == nil {
		err = errFlow
	}
	if err != nil {
		return nil, a.refused("signing in", err)
	}
	user, credential, err := a.keys.FinishPasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		return a.conf.Store.withPasskeys(r.Context(), string(handle))
	}, *begun.Signin, r.Request)
	if err == nil && credential.Authenticator.CloneWarning { // WebAuthn level 3, section 6.1.1
		err = errors.New("the passkey's counter has gone back: it was copied")
	}
	if err == nil {
		err = a.flows.spend(id, a.conf.Now())
	}
	if err != nil {
		return nil, a.refused("signing in", err)
	}
	if err := a.conf.Store.used(r.Context(), credential); err != nil {
		return nil, err
	}
	return a.entered(r, user.(*Member))
}

// entered is the reply to a ceremony that a script has ended.
func (a *area) entered(r *web.Request, m *Member) (*web.Reply, error) {
	reply, err := web.JSON(map[string]string{"to": r.Link("/staff")})
	if err != nil {
		return nil, err
	}
	return a.enter(r, m, reply)
}

func usedUp() error {
	return web.Refuse(http.StatusGone, web.Text{
		EN: "This invitation was used, or has run out. Ask for another one.", JA: "この招待は使用済みか、期限切れです。新しい招待を依頼してください。",
	})
}

// invited holds an invitation against the store.
func (a *area) invited(r *web.Request) (string, error) {
	token := r.PathValue("token")
	err := a.conf.Store.Invited(r.Context(), token)
	if errors.Is(err, errNoInvitation) {
		if err := r.Spend(20); err != nil { // whoever guesses is slow
			return "", err
		}
		return "", usedUp()
	}
	return token, err
}

func (a *area) join(r *web.Request) (*web.Reply, error) {
	token, err := a.invited(r)
	if err != nil {
		return nil, err
	}
	if a.keys == nil {
		return nil, a.noKeys()
	}
	reply := a.pages["join"].Reply(web.Text{EN: "Join staff", JA: "担当者として登録"}, struct {
		Token   string
		MaxName int
	}{token, maxName})
	reply.Script = "/staff.js"
	reply.Header = http.Header{"X-Robots-Tag": {"noindex"}}
	return reply, nil
}

func (a *area) beginJoin(r *web.Request) (*web.Reply, error) {
	token, err := a.invited(r)
	if err != nil {
		return nil, err
	}
	name, err := r.Value("name", 1024)
	if err != nil {
		return nil, err
	}
	if name, err = checkName(name); err != nil {
		return nil, web.Refuse(http.StatusUnprocessableEntity, web.Text{EN: "Please enter a name.", JA: "名前を入力してください。"})
	}
	return a.make(making{Token: token, Member: Member{ID: newMemberID(), Name: name}}, nil)
}

// make begins the making of a passkey, beside those that its user has.
func (a *area) make(m making, have []webauthn.Credential) (*web.Reply, error) {
	if a.keys == nil {
		return nil, a.noKeys()
	}
	options, session, err := a.keys.BeginRegistration(&m.Member, webauthn.WithExclusions(webauthn.Credentials(have).CredentialDescriptors()))
	if err != nil {
		return nil, err
	}
	m.Session = *session
	return a.begun("making", options, m)
}

// made is the passkey that was made.
func (a *area) made(r *web.Request) (m *making, c *webauthn.Credential, err error) {
	if a.keys == nil {
		return nil, nil, a.noKeys()
	}
	var begun struct{ Making *making }
	id, err := a.flows.open(r, ceremony, &begun, a.conf.Now())
	if err == nil && begun.Making == nil {
		err = errFlow
	}
	if err != nil {
		return nil, nil, a.refused("making a passkey", err)
	}
	c, err = a.keys.FinishRegistration(&begun.Making.Member, begun.Making.Session, r.Request)
	if err == nil {
		err = a.flows.spend(id, a.conf.Now())
	}
	if err != nil {
		return nil, nil, a.refused("making a passkey", err)
	}
	return begun.Making, c, nil
}

func (a *area) finishJoin(r *web.Request) (*web.Reply, error) {
	m, c, err := a.made(r)
	if err != nil {
		return nil, err
	}
	if m.Token == "" || m.Token != r.PathValue("token") {
		return nil, a.refused("joining", errFlow)
	}
	err = a.conf.Store.join(r.Context(), m.Token, &m.Member, c)
	if errors.Is(err, errNoInvitation) {
		return nil, usedUp()
	}
	if err != nil {
		return nil, err
	}
	return a.entered(r, &m.Member)
}

// beginPasskey begins the making of one more passkey of a member.
func (a *area) beginPasskey(r *request) (*web.Reply, error) {
	m, err := a.conf.Store.withPasskeys(r.Context(), r.who.ID)
	if err != nil {
		return nil, err
	}
	return a.make(making{Member: *m}, m.credentials)
}

func (a *area) finishPasskey(r *request) (*web.Reply, error) {
	m, c, err := a.made(r.Request)
	if err != nil {
		return nil, err
	}
	if m.Token != "" || m.Member.ID != r.who.ID {
		return nil, a.refused("making a passkey", errFlow)
	}
	if err := a.conf.Store.addPasskey(r.Context(), r.who.ID, c); err != nil {
		return nil, err
	}
	return web.JSON(map[string]string{"to": r.Link("/staff/members")})
}
