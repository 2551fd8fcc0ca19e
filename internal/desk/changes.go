package desk

import (
	"encoding/xml"
	"strconv"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/chronicle"
	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

const (
	perChanges = 50 // a page
	perFeed    = 100
)

// change is what came or went.
type change struct {
	N       uint64
	Entry   *ledger.Entry
	Subject string
	Listed  bool
}

// latest reads the changes before an entry, latest first.
func (d *Desk) latest(r *web.Request, before uint64, n int) (all []change, next uint64, err error) {
	found, next, err := chronicle.Changes(r.Context(), d.conf.Log, d.state.Load().tip, before, n)
	for _, f := range found {
		all = append(all, change{f.N, f.Entry, entrySubject(f.Entry), f.Kind == ledger.KindList})
	}
	return all, next, err
}

func (d *Desk) changes(r *web.Request) (*web.Reply, error) {
	before := uint64(1<<63 - 1)
	text, err := r.Value("before", 20)
	if err != nil {
		return nil, err
	}
	if text != "" {
		if before, err = number(text); err != nil {
			return nil, web.BadRequest
		}
	}
	all, next, err := d.latest(r, before, perChanges)
	if err != nil {
		return nil, err
	}
	return d.page("changes", web.Text{EN: "Changes of the list", JA: "リストの変更"}, map[string]any{"All": all, "Next": next}), nil
}

// title is a change in one line.
func (c *change) title(lang string) string {
	subject := c.Subject
	if subject == "" {
		subject = web.Text{EN: "a name that is not told", JA: "公開されない名前"}.In(lang)
	}
	t := web.Text{EN: "Off the list: " + subject, JA: "削除：" + subject}
	if c.Listed {
		t = web.Text{EN: "Listed: " + subject, JA: "掲載：" + subject}
	}
	return t.In(lang)
}

// text is why, in a line.
func (c *change) text(lang string) string {
	var parts []string
	if c.Entry.Clause != "" {
		parts = append(parts, web.Text{EN: "clause ", JA: "条項 "}.In(lang)+c.Entry.Clause)
	}
	if c.Entry.Cause != "" {
		parts = append(parts, web.Text{EN: "cause ", JA: "理由 "}.In(lang)+c.Entry.Cause)
	}
	if c.Entry.Note != "" {
		parts = append(parts, c.Entry.Note)
	}
	return strings.Join(parts, " · ")
}

// atom is a feed (RFC 4287).
type atom struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	Lang    string      `xml:"xml:lang,attr"`
	ID      string      `xml:"id"`
	Title   string      `xml:"title"`
	Updated string      `xml:"updated"`
	Author  string      `xml:"author>name"`
	Links   []atomLink  `xml:"link"`
	Entries []atomEntry `xml:"entry"`
}

type atomLink struct {
	Rel  string `xml:"rel,attr"`
	Href string `xml:"href,attr"`
}

type atomEntry struct {
	ID      string   `xml:"id"`
	Title   string   `xml:"title"`
	Updated string   `xml:"updated"`
	Link    atomLink `xml:"link"`
	Summary string   `xml:"summary,omitempty"`
}

// feedCache is how long a feed may be kept: readers come by the thousand.
const feedCache = "public, max-age=60"

func (d *Desk) changesAtom(r *web.Request) (*web.Reply, error) {
	all, _, err := d.latest(r, 1<<63-1, perFeed)
	if err != nil {
		return nil, err
	}
	base := r.Address()
	f := atom{
		Lang: r.Lang, ID: d.feedID("changes"), Title: web.Text{EN: "Changes of the list", JA: "リストの変更"}.In(r.Lang),
		Updated: time.Unix(0, 0).UTC().Format(time.RFC3339), Author: d.conf.Key.Name(),
		Links: []atomLink{{"self", base + r.Link("/changes.atom")}, {"alternate", base + r.Link("/changes")}},
	}
	if len(all) > 0 {
		f.Updated = all[0].Entry.Time.Format(time.RFC3339)
	}
	for i := range all {
		c := &all[i]
		f.Entries = append(f.Entries, atomEntry{
			ID: d.feedID(strconv.FormatUint(c.N, 10)), Title: c.title(r.Lang), Updated: c.Entry.Time.Format(time.RFC3339),
			Link: atomLink{"alternate", base + r.Link("/entry/"+strconv.FormatUint(c.N, 10))}, Summary: c.text(r.Lang),
		})
	}
	b, err := xml.MarshalIndent(f, "", " ")
	if err != nil {
		return nil, err
	}
	reply := web.Raw("application/atom+xml; charset=utf-8", append([]byte(xml.Header), b...))
	reply.Cache = feedCache
	return reply, nil
}

// feedID is what names a thing of this log for ever, wherever it is read (RFC 4151).
func (d *Desk) feedID(what string) string {
	name, _, _ := strings.Cut(d.conf.Key.Name(), "/")
	return "tag:" + name + ",2026:" + strconv.FormatUint(uint64(d.conf.Key.KeyHash()), 16) + "/" + what
}

// changesJSON is a feed (JSON Feed 1.1).
func (d *Desk) changesJSON(r *web.Request) (*web.Reply, error) {
	all, _, err := d.latest(r, 1<<63-1, perFeed)
	if err != nil {
		return nil, err
	}
	base := r.Address()
	items := []any{}
	for i := range all {
		c := &all[i]
		n := strconv.FormatUint(c.N, 10)
		items = append(items, map[string]any{
			"id": d.feedID(n), "url": base + r.Link("/entry/"+n), "title": c.title(r.Lang), "content_text": c.text(r.Lang),
			"date_published": c.Entry.Time.Format(time.RFC3339),
			"_shoji":         map[string]any{"entry": c.N, "listed": c.Listed, "subject": c.Subject, "scope": c.Entry.Scope, "clause": c.Entry.Clause, "cause": c.Entry.Cause},
		})
	}
	reply, err := web.JSON(map[string]any{
		"version": "https://jsonfeed.org/version/1.1", "title": web.Text{EN: "Changes of the list", JA: "リストの変更"}.In(r.Lang), "language": r.Lang,
		"home_page_url": base + r.Link("/changes"), "feed_url": base + r.Link("/changes.json"), "items": items,
	})
	if err == nil {
		reply.Cache = feedCache
	}
	return reply, err
}
