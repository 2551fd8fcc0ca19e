package web

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

// testSite has a page that shows what is sent to it, and one that fails.
func testSite(t testing.TB, conf Config) *Site {
	t.Helper()
	s, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	page, err := ParsePage(fstest.MapFS{"main.html": {Data: []byte(
		`{{define "main"}}<h1>{{.Title}}</h1><p>{{.T "said %s" "内容 %s" .Data}}</p><a href="{{.Link "/echo"}}">x</a>{{end}}`)}}, "main.html")
	if err != nil {
		t.Fatal(err)
	}
	echo := func(r *Request) (*Reply, error) {
		text, err := r.Value("text", 100)
		return page.Reply(Text{EN: "Echo", JA: "反響"}, text), err
	}
	s.Handle(Route{Pattern: "GET /echo", Answer: echo})
	s.Handle(Route{Pattern: "POST /echo", Answer: echo})
	s.Handle(Route{Pattern: "GET /fails", Answer: func(*Request) (*Reply, error) { return nil, errors.New("the disk of 192.0.2.1 is full") }})
	s.Handle(Route{Pattern: "GET /slow", Time: time.Second, Answer: func(r *Request) (*Reply, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}})
	s.Mount("/files", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }))
	s.Nav("/echo", Text{EN: "Echo", JA: "反響"})
	return s
}

