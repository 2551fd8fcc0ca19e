package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/exchange"
	"github.com/shoji-dns/shoji/internal/simnet"
	"github.com/shoji-dns/shoji/internal/upstream"
)

// browsing is what people look at: names of the lab.
type browsing struct {
	listed float64 // share of sessions with a listed name
	fresh  bool    // listed names are new ones
}

// question is one thing that a session asks.
type question struct {
	name dns.Name // or what is above it, where it is new
	typ  dns.Type
	new  bool // every play of the session asks for a name of its own, which nobody asked for before
}

// drawn are the questions of one play.
func drawn(questions []question, rng *rand.Rand) []question {
	out := slices.Clone(questions)
	for i := range out {
		if out[i].new {
			out[i].name = dns.MustName(fmt.Sprintf("r%08x.%s", rng.Uint32(), out[i].name))
		}
	}
	return out
}

// perSession is how many questions a session asks: a page with what it loads.
const perSession = 12

// ordinary and listed are the names of the lab that are answered from memory once they were asked.
func (browsing) ordinary() (out []question) {
	for _, try := range simnet.LabTries() {
		slow := strings.HasPrefix(try.Name, "www.slow") || try.Name == "big.shop.test"
		if !try.Listed && try.RCode == "NOERROR" && !slow {
			out = append(out, question{name: dns.MustName(try.Name), typ: dns.TypeA})
		}
	}
	return out
}

func (browsing) known() []question {
	return []question{ // whose true answers are longer or shorter than the filtered ones
		{dns.MustName("cdn.shop.test"), dns.TypeA, false}, {dns.MustName("c2.mirror.shop.test"), dns.TypeA, false},
		{dns.MustName("hint.shop.test"), dns.TypeHTTPS, false}, {dns.MustName("c2.evil.test"), dns.TypeAAAA, false},
	}
}

