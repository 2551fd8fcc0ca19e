// Package intake is the pages where people appeal against a listing and follow their case.
//
// # The pages
//
//	/appeal           the form; POST hands it in
//	/appeal/challenge a challenge for the form's script, as JSON
//	/receipt/TOKEN    what became of an appeal, for whoever holds its receipt; POST takes it back
//	/cases            the cases, and how long they take; /cases.json
//	/case/ID          a case, public; /case/ID.json
//	/appeal.js        the form's script, and /appeal-work.js the worker that it starts
//
// There is no account and no cookie. What somebody wrote and how he can be reached is shown on none
// of these pages, not even to the holder of the receipt.
//
// # Against floods
//
// The form's script answers a challenge: it looks for a number with which the SHA-256 of challenge
// and number begins with enough zero bits. The challenge is fetched when the form is sent,
// carries its own end and difficulty under a keyed digest, and is taken once. It costs a person a
// second or a few, and a flood its processors; it grows dearer while many come, and challenges that were laid in before do
// not count then. A network has only so many appeals a day (web.Request.SpendRare). A browser without
// scripts sends no answer: freeBurst such appeals at once, and one each freeEvery, are taken
// of all the world together, whoever sends them.
//
// # Limits
//
// maxSpent, and those of package docket. The key of challenges is made at each start: a form
// that was being sent then is sent again.
package intake

