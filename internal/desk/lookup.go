package desk

import (
	"context"
	_ "embed"
	"errors"
	"strconv"
	"time"

	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

// finding is what is known of a name or an address.
type finding struct {
	Asked   string
	Unicode string // as it looks to people; "" where that is the same
	Mixed   bool   // it mixes scripts, as names that imitate others do
	Address bool
	Listed  bool

	By       string // what is listed: itself, or something above it
	Above    bool   // which is not itself
	Entry    uint64
	Listing  *ledger.Entry
	Clause   *policy.Clause // nil where the policy is not known yet
	Policy   uint64         // its entry
	Version  string
	Evidence []evidence
	Sinkhole Sinkhole
	Appeal   string
}

// evidence is a piece of it, with what is declared of its source.
type evidence struct {
	ledger.Evidence
	Title string // of the source; "" where none is declared
}

// find looks a subject up.
func (d *Desk) find(ctx context.Context, s curate.Subject) (*finding, error) {
	now := d.state.Load()
	f := &finding{Asked: subjectText(s), Address: s.Prefix.IsValid()}
	if !f.Address {
		f.Unicode, f.Mixed = curate.Spell(f.Asked)
	}
	v, by, ok := match(now.list, s)
	if !ok {
		return f, nil
	}
	f.By, f.Above = by, by != f.Asked
	return f, d.fill(ctx, now, f, v.Entry)
}

// fill says of a finding what the entry says that lists it.
func (d *Desk) fill(ctx context.Context, now *state, f *finding, entry uint64) error {
	e, err := ledger.ReadEntry(ctx, d.conf.Log, d.covering(now, entry), entry)
	if err != nil {
		return err
	}
	f.Listed, f.Entry, f.Listing, f.Evidence = true, entry, e, d.evidence(e)
	f.Sinkhole, f.Appeal = d.conf.Sinkhole, d.conf.Appeal
	p, at, err := d.policyOf(ctx, e.Policy)
	if p != nil {
		f.Clause, f.Policy, f.Version = p.Clause(e.Clause), at, p.Version
	}
	return err
}

// mapPath is where a browser finds the list's map; "" where it is not here.
func (d *Desk) mapPath() string {
	if d.conf.Files == nil {
		return ""
	}
	return "/log/"
}

// scriptPath is the script of the look-up that does not tell.
const scriptPath = "/lookup.js"

//go:embed lookup.js
var script []byte

func (d *Desk) script(*web.Request) (*web.Reply, error) {
	reply := web.Raw("text/javascript; charset=utf-8", script)
	reply.Cache = "no-cache"
	return reply, nil
}

// maxAmong is how many entries are shown at once to who looks for one among them: a map's bucket has 16
// records, and hardly ever four times as many.
const maxAmong = 64

// among shows list entries to a browser that has found one of them in the map, and fetches it
// together with its neighbours, so that this server does not learn which it was.
func (d *Desk) among(r *web.Request) (*web.Reply, error) {
	asked := r.URL.Query()["n"]
	if len(asked) == 0 || len(asked) > maxAmong {
		return nil, web.BadRequest
	}
	if err := r.Spend(1 + len(asked)/8); err != nil {
		return nil, err
	}
	now := d.state.Load()
	var all []*finding
	for _, text := range asked {
		n, err := number(text)
		if err != nil || n >= now.tip.Size {
			return nil, web.BadRequest
		}
		f := &finding{}
		if err := d.fill(r.Context(), now, f, n); err != nil {
			return nil, err
		}
		if f.Listing.Kind != ledger.KindList {
			return nil, web.BadRequest
		}
		f.By = entrySubject(f.Listing)
		f.Asked = f.By
		f.Unicode, f.Mixed = curate.Spell(f.By)
		all = append(all, f)
	}
	return d.page("among", web.Text{EN: "Listings", JA: "掲載"}, all), nil
}

// covering is a checkpoint that covers entry n: the one that was seen last, nearly always.
func (d *Desk) covering(s *state, n uint64) ledger.Checkpoint {
	if n < s.tip.Size {
		return s.tip
	}
	tip, err := ledger.ReadCheckpoint(context.Background(), d.conf.Log, d.conf.Key)
	if err != nil {
		return s.tip // reading the entry says what is wrong
	}
	return tip
}

// evidence is that of an entry.
func (d *Desk) evidence(e *ledger.Entry) []evidence {
	out := make([]evidence, len(e.Evidence))
	for i := range e.Evidence {
		source, _ := d.life.Source(e.Evidence[i].Source)
		out[i] = evidence{e.Evidence[i], source.Title}
	}
	return out
}

// asked is a page's look-up: what was asked for, and what was found.
type asked struct {
	Text    string // as it was entered
	Finding *finding
	Wrong   web.Translated // what is wrong with Text
	Epoch   *ledger.Epoch
	Map     string // where the list's map is; "": not here
}

// ask reads the query and looks it up.
func (d *Desk) ask(r *web.Request) (*asked, error) {
	a := &asked{Epoch: d.state.Load().epoch, Map: d.mapPath()}
	var err error
	if a.Text, err = r.Value("name", maxAsked); err != nil || a.Text == "" {
		return a, err
	}
	s, err := parseSubject(a.Text)
	if err != nil {
		return a, err
	}
	a.Finding, err = d.find(r.Context(), s)
	return a, err
}

func (d *Desk) lookup(r *web.Request) (*web.Reply, error) {
	title := web.Text{EN: "Look up a name or an address", JA: "名前やアドレスを調べる"}
	a, err := d.ask(r)
	wrong := web.Error{}
	switch {
	case errors.As(err, &wrong) && a != nil:
		a.Wrong = wrong.Text
	case err != nil:
		return nil, err
	case a.Finding != nil:
		title = web.Text{EN: a.Finding.Asked, JA: a.Finding.Asked}
	}
	reply := d.page("lookup", title, a)
	reply.Status = wrong.Status
	if a.Map != "" {
		reply.Script = scriptPath
	}
	return reply, nil
}

func (d *Desk) lookupJSON(r *web.Request) (*web.Reply, error) {
	a, err := d.ask(r)
	if err != nil {
		return nil, err
	}
	f := a.Finding
	if f == nil {
		return nil, errNoSubject
	}
	out := map[string]any{"asked": f.Asked, "filtered": f.Listed}
	if a.Epoch != nil {
		out["list_of"] = a.Epoch.Time
	}
	if f.Unicode != "" {
		out["unicode"], out["mixed_scripts"] = f.Unicode, f.Mixed
	}
	if f.Listed {
		listing := map[string]any{
			"entry": f.Entry, "subject": f.By, "scope": f.Listing.Scope, "since": f.Listing.Time, "clause": f.Listing.Clause,
			"policy": f.Listing.Policy.String(), "evidence": evidenceJSON(f.Listing.Evidence), "proof": r.Address() + "/entry/" + strconv.FormatUint(f.Entry, 10) + ".json",
		}
		if f.Clause != nil {
			listing["title"], listing["reason"] = f.Clause.Title, f.Clause.Reason
		}
		out["listing"] = listing
	}
	return web.JSON(out)
}

func evidenceJSON(all []ledger.Evidence) []any {
	out := []any{}
	for _, e := range all {
		m := map[string]any{"kind": e.Kind, "source": e.Source}
		for key, text := range map[string]string{"reference": e.Reference, "family": e.Family} {
			if text != "" {
				m[key] = text
			}
		}
		for key, at := range map[string]time.Time{"first": e.First, "last": e.Last} {
			if !at.IsZero() {
				m[key] = at
			}
		}
		out = append(out, m)
	}
	return out
}
