package staff

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newTestFlows(t testing.TB, secure bool) *flows {
	t.Helper()
	f, err := newFlows(secure)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// with is a request that has a cookie.
func with(c *http.Cookie) *web.Request {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.AddCookie(c)
	return &web.Request{Request: r}
}

// What was sealed for one step of one ceremony is good for that alone, in time, and once.
func TestACeremonyGoesOnWhereItWasBegun(t *testing.T) {
	f := newTestFlows(t, false)
	c, err := f.seal(ceremony, "what lasts", start, http.SameSiteStrictMode)
	if err != nil {
		t.Fatal(err)
	}
	var got string
	id, err := f.open(with(c), ceremony, &got, start.Add(flowTime))
	if err != nil || got != "what lasts" || id == "" {
		t.Fatalf("%q, %v", got, err)
	}
	if strings.Contains(c.Value, "lasts") {
		t.Error("the browser can read it")
	}
	other := *c
	other.Name = f.name(foreign)
	altered := *c
	altered.Value = c.Value[:len(c.Value)-2] + "AA"
	for name, try := range map[string]func() error{
		"late":               func() error { _, err := f.open(with(c), ceremony, &got, start.Add(flowTime+time.Second)); return err },
		"of another program": func() error { _, err := newTestFlows(t, false).open(with(c), ceremony, &got, start); return err },
		"of another step":    func() error { _, err := f.open(with(&other), foreign, &got, start); return err },
		"altered":            func() error { _, err := f.open(with(&altered), ceremony, &got, start); return err },
		"of another form":    func() error { var n int; _, err := f.open(with(c), ceremony, &n, start); return err },
		"missing":            func() error { _, err := f.open(with(&http.Cookie{Name: "x"}), ceremony, &got, start); return err },
		"too long": func() error {
			_, err := f.open(with(&http.Cookie{Name: ceremony, Value: strings.Repeat("A", maxCookie+1)}), ceremony, &got, start)
			return err
		},
	} {
		if err := try(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := f.spend(id, start); err != nil {
		t.Error(err)
	}
	if err := f.spend(id, start); err == nil {
		t.Error("it ended twice")
	}
}

// Ceremonies that ended are forgotten when they could not be taken any more, and never more than some are remembered.
func TestCeremoniesThatEndedAreBounded(t *testing.T) {
	f := newTestFlows(t, false)
	for i := range maxSpent {
		if err := f.spend(string(rune(i)), start); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := f.spend("one more", start); err == nil || len(f.spent) != maxSpent {
		t.Errorf("%v, %d remembered", err, len(f.spent))
	}
	if err := f.spend("one more", start.Add(flowTime+time.Second)); err != nil || len(f.spent) != 1 {
		t.Errorf("%v, %d remembered", err, len(f.spent))
	}
}

// Over TLS a cookie is this very host's, and goes nowhere without TLS.
func TestCookies(t *testing.T) {
	for secure, name := range map[bool]string{true: "__Host-" + ceremony, false: ceremony} {
		f := newTestFlows(t, secure)
		c, err := f.seal(ceremony, 1, start, http.SameSiteStrictMode)
		if err != nil {
			t.Fatal(err)
		}
		if c.Name != name || c.Secure != secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteStrictMode {
			t.Errorf("%+v", c)
		}
		if gone := f.drop(ceremony); gone.Name != name || gone.MaxAge >= 0 {
			t.Errorf("%+v", gone)
		}
	}
	if !isTLS("https://desk.example") || isTLS("http://desk.example") {
		t.Error("what is TLS")
	}
}

func FuzzCeremony(f *testing.F) {
	flows := newTestFlows(f, false)
	c, err := flows.seal(ceremony, "x", start, http.SameSiteStrictMode)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.Value)
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, value string) {
		var got string
		if _, err := flows.open(with(&http.Cookie{Name: ceremony, Value: value}), ceremony, &got, start); err == nil && value != c.Value {
			t.Fatalf("%q was taken", value)
		}
	})
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"Ann": "Ann", "  Ann \t of  the\ndesk ": "Ann of the desk", "花子": "花子", strings.Repeat("a", maxName): strings.Repeat("a", maxName),
	} {
		if got, err := checkName(name); err != nil || got != want {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "   ", strings.Repeat("a", maxName+1), "a\x00b", "a\x1b[31m", "a\u202eb", "\xff"} {
		if got, err := checkName(bad); err == nil {
			t.Errorf("%q is taken for the name %q", bad, got)
		}
	}
}

// Passkeys are of a name, and an address has none.
func TestPasskeysNeedAName(t *testing.T) {
	for address, want := range map[string]bool{
		"https://desk.example": true, "http://localhost:5381": true, "http://127.0.0.1:5381": false, "http://[::1]:5381": false,
	} {
		if keys, err := keysFor(address); err != nil || (keys != nil) != want {
			t.Errorf("%s: %v, %v", address, keys, err)
		}
	}
	for _, bad := range []string{"", "desk.example", "http://", "http://a b/"} {
		if _, err := keysFor(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// Evidence stands beside evidence of the same source and kind, and what came or went alone.
func TestEvidenceSideBySide(t *testing.T) {
	then := []ledger.Evidence{{Source: "a", Kind: "c2", Reference: "then"}, {Source: "b", Kind: "c2"}}
	now := []policy.Evidence{{Evidence: ledger.Evidence{Source: "a", Kind: "c2", Reference: "now"}}, {Evidence: ledger.Evidence{Source: "a", Kind: "popular"}}}
	out := compare(then, now)
	if len(out) != 3 || out[0].Then.Reference != "then" || out[0].Now.Reference != "now" || out[1].Now != nil || out[2].Then != nil || out[2].Kind != "popular" {
		t.Errorf("%+v", out)
	}
}
