// Package resolve answers questions by asking the Internet: iteratively, from the
// root down (RFC 1034 §5.3.3), or by forwarding to other resolvers.
//
// # What is believed
//
// A reply counts only where it repeats the question with its ID and its random
// letter case, from the address asked, at the port it was sent from. Of a reply
// only that is kept which lies in the bailiwick of the zone whose server was asked,
// and on the way from the question to its answer (RFC 2181 §5.4.1). Referrals make
// zone cuts, which tell whom to ask; their records, glue included, never become
// answers. A cut lasts no longer than its parent says.
//
// # What is remembered
//
// Answers go to a Memory under the question they answer: the whole chain under the
// question asked, each CNAME under its owner, the rest of the chain under each name
// it passes. Negative answers last as RFC 2308 says, failures from 1 to 30 s (RFC
// 9520). Zone cuts and what is known of servers (times, EDNS, letter case) live in
// bounded maps of the Resolver itself.
//
// # What is validated
//
// With trust anchors, each reply is validated on its way into memory: by the keys of
// the zone that it came from, which a chain of DS and DNSKEY records connects with an
// anchor. An answer holds the weakest status of its parts; a bogus one holds its data
// too, for those who ask with CD. Without anchors everything is indeterminate.
//
// # What it costs
//
// All that one request causes draws on one budget: messages, time, look-ups of
// name-server addresses, depth. The limits are named in limits.go.
//
// # Limits
//
// Class IN only. No EDNS Client Subnet, no cookies, no aggressive use of denials.
// The priming reply is not validated. A Memory belongs to one Resolver: answers had
// by forwarding and by iterating are never mixed.
package resolve

