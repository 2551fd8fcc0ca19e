package oblivious

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/listen/doh"
	"github.com/shoji-dns/shoji/internal/odoh"
	"github.com/shoji-dns/shoji/internal/upstream"
)

// web is a server that a proxy may be for.
type web struct {
	at    netip.AddrPort
	roots *x509.CertPool
	seen  chan *http.Request
}

func startWeb(t *testing.T, handler http.HandlerFunc, adjust ...func(*tls.Config)) *web {
	t.Helper()
	w := &web{seen: make(chan *http.Request, 16), roots: x509.NewCertPool()}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		select {
		case w.seen <- r:
		default:
		}
		handler(out, r)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{NextProtos: []string{"h2"}}
	for _, f := range adjust {
		f(s.TLS)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	w.at = netip.MustParseAddrPort(s.Listener.Addr().String())
	w.roots.AddCert(s.Certificate()) // for example.com and 127.0.0.1
	return w
}

func (w *web) proxy(t *testing.T, paths ...string) *Proxy {
	t.Helper()
	cfg := ProxyConfig{Roots: w.roots}
	for _, path := range paths {
		r, err := upstream.Parse(fmt.Sprintf("https://%s%s#example.com", w.at, path))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Targets = append(cfg.Targets, r)
	}
	p, err := NewProxy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// to is the query of a request for a path of the server.
func (w *web) to(path string) string {
	return fmt.Sprintf("targethost=example.com:%d&targetpath=%s", w.at.Port(), path)
}

// A target is sent the message and nothing of who asks; what it says comes back as it is.
func TestCarry(t *testing.T) {
	w := startWeb(t, func(out http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		out.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		out.Write(append([]byte(r.URL.Path+" "), b...))
	})
	p := w.proxy(t, "/dns-query", "/other")
	for _, path := range []string{"/dns-query", "/other", "%2Fother"} {
		got := p.Carry(t.Context(), w.to(path), []byte("octets"))
		if got.Status != 200 || got.Cause != doh.CauseOK || !strings.HasSuffix(string(got.Message), " octets") {
			t.Fatalf("%s: %+v", path, got)
		}
		r := <-w.seen
		var names []string
		for name := range r.Header {
			names = append(names, name)
		}
		slices.Sort(names)
		if !slices.Equal(names, []string{"Accept", "Content-Length", "Content-Type"}) || r.URL.RawQuery != "" || r.Method != http.MethodPost {
			t.Errorf("the target sees %v, %s", r.Header, r.URL)
		}
	}
}

// Nobody is led anywhere that is not configured: not to another host, path, port or scheme, and nothing in another form than
// the template's is looked at. No request leaves.
func TestCarryNowhereElse(t *testing.T) {
	w := startWeb(t, func(http.ResponseWriter, *http.Request) {})
	p := w.proxy(t, "/dns-query")
	good := w.to("/dns-query")
	for query, status := range map[string]int{
		strings.Replace(good, "example.com", "127.0.0.1", 1):        403,
		strings.Replace(good, "example.com", "EXAMPLE.COM", 1):      403,
		strings.Replace(good, "example.com", "user@example.com", 1): 403,
		"targethost=example.com&targetpath=/dns-query":              403,
		"targethost=169.254.169.254&targetpath=/latest/meta-data":   403,
		"targethost=[::1]:1&targetpath=/dns-query":                  403,
		w.to("/dns-query/../admin"):                                 403,
		w.to("/dns-query%3Fx"):                                      403,
		w.to("//dns-query"):                                         403,
		w.to("https://example.com/dns-query"):                       403,
		w.to("/proxy"):                                              403,
		good + "&targethost=example.com":                            400,
		good + "&x=1":                                               400,
		"targethost=&targetpath=/dns-query":                         400,
		"targetpath=/dns-query":                                     400,
		"":                                                          400,
		"targethost=%zz&targetpath=/":                               400,
		good + ";":                                                  400,
		strings.Repeat("targethost=a&", 2000) + "targetpath=/":      400,
		strings.Replace(good, "targetpath=", "targetpath=%0d%0aX-Injected:", 1): 403,
	} {
		if got := p.Carry(t.Context(), query, []byte("octets")); got.Status != status || len(got.Message) > 0 || got.Cause != doh.CauseDenied && got.Cause != doh.CauseRequest {
			t.Errorf("%.60s: %+v", query, got)
		}
	}
	if n := len(w.seen); n > 0 {
		t.Errorf("%d requests left", n)
	}
}

// Of a target's response the status and an oblivious message come back. A redirection is not followed.
func TestResponsesOfTargets(t *testing.T) {
	respond := func(status int, contentType string, content []byte) http.HandlerFunc {
		return func(out http.ResponseWriter, r *http.Request) {
			out.Header().Set("Content-Type", contentType)
			out.Header().Set("Location", "/dns-query")
			out.Header().Set("Set-Cookie", "a=b")
			out.WriteHeader(status)
			out.Write(content)
		}
	}
	for what, c := range map[string]struct {
		handler http.HandlerFunc
		status  int
		cause   doh.Cause
	}{
		"a stale key": {respond(401, "", nil), 401, doh.CauseTarget}, "an error with a page": {respond(500, "text/html", []byte("<html>")), 500, doh.CauseTarget},
		"moved": {respond(302, "", nil), 302, doh.CauseTarget}, "another type": {respond(200, "text/html", []byte("<html>")), 502, doh.CauseResponse},
		"nothing": {respond(200, doh.TypeOblivious, nil), 502, doh.CauseResponse}, "no content": {respond(204, "", nil), 502, doh.CauseResponse},
		"too long": {respond(200, doh.TypeOblivious, make([]byte, odoh.MaxSealed+1)), 502, doh.CauseRefused},
		"a break":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 502, doh.CauseRefused},
		"the most": {respond(200, doh.TypeOblivious, make([]byte, odoh.MaxSealed)), 200, doh.CauseOK},
	} {
		w := startWeb(t, c.handler)
		if got := w.proxy(t, "/dns-query").Carry(t.Context(), w.to("/dns-query"), []byte("octets")); got.Status != c.status || got.Cause != c.cause || (len(got.Message) > 0) != (c.status == 200) {
			t.Errorf("%s: status %d, %s, %d octets", what, got.Status, got.Cause, len(got.Message))
		}
		if n := len(w.seen); n != 1 && what != "a break" {
			t.Errorf("%s: %d requests", what, n)
		}
	}
}

// A target that hangs has its own part of what may be under way, and no more; who is not there fails at once.
func TestTargetsThatHang(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{}, 1)
	w := startWeb(t, func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-release })
	p := w.proxy(t, "/dns-query")
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan doh.Relayed)
	go func() { done <- p.Carry(ctx, w.to("/dns-query"), []byte("octets")) }()
	<-entered
	busy := p.targets[place{fmt.Sprintf("example.com:%d", w.at.Port()), "/dns-query"}].busy
	if len(busy) != 1 {
		t.Errorf("%d under way", len(busy))
	}
	for range maxPerTarget - 1 {
		busy <- struct{}{}
	}
	if got := p.Carry(t.Context(), w.to("/dns-query"), []byte("octets")); got.Status != 503 || got.Cause != doh.CauseFull {
		t.Errorf("one more: %+v", got)
	}
	cancel()
	if got := <-done; got.Status != 504 || got.Cause != doh.CauseTimeout || len(busy) != maxPerTarget-1 {
		t.Errorf("%+v, %d under way", got, len(busy))
	}
	gone := &web{at: netip.MustParseAddrPort("127.0.0.1:1"), roots: w.roots}
	if got := gone.proxy(t, "/dns-query").Carry(t.Context(), gone.to("/dns-query"), []byte("octets")); got.Status != 502 || got.Cause != doh.CauseRefused {
		t.Errorf("nobody there: %+v", got)
	}
}

