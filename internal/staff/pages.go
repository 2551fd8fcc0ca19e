package staff

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/shoji-dns/shoji/internal/appeal"
	"github.com/shoji-dns/shoji/internal/docket"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

// maxShown is how many cases or lines of the trail a page shows.
const maxShown = 50

// maxOffset bounds how far back is paged.
const maxOffset = 1_000_000

// offset is where a page begins.
func offset(r *web.Request) (int, error) {
	from, err := r.Value("from", 8)
	if err != nil || from == "" {
		return 0, err
	}
	n, err := strconv.Atoi(from)
	if err != nil || n < 0 || n > maxOffset {
		return 0, web.BadRequest
	}
	return n, nil
}

// queuePage is what waits to be decided.
type queuePage struct {
	*docket.Figures
	Cases   []queued
	Next    int
	Reviews *docket.Reviews // beside the cases; nil: it is being found out
}

// queued is a case that waits.
type queued struct {
	docket.Case
	Votes int  // of how many members
	Mine  bool // one of them is who looks
}

func (a *area) queue(r *request) (*web.Reply, error) {
	from, err := offset(r.Request)
	if err != nil {
		return nil, err
	}
	p := queuePage{}
	if p.Figures, err = a.conf.Docket.Figures(r.Context()); err != nil {
		return nil, err
	}
	if p.Reviews, err = a.conf.Docket.Reviews(r.Context(), reviewPatience/4); err != nil {
		return nil, err
	}
	cases, err := a.conf.Docket.Cases(r.Context(), docket.Search{Open: true, Limit: maxShown + 1, Offset: from})
	if err != nil {
		return nil, err
	}
	if len(cases) > maxShown {
		cases, p.Next = cases[:maxShown], from+maxShown
	}
	for _, c := range cases {
		votes, err := a.conf.Docket.Votes(r.Context(), c.ID)
		if err != nil {
			return nil, err
		}
		q := queued{Case: c}
		members := map[string]bool{}
		for _, v := range votes {
			members[v.Member] = true
		}
		q.Votes, q.Mine = len(members), members[r.who.ID]
		p.Cases = append(p.Cases, q)
	}
	return a.page("queue", r, web.Text{EN: "Cases to decide", JA: "審査待ちの申し立て"}, p), nil
}

// casePage is a case for who decides it.
type casePage struct {
	*docket.Case
	Statements []docket.Statement
	Votes      []namedVote
	Evidence   []compared
	ListedBy   *policy.Clause // nil: of another policy
	Decides    *policy.Clause // the clause that decides now
	Filtered   bool           // something filters the subject now
	Listing    *ledger.Entry
}

type namedVote struct {
	appeal.Vote
	Name string
}

// compared is a piece of evidence, as it was when the subject was listed and as it is now.
type compared struct {
	Source, Kind string
	Then, Now    *ledger.Evidence // nil: there was, or is, none
}

// compare puts evidence side by side, by who says what.
func compare(then []ledger.Evidence, now []policy.Evidence) []compared {
	var out []compared
	find := func(e *ledger.Evidence) *compared {
		for i := range out {
			if out[i].Source == e.Source && out[i].Kind == e.Kind {
				return &out[i]
			}
		}
		out = append(out, compared{Source: e.Source, Kind: e.Kind})
		return &out[len(out)-1]
	}
	for i := range then { // ledger.MaxEvidence at most, and as many below
		find(&then[i]).Then = &then[i]
	}
	for i := range now {
		find(&now[i].Evidence).Now = &now[i].Evidence
	}
	return out
}

// caseID is what a case's identity looks like, so that others need not be looked for.
var caseID = regexp.MustCompile(`^[a-z0-9][a-z0-9._:+/-]{0,127}$`)

func (a *area) open(r *request) (*docket.Case, error) {
	id := r.PathValue("id")
	if !caseID.MatchString(id) {
		return nil, web.NotFound
	}
	c, err := a.conf.Docket.Case(r.Context(), id)
	if errors.Is(err, docket.ErrUnknown) {
		return nil, web.NotFound
	}
	return c, err
}

func (a *area) one(r *request) (*web.Reply, error) {
	c, err := a.open(r)
	if err != nil {
		return nil, err
	}
	p := casePage{Case: c}
	if p.Statements, err = a.conf.Docket.Statements(r.Context(), c.ID); err != nil {
		return nil, err
	}
	if len(p.Statements) > 0 { // who reads what somebody confided leaves a trace
		if err := a.conf.Store.Note(r.Context(), r.who.ID, Opened, c.ID, ""); err != nil {
			return nil, err
		}
	}
	if p.Votes, err = a.votes(r, c.ID); err != nil {
		return nil, err
	}
	if p.Listing, err = a.conf.Docket.Entry(r.Context(), c.Case.Listing); err != nil {
		return nil, err
	}
	about := c.Subject()
	if about == "" && len(p.Statements) > 0 { // a name that is not told, but to whoever decides
		about = p.Statements[0].Subject
	}
	x, err := a.conf.Explain(r.Context(), about)
	if err != nil {
		return nil, err
	}
	p.Filtered, p.Decides, p.ListedBy = x.Filtered, x.Decision.Clause, a.conf.Policy.Clause(p.Listing.Clause)
	p.Evidence = compare(p.Listing.Evidence, x.Evidence)
	return a.page("case", r, web.Text{EN: "Case about " + about, JA: about + " についての申し立て"}, p), nil
}

func (a *area) votes(r *request, id string) ([]namedVote, error) {
	votes, err := a.conf.Docket.Votes(r.Context(), id)
	if err != nil {
		return nil, err
	}
	return a.named(r, votes)
}

