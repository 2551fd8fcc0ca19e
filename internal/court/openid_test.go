package court

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/staff"
)

// provider is an OpenID provider (OpenID Connect Core 1.0) at which somebody is signed in already.
type provider struct {
	t      *testing.T
	at     string
	key    *rsa.PrivateKey
	claims map[string]any    // of whoever comes
	codes  map[string]string // challenge of PKCE and nonce, by code
	broken string            // what it does wrong
}

func newProvider(t *testing.T) *provider {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, key: key, codes: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{
			"issuer": p.at, "authorization_endpoint": p.at + "/authorize", "token_endpoint": p.at + "/token", "jwks_uri": p.at + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"}, "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		e := binary.BigEndian.AppendUint32(nil, uint32(key.E))[1:]
		json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": base64url(key.N.Bytes()), "e": base64url(e)}}})
	})
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.at = server.URL
	return p
}

func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("code_challenge_method") != "S256" || q.Get("client_id") != "shoji" || !strings.Contains(q.Get("scope"), "openid") {
		http.Error(w, "what?", http.StatusBadRequest)
		return
	}
	code := rand.Text()
	p.codes[code] = q.Get("code_challenge") + " " + q.Get("nonce")
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	challenge, nonce, ok := strings.Cut(p.codes[r.FormValue("code")], " ")
	delete(p.codes, r.FormValue("code"))
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !ok || base64url(sum[:]) != challenge {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	claims := map[string]any{"iss": p.at, "aud": "shoji", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "nonce": nonce}
	for name, v := range p.claims {
		claims[name] = v
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": p.sign(claims)})
}

func (p *provider) sign(claims map[string]any) string {
	b, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	text := base64url([]byte(`{"alg":"RS256","kid":"1"}`)) + "." + base64.RawURLEncoding.EncodeToString(b)
	sum := sha256.Sum256([]byte(text))
	key := p.key
	if p.broken == "key" {
		if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			p.t.Fatal(err)
		}
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		p.t.Fatal(err)
	}
	return text + "." + base64url(signature)
}

// byOpenID signs a browser in by the provider and returns the last status, and the address that it was
// sent back to.
func (o *office) byOpenID(v *visitor) (int, string) {
	o.t.Helper()
	status, _, header := v.get("/staff/openid")
	if status != http.StatusSeeOther {
		o.t.Fatalf("%d", status)
	}
	r, err := http.NewRequest(http.MethodGet, header.Get("Location"), nil)
	if err != nil {
		o.t.Fatal(err)
	}
	_, _, header = v.do(r)
	back, ok := strings.CutPrefix(header.Get("Location"), o.site)
	if !ok {
		o.t.Fatalf("sent back to %q", header.Get("Location"))
	}
	status, _, _ = v.get(back)
	return status, back
}

func TestStaffByOpenID(t *testing.T) {
	both(t, func(c *court) {
		c.update()
		p := newProvider(t)
		o := c.office(staff.OpenID{Issuer: p.at, Client: "shoji", Secret: "s", Allow: []string{"ann@isp.example", "subject-7"}})
		if status, body, _ := o.browser().get("/staff/signin"); status != 200 || !strings.Contains(body, "/staff/openid") {
			t.Errorf("%d %s", status, body)
		}
		for _, tc := range []struct {
			claims map[string]any
			broken string
			in     bool
		}{
			{map[string]any{"sub": "1", "email": "Ann@isp.example", "email_verified": true, "name": "Ann"}, "", true},
			{map[string]any{"sub": "1", "email": "ann@isp.example", "email_verified": true}, "key", false},
			{map[string]any{"sub": "2", "email": "ann@isp.example", "email_verified": false}, "", false},
			{map[string]any{"sub": "3", "email": "eve@isp.example", "email_verified": true}, "", false},
			{map[string]any{"sub": "subject-7"}, "", true},
			{map[string]any{"sub": "subject-7", "aud": "another"}, "", false},
			{map[string]any{"sub": "subject-7", "nonce": "another"}, "", false},
			{map[string]any{"sub": "subject-7", "exp": time.Now().Add(-time.Hour).Unix()}, "", false},
			{map[string]any{"sub": "subject-7", "iss": "https://evil.example"}, "", false},
		} {
			p.claims, p.broken = tc.claims, tc.broken
			v := o.browser()
			status, back := o.byOpenID(v)
			if (status == 200) != tc.in || !tc.in && status != http.StatusForbidden {
				t.Errorf("%v: %d", tc.claims, status)
			}
			status, _, _ = v.get("/staff")
			if (status == 200) != tc.in {
				t.Errorf("%v: the area: %d", tc.claims, status)
			}
			if status, _, _ := v.get(back); status != http.StatusForbidden {
				t.Errorf("a way back was taken twice: %d", status)
			}
		}
		members, err := o.store.Members(t.Context())
		if err != nil || len(members) != 2 || members[0].External == "" {
			t.Fatalf("%+v, %v", members, err)
		}
		// Whoever is sent back without having been sent there, or by another's way, is nobody.
		_, _, header := o.browser().get("/staff/openid")
		u, _ := url.Parse(header.Get("Location"))
		for _, state := range []string{"", u.Query().Get("state"), "x"} {
			if status, _, _ := o.browser().get("/staff/openid/callback?code=x&state=" + state); status != http.StatusForbidden {
				t.Errorf("state %q: %d", state, status)
			}
		}
		p.claims, p.broken = map[string]any{"sub": "subject-7"}, ""
		for _, m := range members {
			if strings.HasSuffix(m.External, " subject-7") {
				if err := o.store.Remove(t.Context(), m.ID, ""); err != nil {
					t.Fatal(err)
				}
			}
		}
		if status, _ := o.byOpenID(o.browser()); status != http.StatusForbidden {
			t.Errorf("who was removed is back: %d", status)
		}
	})
}
