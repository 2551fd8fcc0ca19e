package desk

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

// story is a desk over a real log in a folder.
type story struct {
	*testing.T
	log  *sequence.Log
	site *web.Site
	desk *Desk
}

// tell makes a desk that has read a log of these entries, and runs while do does. An epoch
// entry is put behind them, and its list in force.
func tell(t *testing.T, entries []*ledger.Entry, conf Config, do func(s *story)) {
	synctest.Test(t, func(t *testing.T) {
		s := &story{T: t}
		var err error
		if s.log, err = sequence.Open(t.Context(), sequence.Config{Dir: t.TempDir(), Origin: "log.shoji.test"}); err != nil {
			t.Fatal(err)
		}
		defer s.log.Close()
		if s.site, err = web.New(web.Config{Operator: "<b>Example</b>", Feed: FeedPath}); err != nil {
			t.Fatal(err)
		}
		conf.Site, conf.Log, conf.Key, conf.VerifierKey = s.site, s.log.Source(), s.log.Verifier(), s.log.VerifierKey()
		if s.desk, err = New(conf); err != nil {
			t.Fatal(err)
		}
		s.add(entries...)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.desk.Run(ctx); close(done) }()
		time.Sleep(every / 2)
		synctest.Wait()
		do(s)
		stop()
		<-done
	})
}

// add appends to the log, and puts the list of all of it in force.
func (s *story) add(entries ...*ledger.Entry) {
	s.Helper()
	if _, _, err := s.log.Append(s.Context(), slices.Values(entries), nil); err != nil {
		s.Fatal(err)
	}
	st, err := ledger.Replay(s.Context(), s.log.Source(), s.log.Verifier(), nil)
	if err != nil {
		s.Fatal(err)
	}
	path := filepath.Join(s.TempDir(), "list")
	f, err := os.Create(path)
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	digest, err := filter.Compile(f, st)
	if err != nil {
		s.Fatal(err)
	}
	list, err := filter.Open(path)
	if err != nil {
		s.Fatal(err)
	}
	epoch := &ledger.Entry{Kind: ledger.KindEpoch, Time: noon, Size: st.Size(), Digest: ledger.Digest(digest), Bytes: uint64(list.Bytes()), Count: list.Count(), Layout: filter.Version}
	n, _, err := s.log.Append(s.Context(), slices.Values([]*ledger.Entry{epoch}), nil)
	if err != nil {
		s.Fatal(err)
	}
	s.desk.Swap(list, ledger.Epoch{Entry: n, Time: epoch.Time, Size: epoch.Size, Digest: epoch.Digest, Bytes: epoch.Bytes, Count: epoch.Count})
}

var noon = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when a synctest bubble begins

func (s *story) get(target string) *httptest.ResponseRecorder {
	s.Helper()
	r := httptest.NewRequest("GET", target, nil)
	r.Host = "localhost:5381"
	w := httptest.NewRecorder()
	s.site.ServeHTTP(w, r)
	return w
}

// says fails unless a page has all texts.
func (s *story) says(target string, texts ...string) string {
	s.Helper()
	w := s.get(target)
	body := w.Body.String()
	if w.Code != 200 {
		s.Fatalf("%s: %d\n%s", target, w.Code, body)
	}
	for _, text := range texts {
		if !strings.Contains(body, text) {
			s.Errorf("%s does not say %q:\n%s", target, text, body)
		}
	}
	return body
}