// named says whose votes they are.
func (a *area) named(r *request, votes []appeal.Vote) ([]namedVote, error) {
	names, err := a.conf.Store.Names(r.Context())
	var out []namedVote
	for _, v := range votes {
		out = append(out, namedVote{v, names[v.Member]})
	}
	return out, err
}

func (a *area) vote(r *request) (*web.Reply, error) {
	c, err := a.open(r)
	if err != nil {
		return nil, err
	}
	verdict, err := r.Value("verdict", 32)
	if err != nil {
		return nil, err
	}
	reason, err := r.Value("reason", docket.MaxReason)
	if err != nil {
		return nil, err
	}
	if !oneOf(verdict, appeal.Verdicts()...) || reason == "" {
		return nil, web.Refuse(http.StatusUnprocessableEntity, web.Text{
			EN: "Please choose what becomes of the listing, and give a reason. It is public.", JA: "掲載をどうするかを選び、理由を書いてください。理由は公開されます。",
		})
	}
	if !c.Open() {
		return nil, web.Refuse(http.StatusConflict, web.Text{EN: "This case has ended already.", JA: "この申し立てはすでに終了しています。"})
	}
	if err := a.conf.Store.Note(r.Context(), r.who.ID, Voted, c.ID, verdict+": "+reason); err != nil {
		return nil, err
	}
	_, err = a.conf.Docket.Vote(r.Context(), c.ID, r.who.ID, verdict, reason)
	if refusal := (*docket.Refusal)(nil); errors.As(err, &refusal) {
		return nil, oddReason()
	}
	if err != nil {
		return nil, err
	}
	return web.Redirect(r.Request, "/staff/case/"+c.ID), nil
}

func oddReason() error {
	return web.Refuse(http.StatusUnprocessableEntity, web.Text{
		EN: "The reason holds characters that change how text is shown.", JA: "理由に、表示を変える文字が含まれています。",
	})
}

// again has a case heard once more, by what its sources say now.
func (a *area) again(r *request) (*web.Reply, error) {
	c, err := a.open(r)
	if err != nil {
		return nil, err
	}
	if err := a.conf.Store.Note(r.Context(), r.who.ID, Heard, c.ID, ""); err != nil {
		return nil, err
	}
	if _, err := a.conf.Docket.Reconsider(r.Context(), c.ID); err != nil {
		return nil, err
	}
	return web.Redirect(r.Request, "/staff/case/"+c.ID), nil
}

// trailPage is what staff did.
type trailPage struct {
	Events []Event
	Names  map[string]string
	Next   int
}

// What is an action for people.
func (trailPage) What(action string) web.Text {
	ja := map[string]string{
		Joined: "登録", SignedIn: "サインイン", SignedOut: "サインアウト", Invited: "招待", RemovedOne: "削除", Opened: "申し立てを表示",
		Voted: "投票", Heard: "再分析", Reviewed: "確認",
	}[action]
	return web.Text{EN: action, JA: ja}
}

// Why is what is said to be wrong, for people.
func (casePage) Why(cause string) web.Text {
	en, ja := appeal.CauseText(cause)
	return web.Text{EN: en, JA: ja}
}

func (a *area) trail(r *request) (*web.Reply, error) {
	from, err := offset(r.Request)
	if err != nil {
		return nil, err
	}
	p := trailPage{}
	if p.Events, err = a.conf.Store.Trail(r.Context(), maxShown+1, from); err != nil {
		return nil, err
	}
	if len(p.Events) > maxShown {
		p.Events, p.Next = p.Events[:maxShown], from+maxShown
	}
	if p.Names, err = a.conf.Store.Names(r.Context()); err != nil {
		return nil, err
	}
	return a.page("trail", r, web.Text{EN: "What staff did", JA: "担当者の操作記録"}, p), nil
}

func (a *area) members(r *request) (*web.Reply, error) {
	all, err := a.conf.Store.Members(r.Context())
	if err != nil {
		return nil, err
	}
	reply := a.page("members", r, web.Text{EN: "Members of staff", JA: "担当者一覧"}, all)
	if a.keys != nil {
		reply.Script = "/staff.js"
	}
	return reply, nil
}

func (a *area) changeMembers(r *request) (*web.Reply, error) {
	what, err := r.Value("what", 32)
	if err != nil {
		return nil, err
	}
	switch what {
	case "invite":
		token, err := a.conf.Store.Invite(r.Context(), r.who.ID)
		if errors.Is(err, errTooMany) {
			return nil, web.Refuse(http.StatusConflict, web.Text{EN: "There are too many open invitations.", JA: "未使用の招待が多すぎます。"})
		}
		if err != nil {
			return nil, err
		}
		return a.page("invited", r, web.Text{EN: "An invitation", JA: "招待"}, struct {
			Link    string
			Minutes int
		}{a.conf.Address + JoinPath(token), int(InvitationTime / time.Minute)}), nil
	case "remove":
		id, err := r.Value("id", 64)
		if err != nil {
			return nil, err
		}
		err = a.conf.Store.Remove(r.Context(), id, r.who.ID)
		switch {
		case errors.Is(err, errNoMember): // or it was cut off before the votes were taken back
			return nil, errors.Join(a.conf.Docket.Disqualify(r.Context(), id), web.NotFound)
		case errors.Is(err, ErrLast):
			return nil, web.Refuse(http.StatusConflict, web.Text{EN: "The last member of staff cannot be removed.", JA: "最後の担当者は削除できません。"})
		case err != nil:
			return nil, err
		}
		if err := a.conf.Docket.Disqualify(r.Context(), id); err != nil {
			return nil, err
		}
		return web.Redirect(r.Request, "/staff/members"), nil
	}
	return nil, web.BadRequest
}
