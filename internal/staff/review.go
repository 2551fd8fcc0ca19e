package staff

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/shoji-dns/shoji/internal/docket"
	"github.com/shoji-dns/shoji/internal/web"
)

// reviewPatience is how long a page waits to learn what waits for a person's word: a million subjects take longer, and
// are asked for again.
const reviewPatience = 2 * time.Second

// reviewsPage is what waits for a person's word.
type reviewsPage struct {
	*docket.Reviews // nil: it is being found out
	From, Next      int
	Most            int
}

func (a *area) reviews(r *request) (*web.Reply, error) {
	from, err := offset(r.Request)
	if err != nil {
		return nil, err
	}
	p := reviewsPage{From: from, Most: docket.MaxReviews}
	if p.Reviews, err = a.conf.Docket.Reviews(r.Context(), reviewPatience); err != nil {
		return nil, err
	}
	if p.Reviews != nil {
		some := *p.Reviews
		some.All = some.All[min(from, len(some.All)):]
		if len(some.All) > maxShown {
			some.All, p.Next = some.All[:maxShown], from+maxShown
		}
		p.Reviews = &some
	}
	reply := a.page("reviews", r, web.Text{EN: "What waits for a person's word", JA: "人の確認を待つもの"}, p)
	if p.Reviews == nil {
		reply.Header = http.Header{"Refresh": {"3"}}
	}
	return reply, nil
}

// reviewPage is one subject that waits for a person's word.
type reviewPage struct {
	*docket.Review
	Votes []namedVote
	Most  int
}

func gone() error {
	return web.Refuse(http.StatusNotFound, web.Text{
		EN: "Nobody is asked about this, or not any more: a person has said it, or the evidence has changed.",
		JA: "これについての確認は求められていないか、すでに済んでいます（人が確認したか、証拠が変わりました）。",
	})
}

func (a *area) review(r *request) (*web.Reply, error) {
	subject, err := r.Value("subject", docket.MaxSubject)
	if err != nil {
		return nil, err
	}
	one, err := a.conf.Docket.Review(r.Context(), subject)
	if errors.Is(err, docket.ErrUnknown) {
		return nil, gone()
	}
	if err != nil {
		return nil, err
	}
	p := reviewPage{Review: one, Most: docket.MaxReason}
	if p.Votes, err = a.named(r, one.Votes); err != nil {
		return nil, err
	}
	return a.page("review", r, web.Text{EN: "About " + one.Subject, JA: one.Subject + " について"}, p), nil
}

// say takes a word on what waits.
func (a *area) say(r *request) (*web.Reply, error) {
	subject, err := r.Value("subject", docket.MaxSubject)
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
	if !oneOf(verdict, docket.Confirmed, docket.Rejected) || reason == "" {
		return nil, web.Refuse(http.StatusUnprocessableEntity, web.Text{
			EN: "Please choose whether it is to be filtered, and give a reason. Other members read it.", JA: "遮断するかどうかを選び、理由を書いてください。理由は他の担当者が読みます。",
		})
	}
	if _, err := a.conf.Docket.Review(r.Context(), subject); errors.Is(err, docket.ErrUnknown) {
		return nil, gone()
	} else if err != nil {
		return nil, err
	}
	if err := a.conf.Store.Note(r.Context(), r.who.ID, Reviewed, subject, verdict+": "+reason); err != nil {
		return nil, err
	}
	decided, err := a.conf.Docket.Say(r.Context(), subject, r.who.ID, verdict, reason)
	refusal := (*docket.Refusal)(nil)
	switch {
	case errors.Is(err, docket.ErrUnknown):
		return nil, gone()
	case errors.As(err, &refusal):
		return nil, oddReason()
	case errors.Is(err, docket.ErrHeld):
		return nil, web.Refuse(http.StatusConflict, web.Text{
			EN: "Your word was taken. Nothing came into force yet: more would change than the policy lets through unseen. See shoji list update --dry-run.",
			JA: "ご判断は記録しました。ただし、方針の上限を超える変更になるため、まだ反映されていません。shoji list update --dry-run で確認してください。",
		})
	case err != nil:
		return nil, err
	case decided:
		return web.Redirect(r.Request, "/staff/review"), nil
	}
	return web.Redirect(r.Request, "/staff/review/one?subject="+url.QueryEscape(subject)), nil
}
