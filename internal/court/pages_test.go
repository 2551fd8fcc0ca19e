package court

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"

	"github.com/shoji-dns/shoji/internal/desk"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/internal/staff"
	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

// public adds the pages for the public to an office.
func (c *court) public(s *web.Site) error {
	key, err := sequence.ReadVerifier(c.dir)
	if err != nil {
		return err
	}
	vkey, err := sequence.ReadVerifierKey(c.dir)
	if err != nil {
		return err
	}
	log, err := ledger.OpenFolder(sequence.Folder(c.dir))
	if err != nil {
		return err
	}
	c.t.Cleanup(func() { log.Close() })
	d, err := desk.New(desk.Config{Site: s, Log: log, Key: key, VerifierKey: vkey, Appeal: "/appeal", LogAddress: "https://log.example/"})
	if err != nil {
		return err
	}
	d.Swap(c.list(), ledger.Epoch{Time: c.clock()})
	ctx, cancel := context.WithCancel(c.t.Context())
	var reading sync.WaitGroup
	reading.Go(func() { d.Run(ctx) })
	c.t.Cleanup(func() { cancel(); reading.Wait() })
	return nil
}

// page is what a browser finds in one.
type page struct {
	links, scripts []string
	faults         []string
}

// read looks through a page for what it links to and loads.
func read(body string) (p page) {
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		p.faults = append(p.faults, err.Error())
		return p
	}
	for n := range root.Descendants() {
		at := map[string]string{}
		for _, a := range n.Attr {
			at[a.Key] = a.Val
		}
		_, deferred := at["defer"]
		switch {
		case n.Type != html.ElementNode:
		case n.Data == "a" && strings.HasPrefix(at["href"], "/"):
			p.links = append(p.links, at["href"])
		case n.Data == "script" && at["src"] == "":
			p.faults = append(p.faults, "a script stands in it")
		case n.Data == "script" && (!strings.HasPrefix(at["src"], "/") || strings.HasPrefix(at["src"], "//")):
			p.faults = append(p.faults, "it loads "+at["src"])
		case n.Data == "script" && !deferred:
			p.faults = append(p.faults, "it waits for "+at["src"])
		case n.Data == "script":
			p.scripts = append(p.scripts, at["src"])
		case n.Data == "link" && at["rel"] != "alternate":
			p.faults = append(p.faults, "it loads "+at["href"])
		case slices.Contains([]string{"img", "iframe", "object", "embed", "video", "audio", "source", "base", "use"}, n.Data):
			p.faults = append(p.faults, "it has <"+n.Data+">")
		case n.Data == "style" && n.FirstChild != nil && regexp.MustCompile(`@import|url\(`).MatchString(n.FirstChild.Data):
			p.faults = append(p.faults, "its style loads something")
		}
	}
	return p
}

// maxPage is how many octets a page may have, with its scripts.
const maxPage = 50_000

// Every page that links lead to, of the public's, the appeals' and the staff's, in both languages, is small, and
// shows without waiting for anything else.
func TestEveryPageIsSmallAndWaitsForNothing(t *testing.T) {
	c := open(t, t.TempDir()+"/desk.db")
	waiting(c)
	o := c.office(staff.OpenID{}, c.public)
	ann, _ := o.joins("Ann", o.invitation())
	for status := 0; status != 200; { // until the log has been read
		status, _, _ = ann.get("/policy")
	}
	_, _, header := o.browser().post("/appeal", appealOf("two.example"))
	c.found()
	script := map[string]int{}
	open := []string{"/en/", "/ja/", "/en/staff", "/ja/staff", "/en/staff/signin", "/ja/cases", "/en/cases", "/en/no-such-page", "/ja/lookup?name=two.example", "/en/lookup?name=two.example", "/en/appeal?name=two.example",
		"/en/list?q=two", "/ja" + header.Get("Location"), "/en/staff/review/one?subject=one.example"}
	seen := map[string]bool{}
	for len(open) > 0 {
		path := open[0]
		open = open[1:]
		if path, _, _ = strings.Cut(path, "#"); seen[path] || strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".atom") {
			continue
		}
		seen[path] = true
		status, body, header := ann.get(path)
		if !strings.HasPrefix(header.Get("Content-Type"), "text/html") || status != 200 && !strings.Contains(path, "no-such-page") {
			t.Errorf("%s: %d %v", path, status, header)
			continue
		}
		p := read(body)
		size := len(body)
		for _, s := range p.scripts {
			if script[s] == 0 {
				status, text, _ := ann.get(s)
				if script[s] = len(text); status != 200 {
					t.Errorf("%s: %d", s, status)
				}
			}
			size += script[s]
		}
		if size >= maxPage {
			t.Errorf("%s: %d octets", path, size)
		}
		for _, f := range p.faults {
			t.Errorf("%s: %s", path, f)
		}
		open = append(open, p.links...)
	}
	for _, must := range []string{"/ja/policy", "/en/log", "/en/opt-out", "/ja/sinkhole", "/en/changes", "/en/entry/0", "/ja/appeal", "/en/staff/members", "/ja/staff/trail", "/en/staff/review"} {
		if !seen[must] {
			t.Errorf("no link leads to %s", must)
		}
	}
	t.Logf("%d pages", len(seen))
}

// The check of pages finds what it is there for.
func TestReadFindsFaults(t *testing.T) {
	for _, body := range []string{
		`<script>x()</script>`, `<script src="/x.js"></script>`, `<script defer src="https://cdn.example/x.js"></script>`, `<script defer src="//cdn.example/x.js"></script>`,
		`<link rel="stylesheet" href="/x.css">`, `<img src="/x.png">`, `<style>@import "x"</style>`, `<style>a{background:url(x)}</style>`, `<iframe></iframe>`,
	} {
		if p := read(body); len(p.faults) == 0 {
			t.Errorf("nothing is found in %s", body)
		}
	}
	if p := read(`<link rel="alternate" href="/x"><a href="/y">y</a><script defer src="/z.js"></script>`); len(p.faults) != 0 || len(p.links) != 1 || len(p.scripts) != 1 {
		t.Errorf("%+v", p)
	}
}