// session draws the questions of one session: mostly names that others asked for, one that
// nobody did, and in some a listed one.
func (b browsing) session(rng *rand.Rand) []question {
	ordinary, known := b.ordinary(), b.known()
	out := make([]question, 0, perSession)
	for len(out) < perSession-1 {
		out = append(out, ordinary[int(float64(len(ordinary))*rng.Float64()*rng.Float64())])
	}
	out = append(out, question{dns.MustName("branch.bank.test"), dns.TypeA, true})
	if rng.Float64() < b.listed {
		q := known[rng.IntN(len(known))]
		if b.fresh {
			q = question{dns.MustName("c2.evil.test"), dns.TypeA, true}
		}
		out[rng.IntN(len(out))] = q
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// warm asks for every name once in both views, so that what is measured is not who came first.
func (b browsing) warm(ctx context.Context, w way) error {
	for _, filtered := range []bool{true, false} {
		if err := play(ctx, w, filtered, append(b.ordinary(), b.known()...)); err != nil {
			return err
		}
	}
	return nil
}

// way is one way of asking.
type way struct {
	name      string
	protected bool
	padded    bool
	connect   func(filtered bool) (asker, error)
}

// asker is a client for one session.
type asker struct {
	ask   func(ctx context.Context, query []byte, accept func([]byte) bool) error
	close func()
}

// play asks the questions one after the other.
func play(ctx context.Context, w way, filtered bool, questions []question) error {
	a, err := w.connect(filtered)
	if err != nil {
		return err
	}
	defer a.close()
	for i, q := range questions {
		query, err := message(uint16(i), q, w.padded)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		err = a.ask(ctx, query, func(reply []byte) bool {
			var m dns.Message
			return m.Unpack(reply) == nil && m.ID == uint16(i) && m.Flags.Has(dns.FlagQR)
		})
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	return nil
}

// message is a stub's query. A padded one has a multiple of 128 octets (RFC 8467 §4.1); the
// other one has no EDNS, so that its reply is not padded either.
func message(id uint16, q question, padded bool) ([]byte, error) {
	m := &dns.Message{ID: id, Flags: dns.FlagRD, Question: []dns.Question{{Name: q.name, Type: q.typ, Class: dns.ClassIN}}}
	if !padded {
		return m.Append(nil)
	}
	m.EDNS = &dns.EDNS{UDPSize: 1232}
	out, err := m.Append(nil)
	return dns.PadMessage(out, 0, 128, 65535), err
}

// addresses are where the servers are.
type addresses struct {
	filtered, unfiltered, server, ca, ech, nodes, proxies string
}

// The names and paths of the views at the server, as observer.sh configures it.
func face(filtered bool) (name, path string) {
	if filtered {
		return "dns1.example", "/dns-query"
	}
	return "dns2.example", "/dns-fully"
}

// ways are the ways of asking that the addresses allow; chosen, if it is not empty, names some.
func (a addresses) ways(chosen string) ([]way, error) {
	var all []way
	if a.filtered != "" && a.unfiltered != "" {
		all = append(all, way{name: "plain", padded: true, connect: func(filtered bool) (asker, error) {
			if filtered {
				return plain(a.filtered)
			}
			return plain(a.unfiltered)
		}})
	}
	if a.server != "" {
		encrypted, err := a.encrypted()
		if err != nil {
			return nil, err
		}
		all = append(all, encrypted...)
	}
	for _, text := range strings.FieldsFunc(a.nodes, func(r rune) bool { return r == ',' }) {
		name, at, _ := strings.Cut(text, "=")
		f, u, ok := strings.Cut(at, "/")
		if !ok {
			return nil, fmt.Errorf("-nodes %q: write NAME=FILTERED/UNFILTERED", text)
		}
		all = append(all, way{name: name, protected: !strings.HasSuffix(name, "-bare"), connect: func(filtered bool) (asker, error) {
			if filtered {
				return plain(f)
			}
			return plain(u)
		}})
	}
	if chosen != "" {
		var some []way
		for _, w := range all {
			if strings.Contains(","+chosen+",", ","+w.name+",") {
				some = append(some, w)
			}
		}
		all = some
	}
	if len(all) == 0 {
		return nil, errors.New("there is no way to ask: give addresses")
	}
	return all, nil
}

// encrypted are the ways to a server of encrypted transports. Where the name of the view is
// readable on the path, there is no protection to be tested.
func (a addresses) encrypted() ([]way, error) {
	pem, err := os.ReadFile(a.ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate", a.ca)
	}
	// to is a way whose views differ by name, by path or by both. hidden has the name encrypted.
	to := func(name, transport string, protected, byName, hidden bool) way {
		return way{name: name, protected: protected, padded: true, connect: func(filtered bool) (asker, error) {
			host, path := face(filtered)
			if !byName {
				host, _ = face(true)
			}
			if transport == upstream.TLS || transport == upstream.QUIC {
				path = ""
			}
			if hidden {
				host += "&ech=" + a.ech
			}
			return encrypted(fmt.Sprintf("%s://%s%s#%s", transport, a.server, path, host), roots)
		}}
	}
	ways := []way{
		to("tls-bare", upstream.TLS, false, true, false), to("https-bare", upstream.HTTPS, false, true, false), to("quic-bare", upstream.QUIC, false, true, false),
		to("https", upstream.HTTPS, true, false, false), to("h3", upstream.HTTP3, true, false, false),
	}
	if a.ech != "" {
		ways = append(ways, to("tls", upstream.TLS, true, true, true), to("quic", upstream.QUIC, true, true, true))
	}
	for _, text := range strings.FieldsFunc(a.proxies, func(r rune) bool { return r == ',' }) {
		name, at, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("-proxies %q: write NAME=ADDRESS:PORT", text)
		}
		ways = append(ways, way{name: name, protected: true, padded: true, connect: func(filtered bool) (asker, error) {
			view := upstream.Unfiltered
			if filtered {
				view = upstream.Filtered
			}
			return encrypted(fmt.Sprintf("odoh://%s/dns-query?view=%s#dns1.example via https://%s/proxy#dns3.example", a.server, view, at), roots)
		}})
	}
	return ways, nil
}

// plain asks over UDP.
func plain(at string) (asker, error) {
	ap, err := netip.ParseAddrPort(at)
	n := exchange.New()
	return asker{func(ctx context.Context, query []byte, accept func([]byte) bool) error {
		return n.Exchange(ctx, ap.Addr(), ap.Port(), false, query, accept)
	}, n.Close}, err
}

// encrypted asks over a connection of its own, which ends with the session.
func encrypted(url string, roots *x509.CertPool) (asker, error) {
	r, err := upstream.Parse(url)
	if err != nil {
		return asker{}, err
	}
	n, err := upstream.New(upstream.Config{Resolvers: []upstream.Resolver{r}, Roots: roots})
	if err != nil {
		return asker{}, err
	}
	return asker{func(ctx context.Context, query []byte, accept func([]byte) bool) error {
		return n.Exchange(ctx, r.Addr.Addr(), r.Addr.Port(), true, query, accept)
	}, n.Close}, nil
}