import (
	"context"
	"net/netip"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

// Network carries one question to one server. It sends query to addr:port over UDP,
// or TCP when tcp is set, from a fresh socket with a random port, and hands accept
// every message that arrives from that server until accept returns true (nil is
// returned) or ctx ends (its error is returned). It looks into no message: what is
// accepted is the resolver's decision. accept is not called after Exchange has
// returned, nor from two goroutines at a time, and keeps nothing of reply.
type Network interface {
	Exchange(ctx context.Context, addr netip.Addr, port uint16, tcp bool, query []byte, accept func(reply []byte) bool) error
}

// Memory is the cache of answers by question. Names are given in canonical form.
type Memory interface {
	Get(name dns.Name, t dns.Type, now time.Time) (*answer.Answer, bool)
	Put(a *answer.Answer, now time.Time)
}

// Upstream is a resolver to forward to. Port 0 means 53.
type Upstream struct {
	Addr netip.Addr
	Port uint16
}

// Config is what a Resolver is made of. Network and Memory are required.
type Config struct {
	Network Network
	Memory  Memory

	// Hints are the root servers to prime from; nil means RootHints().
	Hints []Hint

	// Forward lists resolvers to ask instead of iterating. The Memory of a
	// forwarding Resolver must not be shared with an iterating one.
	Forward []Upstream

	Minimise Minimise

	// Port is where the servers of hints and delegations listen; 0 means 53.
	Port uint16

	// Loopback lets delegations point to loopback addresses. It is implied where
	// a hint or an upstream has one.
	Loopback bool

	// NoIPv4 and NoIPv6 keep the resolver from using an address family.
	NoIPv4, NoIPv6 bool

	// Anchors are the trust anchors for validation (RFC 4033 §5). Without any,
	// nothing is validated, and every answer is indeterminate.
	Anchors []dnssec.Anchor

	// Exempt lists zones that are taken for unsigned: negative trust anchors (RFC 7646).
	Exempt []dns.Name

	// Validation holds the choices of package dnssec.
	Validation dnssec.Config
}

const domainPort = 53

// Resolver resolves. It is safe for concurrent use.
type Resolver struct {
	network        Network
	memory         Memory
	minimise       Minimise
	port           uint16
	loopback       bool
	noIPv4, noIPv6 bool

	cuts     cuts
	servers  *boundedMap[serverKey, *server]
	families families
	failures *failures
	requests *flights[*answer.Answer]
	asking   *flights[finding]
	open     *boundedMap[dns.Name, time.Time] // names at which no zone begins, until then

	validator *dnssec.Validator // nil: nothing is validated
	anchors   map[dns.Name][]dnssec.DS
	exempt    map[dns.Name]bool
	trusts    *boundedMap[dns.Name, *trust]
}

// New makes a Resolver.
func New(c Config) *Resolver {
	r := &Resolver{
		network: c.Network, memory: c.Memory, minimise: c.Minimise,
		port: c.Port, loopback: c.Loopback, noIPv4: c.NoIPv4, noIPv6: c.NoIPv6,
		cuts:     cuts{fixed: make(map[dns.Name]*cut), m: newBoundedMap[dns.Name, *cut](maxCuts)},
		servers:  newBoundedMap[serverKey, *server](maxServers),
		failures: newFailures(),
		requests: newFlights[*answer.Answer](),
		asking:   newFlights[finding](),
		open:     newBoundedMap[dns.Name, time.Time](maxOpen),
	}
	if len(c.Anchors) > 0 {
		r.trustFrom(c)
	}
	if r.port == 0 {
		r.port = domainPort
	}
	if len(c.Forward) > 0 {
		r.cuts.fixed[dns.Root] = r.forwardCut(c.Forward)
		return r
	}
	if c.Hints == nil {
		c.Hints = RootHints()
	}
	for _, h := range c.Hints {
		for _, addr := range h.Addrs {
			r.loopback = r.loopback || addr.IsLoopback()
		}
	}
	r.cuts.fixed[dns.Root] = r.hintsCut(c.Hints)
	return r
}

// trustFrom sets validation up.
func (r *Resolver) trustFrom(c Config) {
	r.validator = dnssec.New(c.Validation)
	r.trusts = newBoundedMap[dns.Name, *trust](maxTrusts)
	r.anchors = make(map[dns.Name][]dnssec.DS)
	for _, a := range c.Anchors {
		r.anchors[a.Zone.Canonical()] = append(r.anchors[a.Zone.Canonical()], a.DS)
	}
	r.exempt = make(map[dns.Name]bool)
	for _, name := range c.Exempt {
		r.exempt[name.Canonical()] = true
	}
}

func (r *Resolver) forwardCut(upstreams []Upstream) *cut {
	c := &cut{zone: dns.Root, forward: true}
	for _, u := range upstreams {
		port := u.Port
		if port == 0 {
			port = domainPort
		}
		if len(c.names) < maxNS {
			c.names = append(c.names, nameServer{known: true})
			c.add(len(c.names)-1, r.server(u.Addr, port), time.Time{})
		}
	}
	return c
}

// now is the one place where the clock is read.
func (r *Resolver) now() time.Time { return time.Now() }

// family reports whether addresses of a's family are used.
func (r *Resolver) family(a netip.Addr) bool {
	if a.Is4() {
		return !r.noIPv4
	}
	return !r.noIPv6
}

// Resolve answers a question. It never returns nil: what cannot be resolved is an
// answer with RCODE SERVFAIL and an Extended DNS Error. Identical questions under
// way are resolved once; a caller whose ctx ends leaves, and the others go on.
func (r *Resolver) Resolve(ctx context.Context, name dns.Name, t dns.Type) *answer.Answer {
	q := question{name.Canonical(), t}
	if t.IsMeta() && t != dns.TypeANY {
		return answer.New(answer.Parts{Name: q.name, Type: t, RCode: dns.RCodeNotImplemented, Born: r.now()})
	}
	a, err := r.requests.do(ctx, flightKey{"", q.name, t}, func() (*answer.Answer, error) {
		return r.request(ctx, q)
	}, ownAffair)
	if err != nil {
		return errGone.answer(q, r.now(), 0)
	}
	return a
}

// request resolves one client's question with a budget of its own. It fails only
// where ctx has ended.
func (r *Resolver) request(ctx context.Context, q question) (*answer.Answer, error) {
	w := newWork(r.now())
	w.push(q)
	a, err := r.follow(ctx, w, q)
	if err == nil {
		if a.RCode() != dns.RCodeServerFailure {
			r.failures.clear(q)
		}
		return a, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return r.fail(q, err), nil
}

// sub answers a question that another one depends on, within the same budget; nil
// where it cannot be answered.
func (r *Resolver) sub(ctx context.Context, w *work, q question) *answer.Answer {
	if !w.push(q) {
		return nil
	}
	whole := w.deadline
	if end := r.now().Add(maxSubWall); end.Before(whole) {
		w.deadline = end
	}
	a, err := r.follow(ctx, w, q)
	w.deadline = whole
	w.pop()
	if err == nil && !a.Status().IsBogus() {
		return a
	}
	if err != nil && !ownAffair(err) {
		r.fail(q, err)
	}
	return nil
}

// fail makes the answer of a failed resolution, and remembers it.
func (r *Resolver) fail(q question, err error) *answer.Answer {
	now := r.now()
	a := asFailure(err).answer(q, now, r.failures.note(q, now))
	r.put(a, now)
	return a
}

func (f *failure) answer(q question, now time.Time, ttl time.Duration) *answer.Answer {
	return answer.New(answer.Parts{
		Name: q.name, Type: q.typ, RCode: dns.RCodeServerFailure,
		HasError: true, ErrorCode: f.code, ErrorText: f.text, Born: now, TTL: ttl,
	})
}

// cachedFailure is the failure that memory holds of a name further along a chain.
func cachedFailure(a *answer.Answer) error {
	if code, text, ok := a.Error(); ok {
		return &failure{code, text}
	}
	return &failure{dns.EDECachedError, "resolution failed a moment ago"}
}