// given are the entries of an ordinary log.
func given(t *testing.T) []*ledger.Entry {
	t.Helper()
	p, err := policy.Default()
	if err != nil {
		t.Fatal(err)
	}
	day := func(n int) time.Time { return noon.AddDate(0, 0, n) }
	entry := func(n int, name string, scope ledger.Scope) *ledger.Entry {
		return &ledger.Entry{Kind: ledger.KindList, Time: day(n), Scope: scope, Name: name, Clause: "c2-two-sources", Policy: p.Digest, Evidence: []ledger.Evidence{
			{Source: "feed-a", Kind: "c2", Family: "Emotet", Reference: "https://feed-a.example/1", First: day(-9), Last: day(-1)}, {Source: "feed-b", Kind: "c2"},
		}}
	}
	prefix := entry(-3, "", ledger.ScopePrefix)
	prefix.Prefix = netip.MustParsePrefix("198.51.100.0/24")
	old := *p.Entry(day(-9))
	old.Document = strings.Replace(old.Document, "fresh: 90d", "fresh: 80d", 1)
	before, err := policy.Parse([]byte(old.Document))
	if err != nil {
		t.Fatal(err)
	}
	return []*ledger.Entry{
		before.Entry(day(-9)), p.Entry(day(-8)),
		{Kind: ledger.KindSource, Time: day(-8), Source: "feed-a", Group: "feed-a", Claims: []string{"c2"}, Status: "active", Title: "Feed A", License: "CC0-1.0"},
		entry(-5, "c2.evil.example", ledger.ScopeExact), entry(-4, "botnet.example", ledger.ScopeSubtree), prefix,
		entry(-3, "gone.example", ledger.ScopeExact), {Kind: ledger.KindDelist, Time: day(-2), Scope: ledger.ScopeExact, Name: "gone.example", Cause: "appeal"},
		{Kind: ledger.KindCase, Time: day(-2), Case: "case-1", Status: ledger.CaseReceived, Scope: ledger.ScopeExact, Name: "gone.example"},
		{Kind: ledger.KindCase, Time: day(-2).Add(2 * time.Second), Case: "case-1", Status: ledger.CaseDelisted, Scope: ledger.ScopeExact, Name: "gone.example"},
		entry(-1, "xn--r8jz45g.example", ledger.ScopeExact),
	}
}

func TestLookUp(t *testing.T) {
	conf := Config{Sinkhole: Sinkhole{IPv4: netip.MustParseAddr("192.0.2.53"), IPv6: netip.MustParseAddr("2001:db8::53")}, Appeal: "/appeal"}
	tell(t, given(t), conf, func(s *story) {
		for _, asked := range []string{"c2.evil.example", "C2.Evil.Example.", "hxxp://c2[.]evil[.]example/gate.php?id=1", "https://user@c2.evil.example:8443/", "c2.evil.example:443", "c2。evil。example"} {
			s.says("/lookup?name="+url.QueryEscape(asked), "c2.evil.example", "filtered</span>", "Command and control by two independent sources",
				"At least two independent sources saw this command malware", "27 December 1999", "Feed A", "Emotet", "https://feed-a.example/1",
				`href="/entry/3"`, "192.0.2.53", "/policy/1#c2-two-sources", `href="/appeal?name=c2.evil.example"`)
		}
		s.says("/ja/lookup?name=c2.evil.example", "遮断</span>", "独立した二つの情報源による C&amp;C", "1999年12月27日", `href="/ja/entry/3"`)
		s.says("/lookup?name=a.b.botnet.example", "<code>botnet.example</code>", "every name below it", `href="/entry/4"`)
		s.says("/lookup?name=198.51.100.9", "<code>198.51.100.0/24</code>", "these addresses")
		s.says("/lookup?name=198.51.0.0/16", "Neither this address")
		s.says("/lookup?name=www.evil.example", "not filtered</span>")
		s.says("/lookup?name=gone.example", "not filtered</span>")
		s.says("/lookup?name="+url.QueryEscape("例え.example"), "xn--r8jz45g.example", "In letters: 例え.example", "filtered</span>")
		s.says("/lookup", "Domain name or IP address")
		for _, bad := range []string{"a..b", strings.Repeat("a", 64) + ".example", "*.x y", "http://"} {
			if w := s.get("/lookup?name=" + url.QueryEscape(bad)); w.Code != 400 || !strings.Contains(w.Body.String(), "neither a domain name") {
				s.Errorf("%q: %d", bad, w.Code)
			}
		}
		var got struct {
			Filtered bool
			Listing  struct {
				Entry  uint64
				Clause string
				Reason policy.Text
			}
		}
		if err := json.Unmarshal(s.get("/lookup.json?name=c2.evil.example").Body.Bytes(), &got); err != nil || !got.Filtered || got.Listing.Entry != 3 || got.Listing.Reason.JA == "" {
			s.Errorf("%+v, %v", got, err)
		}
		if w := s.get("/lookup.json"); w.Code != 400 {
			s.Errorf("no name: %d", w.Code)
		}
	})
}