// get asks a site.
func get(s http.Handler, method, target string, body io.Reader, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost/", body)
	r.RequestURI = target
	if u, err := url.ParseRequestURI(target); err == nil {
		r.URL = u
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestLanguages(t *testing.T) {
	s := testSite(t, Config{})
	for _, c := range []struct{ target, accept, lang, link string }{
		{"/echo", "", "en", `href="/echo"`},
		{"/echo", "ja,en;q=0.5", "ja", `href="/echo"`},
		{"/echo", "en;q=0.9, ja;q=0.1", "en", `href="/echo"`},
		{"/echo", "de", "en", `href="/echo"`},
		{"/echo", "ja-JP-x-osaka", "ja", `href="/echo"`},
		{"/echo", ";;;q=nonsense,,", "en", `href="/echo"`},
		{"/echo", strings.Repeat("xx-", 5000) + "ja", "en", `href="/echo"`},
		{"/ja/echo", "en", "ja", `href="/ja/echo"`},
		{"/en/echo", "ja", "en", `href="/en/echo"`},
	} {
		w := get(s, "GET", c.target+"?text=a%26b", nil, "Accept-Language", c.accept)
		body := w.Body.String()
		other := map[string]string{"en": "/ja/echo?text=a%26b", "ja": "/en/echo?text=a%26b"}[c.lang]
		if w.Code != 200 || !strings.Contains(body, `<html lang="`+c.lang+`">`) || !strings.Contains(body, c.link) ||
			!strings.Contains(body, `href="`+other+`"`) || w.Header().Get("Content-Language") != c.lang {
			t.Errorf("%s for %.40q: %d\n%s", c.target, c.accept, w.Code, body)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	s := testSite(t, Config{Address: "https://desk.example/"})
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	for _, c := range []struct {
		name, method, target, body string
		headers                    []string
		status                     int
	}{
		{"a page", "GET", "/echo", "", nil, 200},
		{"its own host", "GET", "/echo", "", []string{"Host", "Desk.Example:443"}, 200},
		{"an address", "GET", "/echo", "", []string{"Host", "[::1]:5381"}, 200},
		{"a name led here by its owner", "GET", "/echo", "", []string{"Host", "rebound.example"}, 421},
		{"no host", "GET", "/echo", "", []string{"Host", ""}, 421},
		{"a host with a page in it", "GET", "/echo", "", []string{"Host", "desk.example\"><script>"}, 421},
		{"no such page", "GET", "/nothing", "", nil, 404},
		{"only a language", "GET", "/jargon", "", nil, 404},
		{"the wrong method", "DELETE", "/echo", "", nil, 405},
		{"a path that climbs", "GET", "/files/../../etc/passwd", "", nil, 404},
		{"one that climbs in code", "GET", "/files/%2e%2e/%2e%2e/etc/passwd", "", nil, 404},
		{"two slashes", "GET", "//evil.example/echo", "", nil, 404},
		{"a backslash", "GET", "/ja/%5cevil.example", "", nil, 404},
		{"a line end in the path", "GET", "/echo%0d%0aSet-Cookie:x=1", "", nil, 404},
		{"a zero octet", "GET", "/echo%00", "", nil, 404},
		{"a long address", "GET", "/echo?text=" + strings.Repeat("a", maxTarget), "", nil, 414},
		{"a long value", "GET", "/echo?text=" + strings.Repeat("a", 101), "", nil, 413},
		{"no UTF-8", "GET", "/echo?text=%ff%fe", "", nil, 400},
		{"a control character", "GET", "/echo?text=a%1b%5b31m", "", nil, 400},
		{"half a percent", "GET", "/echo?text=%", "", nil, 400},
		{"a form", "POST", "/echo", "text=a", form, 200},
		{"a form of another site", "POST", "/echo", "text=a", append(form, "Sec-Fetch-Site", "cross-site"), 403},
		{"one of another origin", "POST", "/echo", "text=a", append(form, "Origin", "https://evil.example"), 403},
		{"a large form", "POST", "/echo", "text=" + strings.Repeat("a", MaxBody), form, 413},
		{"a failure", "GET", "/fails", "", nil, 500},
	} {
		w := get(s, c.method, c.target, strings.NewReader(c.body), c.headers...)
		if w.Code != c.status {
			t.Errorf("%s: %d, not %d", c.name, w.Code, c.status)
		}
		if strings.Contains(w.Body.String(), "192.0.2.1") || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %v\n%s", c.name, w.Header(), w.Body)
		}
		if w.Code != 200 && !strings.Contains(w.Body.String(), "<h1>") {
			t.Errorf("%s: no page: %s", c.name, w.Body)
		}
		if (w.Code == 405) != (w.Header().Get("Allow") == "GET, HEAD, POST") {
			t.Errorf("%s: Allow: %q", c.name, w.Header().Get("Allow"))
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'sha256-", "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if !strings.HasPrefix(w.Header().Get(name), want) {
				t.Errorf("%s: %s: %q", c.name, name, w.Header().Get(name))
			}
		}
		if policy := w.Header().Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %s", c.name, policy)
		}
	}
}

// A machine is refused in its own language, whatever is wrong; a person is not.
func TestRefusalsForMachines(t *testing.T) {
	s := testSite(t, Config{})
	s.Handle(Route{Pattern: "GET /fails.json", Answer: func(*Request) (*Reply, error) { return nil, errors.New("the disk of 192.0.2.1 is full") }})
	for _, c := range []struct {
		target, accept string
		status         int
		machine        bool
	}{
		{"/nothing.json", "", 404, true}, {"/ja/nothing.json", "text/html", 404, true}, {"/fails.json", "", 500, true},
		{"/a//b.json", "", 404, true}, {"/echo.json?text=" + strings.Repeat("a", maxTarget), "", 414, true},
		{"/echo?text=%ff", "application/json", 400, true}, {"/echo?text=%ff", "Application/JSON;q=1, text/html", 400, true},
		{"/nothing", "text/html, application/json", 404, false}, {"/nothing", "*/*", 404, false}, {"/nothing.json.", "", 404, false},
	} {
		w := get(s, "GET", c.target, nil, "Accept", c.accept)
		var p struct {
			Status        int
			Title, Detail string
		}
		err := json.Unmarshal(w.Body.Bytes(), &p)
		if machine := w.Header().Get("Content-Type") == "application/problem+json"; machine != c.machine || w.Code != c.status {
			t.Errorf("%.60s for %q: %d %v", c.target, c.accept, w.Code, w.Header())
		}
		if c.machine && (err != nil || p.Status != c.status || p.Title == "" || p.Detail == "" || strings.Contains(p.Detail, "192.0.2.1")) {
			t.Errorf("%.60s: %s", c.target, w.Body)
		}
		if c.machine && strings.HasPrefix(c.target, "/ja") != (w.Header().Get("Content-Language") == "ja") {
			t.Errorf("%.60s: %v", c.target, w.Header())
		}
	}
}

// What is shown is text, whatever it holds.
func TestTextStaysText(t *testing.T) {
	s := testSite(t, Config{Operator: `<b>"me"</b>`})
	for _, text := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `{{.Data}}`, `'-alert(1)-'`, `&lt;`} {
		body := get(s, "GET", "/echo?text="+url.QueryEscape(text), nil).Body.String()
		if strings.Contains(body, "<script>alert") || strings.Contains(body, "<img") || strings.Contains(body, "<b>") {
			t.Errorf("%s:\n%s", text, body)
		}
	}
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testSite(t, Config{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
		ask := func(from string) *httptest.ResponseRecorder {
			return get(s, "GET", "/ja/echo", nil, "X-Forwarded-For", "203.0.113.9, "+from+", 192.0.2.7") // httptest asks from 192.0.2.1
		}
		for range burst {
			if w := ask("198.51.100.1"); w.Code != 200 {
				t.Fatalf("refused within the burst: %d", w.Code)
			}
		}
		w := ask("198.51.100.200") // of the same network
		if w.Code != 429 || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "多すぎ") {
			t.Errorf("over the burst: %d %v", w.Code, w.Header())
		}
		if w := ask("2001:db8::1"); w.Code != 200 {
			t.Errorf("another network pays for it: %d", w.Code)
		}
		time.Sleep(time.Second)
		for range perSecond {
			if w := ask("198.51.100.1"); w.Code != 200 {
				t.Fatalf("nothing came back after a second: %d", w.Code)
			}
		}
		if w := ask("198.51.100.1"); w.Code != 429 {
			t.Errorf("more came back in a second than does: %d", w.Code)
		}
	})
}

