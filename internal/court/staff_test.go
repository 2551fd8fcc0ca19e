package court

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/staff"
	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

// office is a court with a staff.
type office struct {
	*court
	store *staff.Store
	site  string // its address, as passkeys know it
	at    string // where it listens
}

func (c *court) office(openID staff.OpenID, register ...func(*web.Site) error) *office {
	c.t.Helper()
	o := &office{court: c, site: "http://localhost:5381"}
	var err error
	if o.store, err = staff.OpenStore(c.t.Context(), c.db, c.clock); err != nil {
		c.t.Fatal(err)
	}
	definition, err := policy.Default()
	if err != nil {
		c.t.Fatal(err)
	}
	o.at = c.opens(append(register, func(s *web.Site) error {
		return staff.Register(s, staff.Config{
			Store: o.store, Docket: c.docket, Policy: definition, Explain: c.explain, Address: o.site, OpenID: openID, Now: c.clock,
		})
	})...).at
	return o
}

// explain is what is known of a subject now.
func (c *court) explain(ctx context.Context, subject string) (*curate.Explanation, error) {
	guard, err := curate.NewGuard(nil, nil)
	if err != nil {
		return nil, err
	}
	k, err := curate.OpenState(ctx, c.dir, c.store, guard, c.sources)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	s, err := curate.ParseAsked(subject)
	if err != nil {
		return nil, err
	}
	return k.Explain(ctx, s, c.clock())
}

// browser is a visitor who keeps cookies.
func (o *office) browser() *visitor {
	v := newVisitor(o.t, o.at)
	v.Jar, _ = cookiejar.New(nil)
	return v
}