// Entries are handed out together, list entries alone, and not too many at once.
func TestAmong(t *testing.T) {
	tell(t, given(t), Config{Appeal: "/appeal"}, func(s *story) {
		s.says("/lookup/among?n=3&n=4", `id="entry-3"`, `id="entry-4"`, "c2.evil.example", "botnet.example", `data-to="/appeal"`)
		for _, bad := range []string{"", "?n=0", "?n=3&n=7", "?n=-1", "?n=999", "?n=x", "?" + strings.Repeat("n=3&", maxAmong+1)} {
			if w := s.get("/lookup/among" + bad); w.Code != 400 {
				s.Errorf("%.30s: %d", bad, w.Code)
			}
		}
		s.says("/lookup.js", "use strict")
	})
}

// What a page hands out as proof is one, for who computes it again.
func TestProofOfEntry(t *testing.T) {
	tell(t, given(t), Config{}, func(s *story) {
		s.says("/entry/3", "c2.evil.example", "listing</span>", "Path of 4 hashes")
		s.says("/entry/6", "no longer in force")
		s.says("/entry/7", "off the list</span>", "gone.example", "appeal")
		s.says("/entry/8", `href="/case/case-1"`)
		s.says("/entry/1", `href="/policy/1"`)
		for n := range 12 {
			var e struct {
				Body       json.RawMessage
				Proof      [][]byte
				Root       []byte
				Size       int64 `json:"tree_size"`
				Checkpoint string
			}
			w := s.get(fmt.Sprintf("/entry/%d.json", n))
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
				s.Fatalf("entry %d: %v\n%s", n, err, w.Body)
			}
			var compact strings.Builder // the entry as it stands in the log has no blanks outside of its texts
			if err := compactJSON(&compact, e.Body); err != nil {
				s.Fatal(err)
			}
			proof := tlog.RecordProof{}
			for _, h := range e.Proof {
				proof = append(proof, tlog.Hash(h))
			}
			if err := tlog.CheckRecord(proof, e.Size, tlog.Hash(e.Root), int64(n), tlog.RecordHash([]byte(compact.String()))); err != nil {
				s.Errorf("entry %d: %v", n, err)
			}
			if c, err := ledger.OpenCheckpoint([]byte(e.Checkpoint), s.log.Verifier()); err != nil || base64.StdEncoding.EncodeToString(c.Root[:]) != base64.StdEncoding.EncodeToString(e.Root) {
				s.Errorf("entry %d: checkpoint: %v", n, err)
			}
		}
		for _, bad := range []string{"12", "-1", "03", "x", "99999999999999999999", "3.json.json", "3%00"} {
			if w := s.get("/entry/" + bad); w.Code != 404 {
				s.Errorf("/entry/%s: %d", bad, w.Code)
			}
		}
	})
}

func compactJSON(w io.Writer, raw json.RawMessage) error {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	if b, ok := w.(*strings.Builder); ok { // Encode ends in a line feed
		text := strings.TrimSuffix(b.String(), "\n")
		b.Reset()
		b.WriteString(text)
	}
	return nil
}