import (
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/appeal"
	"github.com/shoji-dns/shoji/internal/docket"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

//go:embed *.html *.js
var files embed.FS

// Config is what the pages need.
type Config struct {
	Docket *docket.Docket
	Policy *policy.Policy // for the titles of its clauses
	Now    func() time.Time
	Logger *slog.Logger // nil: nobody
}

// Intake is the pages.
type Intake struct {
	conf  Config
	mint  *mint
	free  bucket
	pages map[string]*web.Page
}

// patience is how long the sender of an appeal is kept waiting for its outcome: it mostly takes a
// fraction of it.
const patience = 3 * time.Second

// maxForm bounds a form in octets: a browser writes each octet of the longest words as three.
const maxForm = 3*docket.MaxWords + 12<<10

// MaxShown is how many cases a page shows.
const MaxShown = 50

// Register adds the pages to a site.
func Register(s *web.Site, conf Config) error {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	if conf.Logger == nil {
		conf.Logger = slog.New(slog.DiscardHandler)
	}
	in := &Intake{conf: conf, mint: newMint(), pages: map[string]*web.Page{}}
	for _, name := range []string{"appeal", "receipt", "case", "cases"} {
		p, err := web.ParsePage(files, name+".html", "parts.html")
		if err != nil {
			return err
		}
		in.pages[name] = p
	}
	for pattern, answer := range map[string]web.Answer{
		"GET /appeal":           in.form,
		"POST /appeal":          in.submit,
		"GET /appeal/challenge": in.challenge,
		"GET /appeal.js":        in.script("appeal.js"),
		"GET /appeal-work.js":   in.script("appeal-work.js"),
		"GET /receipt/{token}":  in.receipt,
		"POST /receipt/{token}": in.change,
		"GET /cases":            in.cases,
		"GET /cases.json":       in.casesJSON,
		"GET /case/{id}":        in.one,
	} {
		s.Handle(web.Route{Pattern: pattern, Answer: answer, Body: maxForm})
	}
	s.Nav("/appeal", web.Text{EN: "Appeal", JA: "異議申し立て"})
	return nil
}

func (in *Intake) script(name string) web.Answer {
	return func(*web.Request) (*web.Reply, error) {
		b, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		r := web.Raw("text/javascript; charset=utf-8", b)
		r.Cache = "no-cache"
		return r, nil
	}
}

// challenge hands out a challenge.
func (in *Intake) challenge(*web.Request) (*web.Reply, error) {
	text, difficulty := in.mint.challenge(in.conf.Now())
	return web.JSON(map[string]any{"challenge": text, "bits": difficulty})
}

// formPage is the form, as it was filled in.
type formPage struct {
	docket.Appeal
	Causes      []cause
	Wrong       web.Text // what to mend; empty: nothing
	Field       string   // that is wrong
	ContactDays int
	WordsDays   int
	MaxWords    int
	MaxContact  int
	MaxSubject  int
}

type cause struct {
	ID   string
	Text web.Text
}

// causeText is a cause for people.
func causeText(id string) web.Text {
	en, ja := appeal.CauseText(id)
	return web.Text{EN: en, JA: ja}
}

func (in *Intake) formReply(status int, p formPage) *web.Reply {
	for _, id := range appeal.Causes() {
		p.Causes = append(p.Causes, cause{id, causeText(id)})
	}
	const day = 24 * time.Hour
	p.ContactDays, p.WordsDays = int(docket.ContactRetention/day), int(docket.WordsRetention/day)
	// A browser counts characters; none that it counts as one has more than three octets.
	p.MaxWords, p.MaxContact, p.MaxSubject = docket.MaxWords/3, docket.MaxContact, docket.MaxSubject
	r := in.pages["appeal"].Reply(web.Text{EN: "Appeal against a listing", JA: "掲載への異議申し立て"}, p)
	r.Status, r.Script = status, "/appeal.js"
	return r
}

func (in *Intake) form(r *web.Request) (*web.Reply, error) {
	name, err := r.Value("name", docket.MaxSubject)
	if err != nil {
		return nil, err
	}
	return in.formReply(http.StatusOK, formPage{Appeal: docket.Appeal{Subject: name}}), nil
}

// submit takes the form.
func (in *Intake) submit(r *web.Request) (*web.Reply, error) {
	if err := r.Spend(10); err != nil {
		return nil, err
	}
	p := formPage{}
	var proof, answer string
	for _, f := range []struct {
		name string
		to   *string
		most int
	}{
		{"name", &p.Subject, docket.MaxSubject}, {"cause", &p.Cause, ledger.MaxToken}, {"words", &p.Words, docket.MaxWords},
		{"contact", &p.Contact, docket.MaxContact}, {"proof", &proof, 256}, {"answer", &answer, 64},
	} {
		var err error
		if *f.to, err = r.Value(f.name, f.most); err != nil {
			return nil, err
		}
	}
	p.Language = r.Lang
	now := in.conf.Now()
	if err := p.Check(); err != nil { // before the work is spent
		return in.refused(p, err)
	}
	if wrong, status := in.pass(proof, answer, now); status != 0 {
		p.Wrong = wrong
		return in.formReply(status, p), nil
	}
	if err := r.SpendRare(); err != nil {
		return nil, err
	}
	receipt, err := in.conf.Docket.Submit(r.Context(), p.Appeal)
	if err != nil {
		return in.refused(p, err)
	}
	if _, err := in.conf.Docket.Await(r.Context(), receipt, patience); err != nil {
		return nil, err
	}
	return web.Redirect(r, "/receipt/"+receipt), nil
}

// pass takes the work that was done, or one of the few that need none; a status where neither does.
func (in *Intake) pass(proof, answer string, now time.Time) (wrong web.Text, status int) {
	if proof == "" {
		wait, ok := in.free.take(now)
		if ok {
			return web.Text{}, 0
		}
		minutes := strconv.Itoa(int(wait/time.Minute) + 1)
		return web.Text{
			EN: "Without scripts, only a few appeals are taken at a time. Please send it again in " + minutes + " min, or switch scripts on for this page.",
			JA: "スクリプトなしで受け付けられる件数には限りがあります。" + minutes + " 分後にもう一度送信するか、このページでスクリプトを有効にしてください。",
		}, http.StatusTooManyRequests
	}
	switch err := in.mint.redeem(proof, answer, now); {
	case err == nil:
		return web.Text{}, 0
	case errors.Is(err, errFull), errors.Is(err, errCheap):
		return web.Text{EN: "Very many appeals come in at the moment. Please send it again later.", JA: "現在、申し立てが集中しています。しばらくしてからもう一度送信してください。"}, http.StatusServiceUnavailable
	}
	return web.Text{
		EN: "The form was open for too long, or was sent twice. Please send it once more.",
		JA: "フォームが長く開かれていたか、二度送信されました。もう一度送信してください。",
	}, http.StatusForbidden
}

// refused shows the form again with what is wrong.
func (in *Intake) refused(p formPage, err error) (*web.Reply, error) {
	var refusal *docket.Refusal
	if !errors.As(err, &refusal) {
		return nil, err
	}
	status := http.StatusUnprocessableEntity
	switch refusal.Code {
	case docket.BadSubject:
		p.Field = "name"
		p.Wrong = web.Text{EN: "This is neither a domain name nor an address.", JA: "ドメイン名でもアドレスでもありません。"}
	case docket.BadCause:
		p.Field = "cause"
		p.Wrong = web.Text{EN: "Please choose what is wrong with the listing.", JA: "掲載のどこが誤りかを選んでください。"}
	case docket.QueueFull:
		status = http.StatusServiceUnavailable
		p.Wrong = web.Text{EN: "The desk has more open cases than it can work on. Please send it again later.", JA: "未処理の申し立てが上限に達しています。しばらくしてからもう一度送信してください。"}
	default:
		p.Field = "words"
		p.Wrong = web.Text{EN: "The text is too long, or holds characters that change how text is shown.", JA: "文章が長すぎるか、表示を変える文字が含まれています。"}
	}
	return in.formReply(status, p), nil
}

// receiptPage is what became of an appeal.
type receiptPage struct {
	*docket.Statement
	Token       string
	One         *casePage // nil: it has no case
	ContactDays int
}

func (in *Intake) receipt(r *web.Request) (*web.Reply, error) {
	token := r.PathValue("token")
	s, err := in.conf.Docket.Statement(r.Context(), token)
	if errors.Is(err, docket.ErrUnknown) {
		return nil, web.NotFound
	}
	if err != nil {
		return nil, err
	}
	p := receiptPage{Statement: s, Token: token, ContactDays: int(docket.ContactRetention / (24 * time.Hour))}
	if s.Case != "" {
		if p.One, err = in.casePage(r, s.Case); err != nil {
			return nil, err
		}
	}
	reply := in.pages["receipt"].Reply(web.Text{EN: "Your appeal", JA: "あなたの申し立て"}, p)
	reply.Header = http.Header{"X-Robots-Tag": {"noindex"}}
	if s.State == docket.Waiting {
		reply.Header.Set("Refresh", "3")
	}
	return reply, nil
}

// change takes an appeal back, or has its contact deleted.
func (in *Intake) change(r *web.Request) (*web.Reply, error) {
	token := r.PathValue("token")
	what, err := r.Value("what", 32)
	if err != nil {
		return nil, err
	}
	if err := r.Spend(5); err != nil {
		return nil, err
	}
	switch what {
	case "withdraw":
		err = in.conf.Docket.Withdraw(r.Context(), token)
	case "forget":
		err = in.conf.Docket.DeleteContact(r.Context(), token)
	default:
		return nil, web.BadRequest
	}
	if errors.Is(err, docket.ErrUnknown) {
		return nil, web.NotFound
	}
	if err != nil {
		return nil, err
	}
	return web.Redirect(r, "/receipt/"+token), nil
}

// caseID is what a case's identity looks like, so that others need not be looked for.
var caseID = regexp.MustCompile(`^[a-z0-9][a-z0-9._:+/-]{0,127}$`)

// casePage is a case for everyone.
type casePage struct {
	*docket.Case
	CauseText web.Text
	Clause    *policy.Clause // nil: of another policy
	ClauseID  string
}

func (in *Intake) casePage(r *web.Request, id string) (*casePage, error) {
	if !caseID.MatchString(id) {
		return nil, web.NotFound
	}
	c, err := in.conf.Docket.Case(r.Context(), id)
	if errors.Is(err, docket.ErrUnknown) {
		return nil, web.NotFound
	}
	if err != nil {
		return nil, err
	}
	return &casePage{c, causeText(c.Cause), in.conf.Policy.Clause(c.Case.Clause), c.Case.Clause}, nil
}

func (in *Intake) one(r *web.Request) (*web.Reply, error) {
	id, asJSON := strings.CutSuffix(r.PathValue("id"), ".json")
	p, err := in.casePage(r, id)
	if err != nil {
		return nil, err
	}
	if asJSON {
		return web.JSON(machine(p.Case))
	}
	title := web.Text{EN: "Case about a name that is not told", JA: "公開されない名前についての申し立て"}
	if s := p.Subject(); s != "" {
		title = web.Text{EN: "Case about " + s, JA: s + " についての申し立て"}
	}
	return in.pages["case"].Reply(title, p), nil
}

// machine is a case for machines.
func machine(c *docket.Case) map[string]any {
	out := map[string]any{
		"case": c.ID, "subject": c.Subject(), "listing": c.Listing, "cause": c.Cause, "status": c.Status, "received": c.Received, "entries": c.Entries,
	}
	for name, at := range map[string]time.Time{"referred": c.Referred, "ended": c.Ended} {
		if !at.IsZero() {
			out[name] = at
		}
	}
	for name, text := range map[string]string{"clause": c.Clause, "note": c.Note} {
		if text != "" {
			out[name] = text
		}
	}
	if c.Took > 0 {
		out["took_seconds"] = c.Took.Seconds()
	}
	return out
}

// casesPage is the cases.
type casesPage struct {
	*docket.Figures
	Cases []docket.Case
	Next  int // offset of further ones; 0: there are none
	Start int
}

// maxOffset bounds how far back cases are paged through.
const maxOffset = 1_000_000

func (in *Intake) list(r *web.Request) (*casesPage, error) {
	from, err := r.Value("from", 8)
	if err != nil {
		return nil, err
	}
	p := &casesPage{}
	if from != "" {
		if p.Start, err = strconv.Atoi(from); err != nil || p.Start < 0 || p.Start > maxOffset {
			return nil, web.BadRequest
		}
	}
	if p.Figures, err = in.conf.Docket.Figures(r.Context()); err != nil {
		return nil, err
	}
	p.Cases, err = in.conf.Docket.Cases(r.Context(), docket.Search{Limit: MaxShown + 1, Offset: p.Start})
	if len(p.Cases) > MaxShown {
		p.Cases, p.Next = p.Cases[:MaxShown], p.Start+MaxShown
	}
	return p, err
}

func (in *Intake) cases(r *web.Request) (*web.Reply, error) {
	p, err := in.list(r)
	if err != nil {
		return nil, err
	}
	return in.pages["cases"].Reply(web.Text{EN: "Cases", JA: "申し立ての一覧"}, p), nil
}

func (in *Intake) casesJSON(r *web.Request) (*web.Reply, error) {
	p, err := in.list(r)
	if err != nil {
		return nil, err
	}
	all := []map[string]any{}
	for i := range p.Cases {
		all = append(all, machine(&p.Cases[i]))
	}
	out := map[string]any{
		"open": p.Open, "ended": p.Ended, "delisted": p.Delisted, "upheld": p.Upheld, "cases": all,
		"policy_median_seconds": p.Policy.Seconds(), "people_median_seconds": p.People.Seconds(),
	}
	if p.Next > 0 {
		out["next"] = "/cases.json?from=" + strconv.Itoa(p.Next)
	}
	return web.JSON(out)
}
