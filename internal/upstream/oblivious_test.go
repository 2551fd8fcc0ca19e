package upstream

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/odoh"
)

// hops are a target and a proxy before it, on two servers. The proxy carries what is for the target, and notes what it saw.
type hops struct {
	keys     atomic.Pointer[odoh.Keys] // the target's
	fetches  atomic.Int32
	carried  atomic.Int32
	closed   atomic.Bool                                  // the target does not tell its key
	meddle   func(status int, reply []byte) (int, []byte) // what the proxy makes of it
	seen     atomic.Pointer[[]byte]                       // by the proxy, last
	opened   atomic.Pointer[[]byte]                       // by the target, last
	resolver Resolver
}

func (h *hops) target(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == odoh.ConfigsPath {
		if h.fetches.Add(1); h.closed.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Write(h.keys.Load().Configs())
		return
	}
	b, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/dns-query" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != obliviousType {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	o, err := h.keys.Load().Open(b)
	if errors.Is(err, odoh.ErrKey) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	} else if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.opened.Store(&o.Message)
	reply, err := o.Seal(answer(o.Message))
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", obliviousType)
	w.Write(reply)
}

func (h *hops) proxy(w http.ResponseWriter, r *http.Request) {
	h.carried.Add(1)
	b, err := io.ReadAll(r.Body)
	if q := r.URL.Query(); err != nil || r.URL.Path != "/proxy" || len(q) != 2 || !strings.HasPrefix(q.Get("targethost"), "dns.example") || q.Get("targetpath") != "/dns-query" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if len(r.Header["User-Agent"]) > 0 || len(r.Header["Cookie"]) > 0 {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	h.seen.Store(&b)
	to := httptest.NewRequest(http.MethodPost, "/dns-query", bytes.NewReader(b))
	to.Header.Set("Content-Type", obliviousType)
	back := httptest.NewRecorder()
	h.target(back, to)
	status, reply := back.Code, back.Body.Bytes()
	if h.meddle != nil {
		status, reply = h.meddle(status, reply)
	}
	w.Header().Set("Content-Type", obliviousType)
	if status != 200 {
		w.Header().Set("Proxy-Status", "hop; error=connection_refused; "+strings.Repeat("x", 2*maxSaid))
	}
	w.WriteHeader(status)
	w.Write(reply)
}

// What a proxy says of a failure is in the error, as far as it is short.
func TestWhatAProxySays(t *testing.T) {
	h, n := startHops(t, "")
	h.meddle = func(int, []byte) (int, []byte) { return 502, nil }
	_, err := h.put(t, n, stub(t, 1, "a.example"))
	if err == nil || !strings.Contains(err.Error(), "connection_refused") || len(err.Error()) > 2*maxSaid {
		t.Errorf("%q", err)
	}
}

// startHops starts both servers, and a network that asks through them.
func startHops(t *testing.T, view string) (*hops, *Network) {
	t.Helper()
	cert, pool := certificate(t)
	h := new(hops)
	h.rotate(t)
	at := func(handler http.HandlerFunc) netip.AddrPort {
		s := httptest.NewUnstartedServer(handler)
		s.EnableHTTP2 = true
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}
		s.StartTLS()
		t.Cleanup(s.Close)
		return netip.MustParseAddrPort(s.Listener.Addr().String())
	}
	target, proxy := at(h.target), at(h.proxy)
	r, err := Parse("odoh://" + target.String() + "/dns-query" + view + "#dns.example via https://" + proxy.String() + "/proxy#dns.example")
	if err != nil {
		t.Fatal(err)
	}
	h.resolver = r
	n, err := New(Config{Resolvers: []Resolver{r}, Roots: pool})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return h, n
}

func (h *hops) rotate(t *testing.T) {
	t.Helper()
	k, err := odoh.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	h.keys.Store(&odoh.Keys{k})
}

// put asks one question.
func (h *hops) put(t *testing.T, n *Network, q []byte) (got []byte, err error) {
	t.Helper()
	at := h.resolver.Addr
	err = n.Exchange(t.Context(), at.Addr(), at.Port(), false, q, func(reply []byte) bool {
		got = bytes.Clone(reply)
		return true
	})
	return got, err
}