func (v *visitor) json(path, body string) (int, string, http.Header) {
	v.t.Helper()
	r, err := http.NewRequest(http.MethodPost, v.at+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return v.do(r)
}

// joins makes somebody a member of staff, by an invitation.
func (o *office) joins(name, token string) (*visitor, *authenticator) {
	o.t.Helper()
	v, key := o.browser(), newAuthenticator(o.t, o.site, "localhost")
	if status, body, _ := v.get(staff.JoinPath(token)); status != 200 || !strings.Contains(body, "/staff/begin/"+token) {
		o.t.Fatalf("%d %s", status, body)
	}
	status, body, _ := v.post("/staff/begin/"+token, url.Values{"name": {name}})
	if status != 200 {
		o.t.Fatalf("%d %s", status, body)
	}
	if status, body, _ = v.json(staff.JoinPath(token), key.make(body)); status != 200 || !strings.Contains(body, `"/staff"`) {
		o.t.Fatalf("%d %s", status, body)
	}
	return v, key
}

func (o *office) invitation() string {
	o.t.Helper()
	token, err := o.store.Invite(o.t.Context(), "")
	if err != nil {
		o.t.Fatal(err)
	}
	return token
}

// signIn signs in by a passkey and returns the status of the last step.
func (o *office) signIn(v *visitor, key *authenticator) int {
	o.t.Helper()
	_, body, _ := v.post("/staff/signin/begin", nil)
	status, _, _ := v.json("/staff/signin/finish", key.use(body))
	return status
}

// The first member joins by the console's link, invites another, and both decide a case.
func TestStaffFromTheFirstLinkToADecision(t *testing.T) {
	both(t, func(c *court) {
		c.say("ranks", "nothing.example")
		c.say("a", "one.example")
		c.say("b", "one.example")
		c.update()
		o := c.office(staff.OpenID{})
		_, _, header := o.browser().post("/appeal", appealOf("one.example"))
		_, one := c.statement(strings.TrimPrefix(header.Get("Location"), "/receipt/"))
		ann, annsKey := o.joins("Ann", o.invitation())
		status, body, _ := ann.get("/staff")
		if status != 200 || !strings.Contains(body, "/staff/case/"+one.ID) || !strings.Contains(body, "Signed in as Ann") {
			t.Fatalf("%d %s", status, body)
		}
		path := "/staff/case/" + one.ID
		status, body, _ = ann.get(path)
		for _, want := range []string{"&lt;script&gt;alert(1)&lt;/script&gt;", "o&#39;neill@one.example", "c2-two-sources", "<td>a</td><td>c2</td>"} {
			if status != 200 || !strings.Contains(body, want) {
				t.Errorf("the case does not show %q: %d %s", want, status, body)
			}
		}
		if status, body, _ := ann.post(path, url.Values{"verdict": {"delisted"}}); status != 422 || !strings.Contains(body, "give a reason") {
			t.Errorf("%d %s", status, body)
		}
		if status, _, _ := ann.post(path+"/again", nil); status != http.StatusSeeOther {
			t.Errorf("%d", status)
		}
		if status, _, _ := ann.post(path, url.Values{"verdict": {"delisted"}, "reason": {"It was <i>cleaned</i>."}}); status != http.StatusSeeOther {
			t.Errorf("%d", status)
		}
		c.filtered()
		if status, body, _ := o.browser().get("/case/" + one.ID); status != 200 || !strings.Contains(body, "It was &lt;i&gt;cleaned&lt;/i&gt;.") {
			t.Errorf("%d %s", status, body)
		}
		if status, _, _ := ann.post(path, url.Values{"verdict": {"upheld"}, "reason": {"No."}}); status != http.StatusConflict {
			t.Errorf("a case that has ended is voted on: %d", status)
		}
		c.later(time.Minute)
		status, body, _ = ann.post("/staff/members", url.Values{"what": {"invite"}})
		_, token, ok := strings.Cut(body, o.site+"/staff/join/")
		if status != 200 || !ok {
			t.Fatalf("%d %s", status, body)
		}
		bob, _ := o.joins("Bob", token[:26])
		_, body, _ = bob.get("/staff/trail")
		for _, want := range []string{"joined", "signed in", "invited", "opened", "voted", "It was &lt;i&gt;cleaned", "the console"} {
			if !strings.Contains(body, want) {
				t.Errorf("the trail does not tell of %q", want)
			}
		}
		members, err := o.store.Members(t.Context())
		if err != nil || len(members) != 2 || members[0].Passkeys != 1 {
			t.Fatalf("%+v, %v", members, err)
		}
		for i, want := range []int{http.StatusSeeOther, http.StatusNotFound, http.StatusConflict} {
			who := []string{members[0].ID, members[0].ID, members[1].ID}[i]
			if status, _, _ := bob.post("/staff/members", url.Values{"what": {"remove"}, "id": {who}}); status != want {
				t.Errorf("removing %s: %d, not %d", who, status, want)
			}
		}
		if status, _, _ := ann.get("/staff"); status != http.StatusSeeOther || o.signIn(ann, annsKey) != http.StatusForbidden {
			t.Error("who was removed is still in")
		}
		for _, change := range []string{`UPDATE staff_trail SET action = ''`, `DELETE FROM staff_trail`} {
			if _, err := c.db.Exec(t.Context(), change); err == nil || !strings.Contains(err.Error(), "the trail is not changed") {
				t.Errorf("%s: %v", change, err)
			}
		}
	})
}

// A session begins anew with each signing in, is bound to nothing that others know, and ends.
func TestSessions(t *testing.T) {
	c := open(t, t.TempDir()+"/desk.db")
	c.update()
	o := c.office(staff.OpenID{})
	ann, key := o.joins("Ann", o.invitation())
	at, _ := url.Parse(o.at)
	first := ann.Jar.Cookies(at)[0]
	mallory := o.browser()
	mallory.Jar.SetCookies(at, []*http.Cookie{{Name: "shoji-staff", Value: "chosen-by-mallory", Path: "/"}})
	if status, _, _ := mallory.get("/staff"); status != http.StatusSeeOther {
		t.Error("a token of one's own choice is taken")
	}
	if o.signIn(mallory, key) != http.StatusOK { // the victim's browser, with a session fixed by another
		t.Fatal("signing in")
	}
	if now := mallory.Jar.Cookies(at)[0]; now.Value == "chosen-by-mallory" {
		t.Error("another chose the token")
	}
	if o.signIn(ann, key) != http.StatusOK {
		t.Fatal("signing in again")
	}
	old := o.browser()
	old.Jar.SetCookies(at, []*http.Cookie{first})
	if status, _, _ := old.get("/staff"); status != http.StatusSeeOther {
		t.Error("the session from before signing in again is still one")
	}
	_, _, header := ann.post("/staff/signin/begin", nil)
	for _, c := range header.Values("Set-Cookie") {
		if !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Strict") {
			t.Errorf("a cookie without its bounds: %s", c)
		}
	}
	for range 5 { // in use, a session goes on
		c.later(25 * time.Minute)
		if status, _, _ := ann.get("/staff"); status != 200 {
			t.Fatalf("%d", status)
		}
	}
	c.later(31 * time.Minute)
	if status, _, _ := ann.get("/staff"); status != http.StatusSeeOther {
		t.Error("an idle session is still one")
	}
	o.signIn(ann, key)
	for range 30 {
		c.later(25 * time.Minute)
		ann.get("/staff")
	}
	if status, _, _ := ann.get("/staff"); status != http.StatusSeeOther {
		t.Error("a session lasts for ever")
	}
	o.signIn(ann, key)
	kept := ann.Jar.Cookies(at)
	if status, _, _ := ann.post("/staff/signout", nil); status != http.StatusSeeOther {
		t.Errorf("%d", status)
	}
	ann.Jar.SetCookies(at, kept)
	if status, _, _ := ann.get("/staff"); status != http.StatusSeeOther {
		t.Error("a session that was ended is still one")
	}
	if n := c.count("staff_session", "token LIKE '%"+kept[0].Value+"%'"); n != 0 {
		t.Error("a session's token is kept as it is")
	}
}

