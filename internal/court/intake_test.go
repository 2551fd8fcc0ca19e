package court

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/bits"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/shoji-dns/shoji/internal/docket"
	"github.com/shoji-dns/shoji/internal/intake"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

// visitor is somebody with a browser, without its cookies unless it keeps some.
type visitor struct {
	t  *testing.T
	at string
	*http.Client
}

// opens serves pages over the court, with its docket at work, until the test ends.
func (c *court) opens(register ...func(*web.Site) error) *visitor {
	c.t.Helper()
	site, err := web.New(web.Config{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err != nil {
		c.t.Fatal(err)
	}
	definition, err := policy.Default()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := intake.Register(site, intake.Config{Docket: c.docket, Policy: definition, Now: c.clock}); err != nil {
		c.t.Fatal(err)
	}
	for _, r := range register {
		if err := r(site); err != nil {
			c.t.Fatal(err)
		}
	}
	server := httptest.NewServer(site)
	ctx, cancel := context.WithCancel(c.t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { c.docket.Run(ctx) })
	c.t.Cleanup(func() { cancel(); wait.Wait(); server.Close() })
	return newVisitor(c.t, server.URL)
}

func newVisitor(t *testing.T, at string) *visitor {
	return &visitor{t, at, &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// do sends a request and reads the reply.
func (v *visitor) do(r *http.Request) (int, string, http.Header) {
	v.t.Helper()
	// Each from a network of its own: how fast the test is must not matter.
	r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.1", mathrand.IntN(256), mathrand.IntN(256)))
	reply, err := v.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer reply.Body.Close()
	b, err := io.ReadAll(reply.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return reply.StatusCode, string(b), reply.Header
}

func (v *visitor) get(path string) (int, string, http.Header) {
	v.t.Helper()
	r, err := http.NewRequest(http.MethodGet, v.at+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.do(r)
}

func (v *visitor) post(path string, form url.Values) (int, string, http.Header) {
	v.t.Helper()
	r, err := http.NewRequest(http.MethodPost, v.at+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return v.do(r)
}

// proved is a form with the work that its script would do.
func (v *visitor) proved(form url.Values) url.Values {
	v.t.Helper()
	_, body, _ := v.get("/appeal/challenge")
	var c struct {
		Challenge string
		Bits      int
	}
	if err := json.Unmarshal([]byte(body), &c); err != nil || c.Bits < 16 {
		v.t.Fatalf("%q: %v", body, err)
	}
	for n := 0; ; n++ {
		sum := sha256.Sum256([]byte(c.Challenge + ":" + strconv.Itoa(n)))
		if bits.LeadingZeros32(binary.BigEndian.Uint32(sum[:])) >= c.Bits {
			form.Set("proof", c.Challenge)
			form.Set("answer", strconv.Itoa(n))
			return form
		}
	}
}

func appealOf(name string) url.Values {
	return url.Values{"name": {name}, "cause": {"cleaned"}, "words": {"It is <script>alert(1)</script> mine."}, "contact": {"o'neill@one.example"}}
}

var caseLink = regexp.MustCompile(`/case/(case-[a-z0-9]+)"`)

// An appeal from the form to its outcome, in both languages, with and without a script.
func TestTheFormAndItsOutcome(t *testing.T) {
	c := open(t, t.TempDir()+"/desk.db")
	c.say("a", "one.example", "two.example")
	c.say("b", "one.example", "two.example")
	c.update()
	v := c.opens()
	status, body, header := v.get("/en/appeal?name=one.example")
	if status != 200 || !strings.Contains(body, `value="one.example"`) || !strings.Contains(body, `src="/appeal.js"`) || strings.Contains(header.Get("Content-Security-Policy"), "unsafe") {
		t.Fatalf("%d %v %s", status, header, body)
	}
	if status, body, _ := v.get("/ja/appeal"); status != 200 || !strings.Contains(body, "異議") {
		t.Errorf("%d %s", status, body)
	}
	c.say("b", "two.example")
	proved := v.proved(appealOf("one.example"))
	status, _, header = v.post("/en/appeal", proved)
	receipt := header.Get("Location")
	if status != http.StatusSeeOther || !strings.HasPrefix(receipt, "/en/receipt/") {
		t.Fatalf("%d %v", status, header)
	}
	c.filtered("two.example") // before the reply
	status, body, header = v.get(receipt)
	if status != 200 || !strings.Contains(body, "the policy lists it no longer") || header.Get("Cache-Control") != "no-store" || header.Get("Referrer-Policy") != "no-referrer" || header.Get("X-Robots-Tag") != "noindex" {
		t.Errorf("%d %v %s", status, header, body)
	}
	status, body, _ = v.post("/en/appeal", proved)
	if status != http.StatusForbidden || !strings.Contains(body, "sent twice") || !strings.Contains(body, `value="one.example"`) {
		t.Errorf("the same work was taken twice: %d %s", status, body)
	}
	status, _, header = v.post("/ja/appeal", appealOf("two.example")) // without a script
	if status != http.StatusSeeOther {
		t.Fatalf("%d", status)
	}
	receipt = header.Get("Location")
	_, body, _ = v.get(receipt)
	link := caseLink.FindStringSubmatch(body)
	if link == nil || !strings.Contains(body, "人が審査") {
		t.Fatalf("%s", body)
	}
	for _, path := range []string{"/en/case/" + link[1], "/case/" + link[1] + ".json", "/cases", "/cases.json", receipt} {
		status, body, _ := v.get(path)
		if status != 200 || !strings.Contains(body, "two.example") {
			t.Errorf("%s: %d %s", path, status, body)
		}
		for _, secret := range []string{"alert(1)", "neill", strings.TrimPrefix(receipt, "/ja/receipt/")} {
			if strings.Contains(body, secret) && path != receipt {
				t.Errorf("%s shows %q", path, secret)
			}
		}
	}
	if status, _, header := v.post(receipt, url.Values{"what": {"withdraw"}}); status != http.StatusSeeOther || header.Get("Location") != receipt {
		t.Errorf("%d %v", status, header)
	}
	if one, err := c.docket.Case(t.Context(), link[1]); err != nil || one.Status != ledger.CaseWithdrawn {
		t.Errorf("%+v, %v", one, err)
	}
	if _, body, _ := v.get(receipt); !strings.Contains(body, "取り下げました") {
		t.Error(body)
	}
}

// What is wrong with the form is said, and what was filled in is shown again as the text that it is.
func TestTheFormRefuses(t *testing.T) {
	c := open(t, t.TempDir()+"/desk.db")
	c.say("a", "one.example")
	c.say("b", "one.example")
	c.update()
	v := c.opens()
	with := func(key, value string) url.Values {
		f := appealOf("one.example")
		f.Set(key, value)
		return f
	}
	for _, tc := range []struct {
		form   url.Values
		status int
		want   string
	}{
		{with("name", `"><script>alert(1)</script>`), 422, "neither a domain name nor an address"},
		{with("name", ""), 422, "neither a domain name nor an address"},
		{with("name", "a.example\r\nSet-Cookie: a=b"), 422, "neither a domain name nor an address"},
		{with("cause", "cause\"onmouseover=alert(1)"), 422, "choose what is wrong"},
		{with("words", "right \u202e left"), 422, "change how text is shown"},
		{with("words", "bad \xff UTF-8"), 400, "not text"},
		{with("words", "a\x00b"), 400, "not text"},
		{with("words", strings.Repeat("a", docket.MaxWords+1)), 413, "too long"},
		{with("words", strings.Repeat("あ", docket.MaxWords/3)+"a"), 413, "too long"},
		{with("words", strings.Repeat("a", 1<<20)), 413, "too large"},
		{with("contact", "two\nlines"), 422, "change how text is shown"},
		{with("proof", "forged"), 403, "open for too long"},
	} {
		status, body, _ := v.post("/en/appeal", tc.form)
		if status != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%.60q: %d %s", tc.form, status, body)
		}
		if strings.Contains(body, "<script>alert") || strings.Contains(body, `"onmouseover=`) {
			t.Errorf("%.60q came back as markup", tc.form)
		}
	}
	r, _ := http.NewRequest(http.MethodPost, v.at+"/appeal", strings.NewReader(appealOf("one.example").Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Origin", "https://evil.example")
	if status, _, _ := v.do(r); status != http.StatusForbidden {
		t.Errorf("another site sent the form: %d", status)
	}
	for _, path := range []string{"/receipt/none", "/case/none", "/case/..%2f..%2fetc", "/case/%3Cscript%3E", "/cases?from=-1", "/cases?from=x", "/case/" + strings.Repeat("a", 200), "/case/%ff"} {
		if status, body, _ := v.get(path); status < 400 || status >= 500 || strings.Contains(body, "<script>") {
			t.Errorf("%s: %d", path, status)
		}
	}
	if n := c.count("docket_statement", "true"); n != 0 {
		t.Errorf("%d appeals were taken", n)
	}
	taken := 0
	for range 8 {
		long := with("words", strings.Repeat("あ", docket.MaxWords/3)) // as many characters as the form lets one write
		if status, _, _ := v.post("/appeal", long); status == http.StatusSeeOther {
			taken++
		} else if status != http.StatusTooManyRequests {
			t.Errorf("%d", status)
		}
	}
	if taken != 5 {
		t.Errorf("%d appeals without work were taken", taken)
	}
}