func TestTheListAndItsLife(t *testing.T) {
	tell(t, given(t), Config{}, func(s *story) {
		body := s.says("/list", ">4</dd>", ">5</dd>", ">1</dd>", "<svg class=\"chart\"", "Command and control by two independent sources", "Emotet", "Taken off the list", "2s", "Feed A", "CC0-1.0")
		if strings.Contains(body, "is being read") {
			s.Error("the log has been read")
		}
		s.says("/list?q=example", "At and below this name: 3", "c2.evil.example", "*.botnet.example")
		s.says("/list?q=c2.ev", "Names that begin with it", "c2.evil.example")
		s.says("/list?q=nothing-like-it", "not filtered")
		s.says("/list?q=a.botnet.example", "by botnet.example above it")
		s.says("/changes", "c2.evil.example", "gone.example", "appeal")
		s.says("/policy", "Command and control by two independent sources", "evidence.sources", `href="/policy/1/changes"`, "the first one")
		s.says("/policy/0", "no longer in force", "80d")
		s.says("/policy/1/changes", "No clause changed", "fresh: 80d", "fresh: 90d")
		if w := s.get("/policy/0/changes"); w.Code != 404 {
			s.Errorf("what the first policy changed: %d", w.Code)
		}
		s.says("/log", "shoji verify URL --key "+strings.ReplaceAll(s.log.VerifierKey(), "+", "&#43;"), "log.shoji.test")
		s.says("/", "Is a name filtered here")

		s.add(&ledger.Entry{Kind: ledger.KindDelist, Time: noon, Scope: ledger.ScopeExact, Name: "c2.evil.example", Cause: "appeal"})
		time.Sleep(2 * every)
		synctest.Wait()
		s.says("/lookup?name=c2.evil.example", "not filtered</span>")
		s.says("/list", ">3</dd>")
		if body := s.says("/list?q=c2.ev"); strings.Contains(body, "Names that begin with it") {
			s.Errorf("what was delisted is found:\n%s", body)
		}
	})
}

func TestFeeds(t *testing.T) {
	tell(t, given(t), Config{}, func(s *story) {
		var f struct {
			ID      string `xml:"id"`
			Entries []struct {
				ID    string `xml:"id"`
				Title string `xml:"title"`
				Link  struct {
					Href string `xml:"href,attr"`
				} `xml:"link"`
			} `xml:"entry"`
		}
		if err := xml.Unmarshal(s.get("/ja/changes.atom").Body.Bytes(), &f); err != nil || len(f.Entries) != 6 || f.Entries[0].Title != "掲載：xn--r8jz45g.example" ||
			f.Entries[0].Link.Href != "http://localhost:5381/ja/entry/10" || !strings.HasPrefix(f.ID, "tag:log.shoji.test,") {
			s.Errorf("%+v, %v", f, err)
		}
		var j struct {
			Version string
			Items   []struct {
				ID, Title string
			}
		}
		if err := json.Unmarshal(s.get("/changes.json").Body.Bytes(), &j); err != nil || len(j.Items) != 6 || j.Items[1].Title != "Off the list: gone.example" || j.Items[0].ID != f.Entries[0].ID {
			s.Errorf("%+v, %v", j, err)
		}
	})
}