// stub is a query with EDNS, padded.
func stub(t *testing.T, id uint16, name string) []byte {
	t.Helper()
	b, err := (&dns.Message{ID: id, Question: []dns.Question{{Name: dns.MustName(name), Type: dns.TypeA, Class: dns.ClassIN}}, EDNS: &dns.EDNS{UDPSize: 1232}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return dns.PadMessage(b, 0, odoh.QueryBlock, maxMessage)
}

// A question goes through the proxy, which sees octets of one length and no name; the target's key is fetched
// once for many.
func TestOblivious(t *testing.T) {
	lengths := make(map[int]bool)
	for view, option := range map[string][]byte{"": nil, "?view=filtered": {0}, "?view=unfiltered": {1}} {
		h, n := startHops(t, view)
		for i, name := range []string{"a.example", "a.longer.name.example", "a.example"} {
			q := stub(t, uint16(7+i), name)
			got, err := h.put(t, n, q)
			if err != nil || got[1] != byte(7+i) || !bytes.HasSuffix(got, []byte(" answered")) {
				t.Fatalf("%s: %q, %v", view, got, err)
			}
			opened, seen := *h.opened.Load(), *h.seen.Load()
			data, ok := dns.FindOption(opened, odoh.ViewOption)
			if ok != (option != nil) || !bytes.Equal(data, option) || opened[0]|opened[1] != 0 || bytes.Contains(seen, []byte("example")) {
				t.Errorf("%s: the target is told %v, %t, ID %x", view, data, ok, opened[:2])
			}
			lengths[len(seen)] = true
		}
		if h.fetches.Load() != 1 || h.carried.Load() != 3 {
			t.Errorf("%s: %d fetches, %d carried", view, h.fetches.Load(), h.carried.Load())
		}
	}
	if len(lengths) != 1 {
		t.Errorf("the proxy sees lengths %v", lengths)
	}
}

// A key that the target no longer knows is fetched anew and the question asked again, but not one that was fetched just
// now: a target could learn by that who asks.
func TestStaleKey(t *testing.T) {
	h, n := startHops(t, "")
	if _, err := h.put(t, n, stub(t, 1, "a.example")); err != nil {
		t.Fatal(err)
	}
	h.rotate(t)
	if _, err := h.put(t, n, stub(t, 2, "a.example")); !errors.Is(err, errStale) || h.fetches.Load() != 1 {
		t.Errorf("a young key: %v, %d fetches", err, h.fetches.Load())
	}
	c := n.by[h.resolver.Addr].(*oblivious)
	c.conn.at = time.Now().Add(-configLeast)
	if _, err := h.put(t, n, stub(t, 3, "a.example")); err != nil || h.fetches.Load() != 2 {
		t.Errorf("an old key: %v, %d fetches", err, h.fetches.Load())
	}
	c.conn.until = time.Now()
	if _, err := h.put(t, n, stub(t, 4, "a.example")); err != nil || h.fetches.Load() != 3 {
		t.Errorf("a key whose time is over: %v, %d fetches", err, h.fetches.Load())
	}
}

// While the target cannot be asked for its key, the one before is used on, for some hours and unless it was refused.
func TestKeyOutlivesItsSource(t *testing.T) {
	h, n := startHops(t, "")
	if _, err := h.put(t, n, stub(t, 1, "a.example")); err != nil {
		t.Fatal(err)
	}
	h.closed.Store(true)
	c := n.by[h.resolver.Addr].(*oblivious)
	c.conn.until = time.Now()
	if _, err := h.put(t, n, stub(t, 2, "a.example")); err != nil || h.fetches.Load() != 2 {
		t.Errorf("%v, %d fetches", err, h.fetches.Load())
	}
	c.conn.until, c.last.Load().at = time.Now(), time.Now().Add(-configMost)
	if _, err := h.put(t, n, stub(t, 3, "a.example")); err == nil {
		t.Error("a key is used for ever")
	}
}

// What a proxy can do is to not carry: a reply that it makes up, changes, cuts off, or takes from another question
// is not believed.
func TestProxiesThatLie(t *testing.T) {
	var kept []byte
	for what, meddle := range map[string]func(int, []byte) (int, []byte){
		"made up": func(int, []byte) (int, []byte) { return 200, []byte("\x02\x00\x10 an own reply") },
		"changed": func(_ int, b []byte) (int, []byte) { b[len(b)-1]++; return 200, b },
		"cut off": func(_ int, b []byte) (int, []byte) { return 200, b[:len(b)-1] },
		"empty":   func(int, []byte) (int, []byte) { return 200, nil },
		"to another question": func(_ int, b []byte) (int, []byte) {
			b, kept = kept, b
			return 200, b
		},
		"too long": func(_ int, b []byte) (int, []byte) { return 200, make([]byte, odoh.MaxSealed+1) },
		"an error": func(int, []byte) (int, []byte) { return 502, nil },
		"no":       func(int, []byte) (int, []byte) { return 403, nil },
	} {
		h, n := startHops(t, "")
		h.meddle = meddle
		for range 2 {
			if got, err := h.put(t, n, stub(t, 1, "a.example")); err == nil {
				t.Errorf("%s: %q is believed", what, got)
			}
		}
	}
}

// A target without keys, or with ones of another kind, is told of as such.
func TestNoTarget(t *testing.T) {
	h, n := startHops(t, "")
	h.keys.Store(new(odoh.Keys))
	if _, err := h.put(t, n, stub(t, 1, "a.example")); !errors.Is(err, odoh.ErrConfigs) || h.carried.Load() != 0 {
		t.Errorf("%v, %d carried", err, h.carried.Load())
	}
	h, n = startHops(t, "?view=unfiltered")
	if _, err := h.put(t, n, query(1, "no EDNS")); !errors.Is(err, errView) || h.carried.Load() != 0 {
		t.Errorf("%v, %d carried", err, h.carried.Load())
	}
}
