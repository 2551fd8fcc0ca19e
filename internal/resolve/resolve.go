// Package resolve answers questions by asking the Internet: iteratively, from the
// root down (RFC 1034 §5.3.3), or by forwarding to other resolvers.
//
// # What is believed
//
// A reply counts only where it repeats the question with its ID and its random
// letter case, from the address asked, at the port it was sent from; from a server that
// does DNS cookies, only with the one that it was sent (RFC 7873). Of a reply
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
// 9520), and all within the bounds of Config.TTLs (ttl.go). Refresh learns anew what is
// about to end. Zone cuts and what is known of servers (times, EDNS, letter case) live in
// bounded maps of the Resolver itself.
//
// # What is validated
//
// With trust anchors, each reply is validated on its way into memory: by the keys of
// the zone that it came from, which a chain of DS and DNSKEY records connects with an
// anchor. An answer holds the weakest status of its parts; a bogus one holds its data
// too, for those who ask with CD. Without anchors everything is indeterminate. A Keeper
// moves anchors on as their zones roll keys (RFC 5011) and tells the zones which are in
// use (RFC 8145). Proven denials are kept in a bounded index, and answer for other names
// in their spans before a zone is asked (RFC 8198); such answers do not enter memory.
//
// # Whom it asks
//
// A name is only ever asked for on one path: from the deepest configured zone that it
// lies in, be that the root, a stub zone or a forward zone. Zone cuts learned on one
// path are not seen on another, and a chain that leaves its path is resolved anew on
// that of the name it leads to. So nothing that a forwarder says enters memory for a
// name that is iterated for, nor the other way (MaginotDNS, CVE-2021-25220). Where
// First is set, the operator has put two paths behind one another for a zone; a
// Memory belongs to one Resolver for the same reason.
//
// # What it costs
//
// All that one request causes draws on one budget: messages, time, look-ups of
// name-server addresses, depth, signatures. The limits are named in limits.go. What a
// request could not do for want of it is remembered for its own question alone, never for
// a name that it was led to. docs/attacks.md says which attack each limit is for.
//
// # Limits
//
// Class IN only. No EDNS Client Subnet. Denials kept are not made into answers out of
// wildcards (RFC 8198 §5.3). A trust anchor below the zone asked counts only behind a
// forwarder and behind a referral: where one server holds a zone that no anchor covers and
// an island below it, the island is indeterminate until its cut is known.
package resolve

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

// Network carries one question to one server. It sends query to addr:port over UDP,
// or TCP when tcp is set, from a fresh socket with a random port, and hands accept
// every message that arrives from that server until accept returns true (nil is
// returned) or ctx ends (its error is returned). It looks into no message: what is
// accepted is the resolver's decision. An error with a method Local that returns true is
// of the machine's own making. accept is not called after Exchange has
// returned, nor from two goroutines at a time, and keeps nothing of reply.
type Network interface {
	Exchange(ctx context.Context, addr netip.Addr, port uint16, tcp bool, query []byte, accept func(reply []byte) bool) error
}

// Memory is the cache of answers by question. Names are given in canonical form.
type Memory interface {
	Get(name dns.Name, t dns.Type, now time.Time) (*answer.Answer, bool)
	Put(a *answer.Answer, now time.Time)
}

// Config is what a Resolver is made of. Network and Memory are required.
type Config struct {
	Network Network
	Memory  Memory

	// Hints are the root servers to prime from; nil means RootHints().
	Hints []Hint

	// Zones are the stub and forward zones. A forward zone at the root has everything
	// forwarded that no other zone holds.
	Zones []Zone

	// Copies are the zones with a local copy.
	Copies []Copy

	Minimise Minimise

	// TTLs bounds how long answers are remembered.
	TTLs TTLs

	// Port is where the servers of hints and delegations listen; 0 means 53.
	Port uint16

	// Loopback lets delegations point to loopback addresses. It is implied for all
	// that hints or a zone's servers on such addresses lead to.
	Loopback bool

	// NoCookies keeps the resolver from sending DNS cookies (RFC 7873).
	NoCookies bool

	// NoIPv4 and NoIPv6 keep the resolver from using an address family.
	NoIPv4, NoIPv6 bool

	// Anchors are the trust anchors for validation (RFC 4033 §5). Without any,
	// nothing is validated, and every answer is indeterminate.
	Anchors []dnssec.Anchor

	// Exempt lists zones that are taken for unsigned: negative trust anchors (RFC 7646).
	Exempt []dns.Name

	// Aggressive has questions answered from proven denials that other answers brought
	// along (RFC 8198).
	Aggressive bool

	// Validation holds the choices of package dnssec.
	Validation dnssec.Config

	// Seed makes the order in which servers are tried a function of it, for simulations; 0
	// leaves that to chance. What a forger would have to guess never depends on it.
	Seed uint64
}