// What a page tells people is there for machines, and so is what is wrong.
func TestForMachines(t *testing.T) {
	r := Resolver{Filtered: []string{"192.0.2.1"}, Unfiltered: []string{"192.0.2.2"}}
	tell(t, given(t), Config{Resolver: r}, func(s *story) {
		for path, want := range map[string]string{
			"/policy.json": `"in_force": true`, "/policy/0.json": `"in_force": false`, "/log.json": `"tree_size": 12`, "/opt-out.json": `"192.0.2.2"`,
			"/entry/3.json": `"proof"`, "/lookup.json?name=c2.evil.example": `"filtered": true`, "/list.json": `"days"`, "/sinkhole.json": `"ipv4"`,
		} {
			w := s.get(path)
			if w.Code != 200 || !json.Valid(w.Body.Bytes()) || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") || !strings.Contains(w.Body.String(), want) {
				s.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
		var p struct{ Document string }
		if err := json.Unmarshal(s.get("/policy.json").Body.Bytes(), &p); err != nil {
			s.Fatal(err)
		}
		if again, err := policy.Parse([]byte(p.Document)); err != nil || again.Version == "" {
			s.Errorf("the document cannot be executed: %v", err)
		}
		for path, status := range map[string]int{"/lookup.json": 400, "/lookup.json?name=a..b": 400, "/entry/99.json": 404, "/policy/3.json": 404, "/nothing.json": 404} {
			w := s.get(path)
			if w.Code != status || !json.Valid(w.Body.Bytes()) || w.Header().Get("Content-Type") != "application/problem+json" {
				s.Errorf("%s: %d %v %s", path, w.Code, w.Header(), w.Body)
			}
		}
	})
}

func TestWhatTheSinkholeKeeps(t *testing.T) {
	ours := Sinkhole{IPv4: netip.MustParseAddr("192.0.2.53"), Ours: true, Octets: 512, Retain: 720 * time.Hour, Disk: 1 << 30}
	tell(t, given(t), Config{Sinkhole: ours}, func(s *story) {
		s.says("/sinkhole", "no addresses of clients", "first 512 octets", "30 days", "1,024 MiB")
		s.says("/sinkhole.json", `"client_addresses": "none"`)
	})
	ours.Truncated, ours.Basis = true, "Act <1> of 2025"
	tell(t, given(t), Config{Sinkhole: ours}, func(s *story) {
		s.says("/sinkhole", "an address cut to its first 24 bits", "Act &lt;1&gt; of 2025")
		s.says("/ja/sinkhole", "先頭 24 ビット")
		s.says("/sinkhole.json", `"client_addresses": "cut to /24 and /48"`, "2025")
	})
	tell(t, nil, Config{Sinkhole: Sinkhole{IPv4: netip.MustParseAddr("127.83.72.1")}}, func(s *story) {
		s.says("/sinkhole", "lead nowhere", "Ask the operator")
	})
}

func TestOptingOut(t *testing.T) {
	r := Resolver{Filtered: []string{"192.0.2.1"}, Unfiltered: []string{"192.0.2.2"}}
	tell(t, nil, Config{Resolver: r}, func(s *story) {
		s.says("/opt-out", "192.0.2.1", "192.0.2.2", "offers no encrypted transport")
	})
	r.EncryptedFiltered, r.EncryptedUnfiltered = []string{"https://dns.example/f"}, []string{"https://dns.example/u"}
	tell(t, nil, Config{Resolver: r}, func(s *story) {
		s.says("/opt-out", "https://dns.example/u", "does not stand out")
	})
	r.EncryptedUnfiltered = []string{"https://free.dns.example/u"}
	tell(t, nil, Config{Resolver: r}, func(s *story) {
		s.says("/opt-out", "so is your choice")
	})
}

// paths are all pages of a desk.
var paths = []string{
	"/", "/lookup", "/lookup?name=c2.evil.example", "/lookup?name=a.example", "/entry/0", "/entry/3", "/entry/7", "/list", "/list?q=example", "/changes", "/changes.atom", "/changes.json",
	"/list.json", "/policy", "/policy.json", "/policy/0", "/policy/0.json", "/policy/1/changes", "/log", "/log.json", "/opt-out", "/opt-out.json", "/sinkhole", "/sinkhole.json",
}

// No page is larger than it may be, has a script or a style in it that the policy forbids, or
// an attribute that would run one.
func TestPagesAreSmallAndPlain(t *testing.T) {
	handlers := regexp.MustCompile(`(?i)<[^>]*\s(on[a-z]+|style)\s*=`)
	tell(t, given(t), Config{}, func(s *story) {
		for _, lang := range []string{"/en", "/ja"} {
			for _, path := range paths {
				body := s.says(lang + path)
				if len(body) > 50_000 {
					s.Errorf("%s%s has %d octets", lang, path, len(body))
				}
				if m := handlers.FindString(body); m != "" || strings.Contains(body, "<script>") || strings.Count(body, "<style>") > 1 || strings.Contains(body, "ZgotmplZ") {
					s.Errorf("%s%s: %s", lang, path, m)
				}
			}
		}
	})
}

// What strangers wrote into the log stays text, on every page, and in feeds.
func TestTextOfStrangers(t *testing.T) {
	evil := `"><script>alert(1)</script><img src=x onerror=alert(2)>{{.Data}}` + "\u202e"
	p, err := policy.Default()
	if err != nil {
		t.Fatal(err)
	}
	name := `\"><script>alert\(3\)</script>.example`
	entries := []*ledger.Entry{
		p.Entry(noon),
		{Kind: ledger.KindSource, Time: noon, Source: "feed-a", Group: "feed-a", Claims: []string{"c2"}, Status: "active", Title: evil, License: evil, Location: "javascript:alert(4)"},
		{Kind: ledger.KindList, Time: noon, Scope: ledger.ScopeExact, Name: name, Clause: "c2-two-sources", Policy: p.Digest, Note: evil, Evidence: []ledger.Evidence{
			{Source: "feed-a", Kind: "c2", Family: evil, Reference: "javascript:alert(5)" + evil}}},
		{Kind: ledger.KindDelist, Time: noon, Scope: ledger.ScopeExact, Name: name, Cause: "appeal", Note: evil},
		{Kind: ledger.KindList, Time: noon, Scope: ledger.ScopeSubtree, Name: name, Clause: "no-such-clause", Policy: ledger.Digest{9}, Evidence: []ledger.Evidence{{Source: "nobody", Kind: "c2", Family: evil}}},
	}
	tell(t, entries, Config{Sinkhole: Sinkhole{Ours: true, Truncated: true, Basis: evil}}, func(s *story) {
		s.says("/entry/4", "listing</span>", "&lt;script&gt;alert")
		if body := s.get("/entry/4").Body.String(); strings.Contains(body, "no longer in force") {
			s.Errorf("a name with octets of every kind is not found on the list:\n%s", body)
		}
		all := append(slices.Clone(paths), "/entry/1", "/entry/2", "/entry/4", "/lookup?name="+url.QueryEscape(name), "/lookup?name="+url.QueryEscape("a."+name),
			"/list?q="+url.QueryEscape(evil), "/list?q="+url.QueryEscape(name), "/list?q=x&after="+url.QueryEscape(evil), "/lookup?name="+url.QueryEscape(evil))
		for _, path := range all {
			w := s.get(path)
			body := w.Body.String()
			if w.Code >= 500 || strings.Contains(body, "<script>alert") || strings.Contains(body, "<img") || strings.Contains(body, `href="javascript:`) || strings.Contains(body, "<b>Example") {
				s.Errorf("%s: %d\n%s", path, w.Code, body)
			}
			if strings.HasPrefix(w.Header().Get("Content-Type"), "application/atom+xml") {
				if err := xml.Unmarshal(w.Body.Bytes(), new(struct{})); err != nil {
					s.Errorf("%s: %v", path, err)
				}
			}
		}
	})
}

// A desk without a list says so, on every page.
func TestNothingYet(t *testing.T) {
	site, err := web.New(web.Config{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := sequence.Open(t.Context(), sequence.Config{Dir: t.TempDir(), Origin: "log.shoji.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	d, err := New(Config{Site: site, Log: log.Source(), Key: log.Verifier()})
	if err != nil {
		t.Fatal(err)
	}
	s := &story{T: t, site: site, desk: d}
	s.says("/lookup?name=c2.evil.example", "not filtered", "No list is in force")
	s.says("/list", "The log is being read")
	for _, path := range []string{"/", "/log", "/sinkhole", "/opt-out", "/changes", "/changes.atom", "/list.json"} {
		s.says(path)
	}
	if w := s.get("/policy"); w.Code != 503 {
		t.Errorf("/policy: %d", w.Code)
	}
}

func FuzzSubject(f *testing.F) {
	for _, s := range []string{"c2.evil.example", "hxxp://c2[.]evil/x", "[2001:db8::1]:443", "192.0.2.0/24", "*.a", "例え.jp", "a@b:c/d?e#f", "::ffff:1.2.3.4", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSubject(text)
		if err != nil {
			return
		}
		again, err := parseSubject(subjectText(s))
		if err != nil || subjectText(again) != subjectText(s) {
			t.Fatalf("%q is %q, which is %q, %v", text, subjectText(s), subjectText(again), err)
		}
	})
}