// What is done rarely has turns of its own, which come back within days.
func TestRareTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testSite(t, Config{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
		s.Handle(Route{Pattern: "GET /rare", Answer: func(r *Request) (*Reply, error) { return Raw("text/plain", nil), r.SpendRare() }})
		ask := func(from string) *httptest.ResponseRecorder {
			return get(s, "GET", "/rare", nil, "X-Forwarded-For", from)
		}
		for range rareBurst {
			if w := ask("198.51.100.1"); w.Code != 200 {
				t.Fatalf("refused within the burst: %d", w.Code)
			}
		}
		if w := ask("198.51.100.9"); w.Code != 429 || w.Header().Get("Retry-After") != "1729" { // a day by rarePerDay, and a second
			t.Errorf("%d %v", w.Code, w.Header())
		}
		if w := ask("203.0.113.1"); w.Code != 200 {
			t.Errorf("another network pays for it: %d", w.Code)
		}
		if w := get(s, "GET", "/echo", nil, "X-Forwarded-For", "198.51.100.1"); w.Code != 200 {
			t.Errorf("pages are refused for it: %d", w.Code)
		}
		time.Sleep(24 * time.Hour)
		for range rarePerDay {
			if w := ask("198.51.100.1"); w.Code != 200 {
				t.Fatalf("a day later: %d", w.Code)
			}
		}
		if w := ask("198.51.100.1"); w.Code != 429 {
			t.Errorf("more came back in a day than does: %d", w.Code)
		}
	})
}

func TestSlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if w := get(testSite(t, Config{}), "GET", "/slow", nil); w.Code != 503 {
			t.Errorf("%d", w.Code)
		}
	})
}

// Answers are made a few at a time; who would wait too long is told so, and others are answered after him.
func TestManyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testSite(t, Config{})
		var all sync.WaitGroup
		var busy atomic.Int32
		for range 3 * maxAnswers {
			all.Go(func() {
				if get(s, "GET", "/slow", nil).Code == http.StatusServiceUnavailable {
					busy.Add(1)
				}
			})
		}
		synctest.Wait()
		if n := len(s.answers); n != maxAnswers {
			t.Errorf("%d answers are being made", n)
		}
		all.Wait()
		if busy.Load() != 3*maxAnswers {
			t.Errorf("%d were told to come again", busy.Load())
		}
		if w := get(s, "GET", "/echo", nil); w.Code != 200 {
			t.Errorf("after them: %d", w.Code)
		}
	})
}

// A proxy is believed when it is one of ours, and no further than to the next that is none.
func TestClient(t *testing.T) {
	s := testSite(t, Config{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	for _, c := range []struct{ peer, forwarded, want string }{
		{"127.0.0.1:9", "203.0.113.5", "203.0.113.5"},
		{"127.0.0.1:9", "198.51.100.1, 203.0.113.5, 127.0.0.2", "203.0.113.5"},
		{"127.0.0.1:9", "", "127.0.0.1"},
		{"127.0.0.1:9", "unknown", "127.0.0.1"},
		{"203.0.113.7:9", "198.51.100.1", "203.0.113.7"},
		{"[::ffff:203.0.113.7]:9", "198.51.100.1", "203.0.113.7"},
		{"nonsense", "198.51.100.1", "invalid IP"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", c.forwarded)
		if got := s.client(r).String(); got != c.want {
			t.Errorf("%s for %q: %s, not %s", c.peer, c.forwarded, got, c.want)
		}
	}
}

func TestAddressOfTheSite(t *testing.T) {
	for _, bad := range []string{"desk.example", "ftp://desk.example", "https://", "https://desk.example/desk", "https://desk.example?a"} {
		if _, err := New(Config{Address: bad}); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := Number(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

// The style has each rule on a line, which is what squeeze takes for granted.
func TestStyle(t *testing.T) {
	b, err := os.ReadFile("desk.css")
	if err != nil {
		t.Fatal(err)
	}
	style := squeeze(string(b))
	if strings.Count(style, "{") != strings.Count(style, "}") || strings.Contains(style, "/*") || strings.Contains(style, "</") {
		t.Errorf("%s", style)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("/echo?text=a", "ja", "localhost", "1.2.3.4")
	f.Add("/ja/echo?text=%3Cscript%3E", "", "desk.example", "::1, x")
	f.Add("/en/../files//x", "*;q=0", "[::1]:80", ",,,")
	f.Add("/nothing", "en-GB-oed;q=1.0", "desk.example:", "")
	s := testSite(f, Config{Address: "https://desk.example", Proxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
	f.Fuzz(func(t *testing.T, target, accept, host, forwarded string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") {
			t.Skip()
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.URL, r.RequestURI, r.Host = u, target, host
		r.Header.Set("Accept-Language", accept)
		r.Header.Set("X-Forwarded-For", forwarded)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 || strings.Contains(strings.ToLower(w.Body.String()), "<script>") && !strings.HasPrefix(u.Path, "/files/") || w.Header().Get("Set-Cookie") != "" {
			t.Fatalf("%d %v\n%s", w.Code, w.Header(), w.Body)
		}
	})
}