// Whoever runs the proxy is told why a target cannot be asked, once, and nothing of who asked.
func TestATargetThatIsNotTrustedIsTold(t *testing.T) {
	w := startWeb(t, func(http.ResponseWriter, *http.Request) {})
	r, err := upstream.Parse(fmt.Sprintf("https://%s/dns-query#example.com", w.at))
	if err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	p, err := NewProxy(ProxyConfig{Targets: []upstream.Resolver{r}, Roots: x509.NewCertPool(), Log: slog.New(slog.NewTextHandler(&told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 3 {
		if got := p.Carry(t.Context(), w.to("/dns-query"), []byte("octets")); got.Status != 502 || got.Cause != doh.CauseCertificate {
			t.Errorf("%+v", got)
		}
	}
	if text := told.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, r.String()) || !strings.Contains(text, "unknown authority") {
		t.Errorf("told: %s", text)
	}
}

// A target that can be connected to and speaks no TLS, or none that is taken, is told apart from one that cannot.
func TestATargetWithoutTLS(t *testing.T) {
	old := startWeb(t, func(http.ResponseWriter, *http.Request) {}, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	cut, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Close()
	go func() {
		for {
			c, err := cut.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	for what, c := range map[string]struct {
		at    string
		cause doh.Cause
	}{
		"TLS 1.2": {old.at.String(), doh.CauseTLS}, "HTTP": {plain.Listener.Addr().String(), doh.CauseTLS}, "closed at once": {cut.Addr().String(), doh.CauseRefused},
	} {
		w := &web{at: netip.MustParseAddrPort(c.at), roots: old.roots}
		if got := w.proxy(t, "/dns-query").Carry(t.Context(), w.to("/dns-query"), []byte("octets")); got.Status != 502 || got.Cause != c.cause {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

// Targets that clients could not tell apart, or that are no web servers, are refused.
func TestTargetsThatCannotBe(t *testing.T) {
	for _, urls := range [][]string{{"tls://192.0.2.1#a"}, {"https://192.0.2.1/q#a", "https://192.0.2.2/q#a"}, {"odoh://192.0.2.1/q via https://192.0.2.2/p"}} {
		var cfg ProxyConfig
		for _, u := range urls {
			r, err := upstream.Parse(u)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Targets = append(cfg.Targets, r)
		}
		if _, err := NewProxy(cfg); err == nil {
			t.Errorf("%v are taken", urls)
		}
	}
}

// FuzzPlace: whatever a client writes, it names a place in the two variables alone.
func FuzzPlace(f *testing.F) {
	f.Add("targethost=example.com&targetpath=/dns-query")
	f.Add("targethost=a&targethost=b&targetpath=")
	p := &Proxy{targets: map[place]*target{}}
	f.Fuzz(func(t *testing.T, query string) {
		at, ok := placeOf(query)
		if ok == (at.host == "" || at.path == "") || ok && bytes.Count([]byte(query), []byte("&")) == 0 {
			t.Errorf("%q: %+v, %t", query, at, ok)
		}
		if got := p.Carry(t.Context(), query, nil); got.Status != 400 && got.Status != 403 {
			t.Errorf("%q: %+v", query, got)
		}
	})
}
