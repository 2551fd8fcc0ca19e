package staff

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/web"
)

const (
	// flowTime is how long a ceremony of signing in may take.
	flowTime = 5 * time.Minute
	// maxSpent is how many ceremonies that succeeded are remembered for flowTime. Only who can sign
	// in adds to them.
	maxSpent = 4096
	// maxCookie is the longest cookie that is looked at, as long as browsers send (RFC 6265 section 6.1).
	maxCookie = 4096
)

// flows keeps what has to last from one step of a ceremony to the next in the browser that
// goes through it, sealed, so that nobody who begins many fills anything here. Each ends once.
type flows struct {
	aead   cipher.AEAD
	secure bool // the site is reached over TLS

	mu    sync.Mutex
	spent map[string]time.Time
}

func newFlows(secure bool) (*flows, error) {
	var key [32]byte
	rand.Read(key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &flows{aead: aead, secure: secure, spent: map[string]time.Time{}}, err
}

// step is what is sealed.
type step struct {
	End  time.Time
	ID   string // of the ceremony
	Data json.RawMessage
}

var errFlow = errors.New("the ceremony was begun elsewhere, took too long, or was ended before")

// seal makes the cookie that carries v to the next step of what the name says.
func (f *flows) seal(name string, v any, now time.Time, site http.SameSite) (*http.Cookie, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(step{now.Add(flowTime), rand.Text(), data})
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, f.aead.NonceSize())
	rand.Read(nonce)
	c := f.cookie(name, base64.RawURLEncoding.EncodeToString(f.aead.Seal(nonce, nonce, b, []byte(name))), site)
	c.MaxAge = int(flowTime / time.Second)
	return c, nil
}

// open reads the cookie of a ceremony into v, and says which ceremony it is, for spend.
func (f *flows) open(r *web.Request, name string, v any, now time.Time) (id string, err error) {
	c, err := r.Cookie(f.name(name))
	if err != nil || len(c.Value) > maxCookie {
		return "", errFlow
	}
	b, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil || len(b) < f.aead.NonceSize() {
		return "", errFlow
	}
	n := f.aead.NonceSize()
	if b, err = f.aead.Open(nil, b[:n], b[n:], []byte(name)); err != nil {
		return "", errFlow
	}
	var s step
	if json.Unmarshal(b, &s) != nil || s.End.Before(now) || json.Unmarshal(s.Data, v) != nil {
		return "", errFlow
	}
	return s.ID, nil
}

// spend ends a ceremony: it ends once.
func (f *flows) spend(id string, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, end := range f.spent {
		if end.Before(now) {
			delete(f.spent, id)
		}
	}
	if _, ok := f.spent[id]; ok || len(f.spent) >= maxSpent {
		return errFlow
	}
	f.spent[id] = now.Add(flowTime)
	return nil
}

// name is a cookie's whole name. With the prefix __Host- a browser takes it from this very
// host and over TLS alone (RFC 6265bis section 4.1.3.2).
func (f *flows) name(name string) string {
	if f.secure {
		return "__Host-" + name
	}
	return name
}

func (f *flows) cookie(name, value string, site http.SameSite) *http.Cookie {
	return &http.Cookie{Name: f.name(name), Value: value, Path: "/", Secure: f.secure, HttpOnly: true, SameSite: site}
}

// drop is the cookie that has a browser forget one.
func (f *flows) drop(name string) *http.Cookie {
	c := f.cookie(name, "", http.SameSiteStrictMode)
	c.MaxAge = -1
	return c
}

// set adds cookies to a reply.
func set(r *web.Reply, cookies ...*http.Cookie) *web.Reply {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	for _, c := range cookies {
		r.Header.Add("Set-Cookie", c.String())
	}
	return r
}

// isTLS reports whether an address is one of https.
func isTLS(address string) bool { return strings.HasPrefix(address, "https://") }