const domainPort = 53

// Resolver resolves. It is safe for concurrent use.
type Resolver struct {
	network        Network
	memory         Memory
	minimise       Minimise
	ttls           TTLs
	port           uint16
	loopback       bool
	noCookies      bool
	noIPv4, noIPv6 bool

	cuts     cuts
	servers  *boundedMap[serverKey, *server]
	families families
	failures *failures
	requests *flights[*answer.Answer]
	asking   *flights[finding]
	open     *boundedMap[dns.Name, time.Time] // names at which no zone begins, until then
	dnames   atomic.Bool                      // a DNAME was remembered

	validator *dnssec.Validator // nil: nothing is validated
	exempt    map[dns.Name]bool
	footing   atomic.Pointer[footing]

	configured []dnssec.Anchor // as they were given
	aggressive bool            // denials are kept and used

	totals totals
	chance chance
}

// New makes a Resolver.
func New(c Config) *Resolver {
	r := &Resolver{
		network: c.Network, memory: c.Memory, minimise: c.Minimise, ttls: c.TTLs.orDefaults(),
		port: c.Port, loopback: c.Loopback, noCookies: c.NoCookies, noIPv4: c.NoIPv4, noIPv6: c.NoIPv6,
		cuts:     cuts{fixed: make(map[dns.Name]*cut), m: newBoundedMap[cutKey, *cut](maxCuts)},
		servers:  newBoundedMap[serverKey, *server](maxServers),
		failures: newFailures(),
		requests: newFlights[*answer.Answer](),
		asking:   newFlights[finding](),
		open:     newBoundedMap[dns.Name, time.Time](maxOpen),
	}
	if c.Seed != 0 {
		r.chance.rng = rand.New(rand.NewPCG(c.Seed, 0))
	}
	if len(c.Anchors) > 0 {
		r.trustFrom(c)
	}
	if r.port == 0 {
		r.port = domainPort
	}
	if c.Hints == nil {
		c.Hints = RootHints()
	}
	r.cuts.fixed[dns.Root] = r.hintsCut(c.Hints)
	r.enterZones(c.Zones)
	r.enterCopies(c.Copies)
	return r
}

// trustFrom sets validation up.
func (r *Resolver) trustFrom(c Config) {
	r.validator = dnssec.New(c.Validation)
	r.configured, r.aggressive = c.Anchors, c.Aggressive
	anchors := make(map[dns.Name][]dnssec.DS)
	for _, a := range c.Anchors {
		anchors[a.Zone.Canonical()] = append(anchors[a.Zone.Canonical()], a.DS)
	}
	r.footing.Store(r.newFooting(anchors))
	r.exempt = make(map[dns.Name]bool)
	for _, name := range c.Exempt {
		r.exempt[name.Canonical()] = true
	}
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
	return r.answer(ctx, name, t, 0)
}

// Refresh answers a question as Resolve does, and as if it were asked a while later: what
// memory holds for less than ahead, answers and zone cuts, is learned anew. So an answer
// can be renewed before its end, together with the delegation that it hangs on. It shares
// the work with whoever resolves the question at the time. A failure replaces nothing:
// memory keeps it beside the answer that it has.
func (r *Resolver) Refresh(ctx context.Context, name dns.Name, t dns.Type, ahead time.Duration) *answer.Answer {
	return r.answer(ctx, name, t, max(ahead, 0))
}

func (r *Resolver) answer(ctx context.Context, name dns.Name, t dns.Type, ahead time.Duration) *answer.Answer {
	q := question{name.Canonical(), t}
	if t.IsMeta() && t != dns.TypeANY {
		return answer.New(answer.Parts{Name: q.name, Type: t, RCode: dns.RCodeNotImplemented, Born: r.now()})
	}
	a, err := r.requests.do(ctx, flightKey{nil, "", q.name, t}, func() (*answer.Answer, error) {
		return r.request(ctx, q, ahead)
	}, ownAffair)
	if err != nil {
		return errGone.answer(q, r.now(), 0)
	}
	return a
}

// request resolves one client's question with a budget of its own. It fails only
// where ctx has ended.
func (r *Resolver) request(ctx context.Context, q question, ahead time.Duration) (*answer.Answer, error) {
	w := newWork(r.now())
	defer r.totals.count(w)
	w.ahead = ahead
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
	whole, ahead, refused := w.deadline, w.ahead, w.refused
	w.ahead = 0 // addresses of name servers serve to their end
	if end := r.now().Add(maxSubWall); end.Before(whole) {
		w.deadline = end
	}
	a, err := r.follow(ctx, w, q)
	w.deadline, w.ahead = whole, ahead
	w.pop()
	if err == nil && !a.Status().IsBogus() {
		return a
	}
	if err != nil && !ownAffair(err) && w.refused == refused {
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