// What was used once is not used again, and nobody gets in by what he makes up.
func TestWhoIsNotStaff(t *testing.T) {
	c := open(t, t.TempDir()+"/desk.db")
	c.say("a", "one.example")
	c.say("b", "one.example")
	c.update()
	o := c.office(staff.OpenID{})
	token := o.invitation()
	if again := o.invitation(); again == token {
		t.Error("the same invitation twice")
	} else if status, _, _ := o.browser().get(staff.JoinPath(token)); status != http.StatusGone {
		t.Errorf("the console's earlier invitation can be used: %d", status)
	} else {
		token = again
	}
	// Two begin with one invitation: one joins.
	first, second := o.browser(), o.browser()
	keys := []*authenticator{newAuthenticator(t, o.site, "localhost"), newAuthenticator(t, o.site, "localhost")}
	_, one, _ := first.post("/staff/begin/"+token, url.Values{"name": {"Ann"}})
	_, two, _ := second.post("/staff/begin/"+token, url.Values{"name": {"Eve"}})
	made := keys[0].make(one)
	if status, _, _ := first.json(staff.JoinPath(token), made); status != 200 {
		t.Fatalf("%d", status)
	}
	if status, _, _ := first.json(staff.JoinPath(token), made); status != http.StatusForbidden && status != http.StatusGone {
		t.Errorf("the same passkey was made twice: %d", status)
	}
	if status, _, _ := second.json(staff.JoinPath(token), keys[1].make(two)); status != http.StatusGone {
		t.Errorf("an invitation was used twice: %d", status)
	}
	late := o.invitation()
	c.later(staff.InvitationTime + time.Minute)
	if status, _, _ := o.browser().get(staff.JoinPath(late)); status != http.StatusGone {
		t.Errorf("an invitation lasts for ever: %d", status)
	}
	eve := o.browser()
	if o.signIn(eve, keys[1]) != http.StatusForbidden {
		t.Error("an unknown key signs in")
	}
	keys[1].handle, keys[1].id = keys[0].handle, keys[0].id
	if o.signIn(eve, keys[1]) != http.StatusForbidden {
		t.Error("another's key signs in")
	}
	for _, wrong := range []func(*authenticator){
		func(a *authenticator) { a.origin = "http://evil.example" },
		func(a *authenticator) { a.rp = "evil.example" },
	} {
		phished := *keys[0]
		if wrong(&phished); o.signIn(eve, &phished) != http.StatusForbidden {
			t.Error("what was signed for another site signs in")
		}
	}
	o.replays(keys[0])
	for _, path := range []string{"/staff", "/staff/trail", "/staff/members", "/staff/case/case-1"} {
		if status, body, header := eve.get(path); status != http.StatusSeeOther || header.Get("Location") != "/staff/signin" || body != "" {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for _, path := range []string{"/staff/members", "/staff/case/case-1", "/staff/signout", "/staff/passkey", "/staff/passkey/begin"} {
		if status, _, _ := eve.post(path, url.Values{"what": {"invite"}}); status != http.StatusForbidden {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// replays sends what signed somebody in once more, and signs in from another site.
func (o *office) replays(key *authenticator) {
	o.t.Helper()
	ann := o.browser()
	at, _ := url.Parse(o.at)
	_, body, _ := ann.post("/staff/signin/begin", nil)
	cookies := ann.Jar.Cookies(at)
	signed := key.use(body)
	if status, _, _ := ann.json("/staff/signin/finish", signed); status != 200 {
		o.t.Fatalf("%d", status)
	}
	again := o.browser()
	again.Jar.SetCookies(at, cookies)
	if status, _, _ := again.json("/staff/signin/finish", signed); status != http.StatusForbidden {
		o.t.Errorf("a sign-in was replayed: %d", status)
	}
	key.count-- // a copy of the key, which has counted less
	if o.signIn(again, key) != http.StatusForbidden {
		o.t.Error("a copied passkey signs in")
	}
	key.count += 2
	for _, header := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Origin": {"https://evil.example"}}} {
		r, _ := http.NewRequest(http.MethodPost, o.at+"/staff/members", strings.NewReader("what=invite"))
		r.Header = header
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if status, body, _ := ann.do(r); status != http.StatusForbidden || strings.Contains(body, "/staff/join/") {
			o.t.Errorf("another site had a member invite: %d", status)
		}
	}
	if status, _, _ := ann.post("/staff/members", url.Values{"what": {"invite"}}); status != 200 {
		o.t.Errorf("%d", status)
	}
	if err := o.store.Note(o.t.Context(), "", staff.Heard, "x", ledger.CaseUpheld); err != nil {
		o.t.Error(err)
	}
}

// A site that is reached by its address alone has no passkeys, and says so.
func TestNoNameNoPasskeys(t *testing.T) {
	c := open(t, t.TempDir()+"/desk.db")
	c.update()
	o := &office{court: c, site: "http://127.0.0.1:5381"}
	var err error
	if o.store, err = staff.OpenStore(t.Context(), c.db, c.clock); err != nil {
		t.Fatal(err)
	}
	o.at = c.opens(func(s *web.Site) error {
		return staff.Register(s, staff.Config{Store: o.store, Docket: c.docket, Address: o.site})
	}).at
	if status, body, _ := o.browser().get("/staff/signin"); status != 200 || !strings.Contains(body, "http://localhost") {
		t.Errorf("%d %s", status, body)
	}
	if status, _, _ := o.browser().get(staff.JoinPath(o.invitation())); status != http.StatusConflict {
		t.Errorf("%d", status)
	}
}
