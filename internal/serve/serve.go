// Package serve is one query's journey: from a parsed request to the bytes of its reply.
//
// A Server is one view. The filtered view and its unfiltered twin are two Servers over one
// cache and one resolver; the twin has no list, and that is their only difference. Where nobody on
// the way shall see which one is asked, both are, and one reply is dropped (even.go). What a
// query is answered is a function of the query's bytes, the view, the list's epoch and what
// the Internet said: no type here has a place for a client.
//
// # The way of a query
//
// What is no question for data is answered at once (odd.go): other classes, meta types,
// transfers, ANY, queries that do not desire recursion. So are the names of local zones
// (local.go): special-use names (special.go) and the operator's own data, in both views and
// before the list is asked, which judges what an operator learned from others. Every other question goes this way, with one list from
// start to end:
//
//  1. The question's name is listed: a filtered answer (filtered.go). Nobody is asked, and a
//     cached answer is not looked at, so malware's own servers hear nothing.
//  2. The answer comes from the cache, or (Miss) from the resolver. Where neither has a
//     fresh one in time, it is a stale one from the cache (stale.go).
//  3. It is bogus, and the query does not set CD: SERVFAIL. A filter does not judge what an
//     attacker may have written.
//  4. It leads to a listed name or address: the same filtered answer, for the name that was
//     asked.
//  5. The name is a root key sentinel (RFC 8509) that asks for SERVFAIL: it gets that. The
//     cache, and with it both views, keep what the Internet said.
//  6. Otherwise it is given out as it is.
//
// Steps 1, 4 and 5 leave a memo in the cached entry, under a mark for the list: a name that was
// found to pass is not looked up again until the list changes.
//
// # Answers past their time
//
// RFC 8767 has four timers. A client waits for a fresh answer as long as Stale.ClientTimeout
// says (refresh.go: what it does not wait for goes on). A resolution ends by package
// resolve's own limits. Its failure is remembered there for 1 to 30 s, and for so long a
// stale answer comes from memory without a question. An answer is stale for as long as
// Stale.MaxAge says. Bogus data is never given as stale; in its place an answer may be that
// was validated before. An answer that is asked for in the last tenth of its time is renewed
// before its end (prefetch.go).
//
// # Replies
//
// The question is repeated as it was sent. QR and RA are set, RD and CD are copied, AA
// is set on answers from local zones alone: so local data never passes for the Internet's. AD is set on a secure answer if the query had AD or DO (RFC 6840 §5.8). A query
// with EDNS gets an OPT record, and with it an Extended DNS Error (RFC 8914) where there is
// something to explain. Answers hold no additional records. Records keep the order in which
// they were learned: a rotation would make two clients' bytes differ. A reply that is longer
// than the transport takes is cut to its question, with TC (RFC 2181 §9).
//
// # Limits and known faults
//
// A stale answer's AD says what was found when it was learned: signatures that have expired
// since are not looked at. With DNS64, questions for AAAA get no stale answer.
package serve

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/sde"
)

// DefaultBlockTTL is the TTL of filtered answers where none is configured. It is short, so
// that a delisting is soon felt behind other caches too.
const DefaultBlockTTL = 10 * time.Second

// Resolver finds answers that the cache does not have. *resolve.Resolver is one. The answer
// is never nil; a failure is an answer too.
type Resolver interface {
	Resolve(ctx context.Context, name dns.Name, t dns.Type) *answer.Answer
}

// Config is what a Server needs to know.
type Config struct {
	Cache    *cache.Cache // shared with the other view and the resolver
	Resolver Resolver

	// Refresher resolves in the background. Stale and Prefetch need one; it is shared
	// with the other view.
	Refresher *Refresher
	Stale     Stale
	// Prefetch has answers renewed that are asked for in the last tenth of their TTL.
	Prefetch bool

	// Cover has another name asked for where a listed one is not; nil does not. It belongs to
	// a view whose resolver asks others over encrypted transports.
	Cover *Cover

	// Live is the list. Without one the view is unfiltered.
	Live *filter.Live
	// Required has questions answered SERVFAIL, with EDE 14, until Live was given a list.
	Required bool

	// Sinkhole4 and Sinkhole6 are given for A and AAAA of what is listed. A family
	// without one gets an empty answer.
	Sinkhole4, Sinkhole6 netip.Addr
	BlockTTL             time.Duration // of filtered answers; 0 is DefaultBlockTTL

	// Logs are the names of the logs whose lists are joined in Live, by their place there
	// (filter.Join): with several, filtered answers say whose entry they name, as
	// citation.Names has it.
	Logs []string

	// Structured holds what clients are told that ask for structured errors; nil, and before
	// it was given one, is that a name is malware's.
	Structured *atomic.Pointer[sde.Template]

	// Local are the zones that are answered from here at first; nil is those that are built in.
	Local *Local

	// Rebinding withholds answers of public names with private addresses; nil does not.
	Rebinding *Rebinding
	// DNS64 makes AAAA records of A records; nil does not.
	DNS64 *DNS64

	// Sentinel reports whether a question is a root key sentinel to which SERVFAIL is the
	// answer, given the status of what the Internet said (RFC 8509). nil: no name is one.
	Sentinel func(name []byte, t dns.Type, s answer.Status) bool

	// Nonrecursive has queries without RD answered from memory. Without it they are refused.
	Nonrecursive bool

	// Identity and Version are told to who asks for id.server or version.server in class
	// CH (RFC 4892), or by their names for BIND. Where empty, they are refused.
	Identity, Version string

	// Status is told to who asks for the TXT records of status.shoji in class CH; nil: it is
	// refused.
	Status func() Status

	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Server answers the queries of one view. Its methods may be called from any goroutine.
type Server struct {
	cfg       Config
	blockTTL  uint32 // seconds
	local     *atomic.Pointer[Local]
	rebinding *rebinding // nil: off
	staleTTL  uint32     // seconds

	withheldText *sde.Template
	filters      [filterCounts]filterCount

	judging  *judging
	encoders *sync.Pool // of *cache.Encoded
}

// judging is the list by which a view judges.
type judging struct {
	current atomic.Pointer[snapshot]
	marking sync.Mutex
}

// snapshot is the list that one query is judged by, nil in the unfiltered view, and what
// stands for it in the cache's memos.
type snapshot struct {
	list *filter.List
	mark cache.Mark
}

// New makes a Server.
func New(cfg Config) *Server {
	if cfg.BlockTTL == 0 {
		cfg.BlockTTL = DefaultBlockTTL
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Local == nil {
		cfg.Local, _ = NewLocal(LocalConfig{}) // what is built in is without fault
	}
	if cfg.Structured == nil {
		cfg.Structured = new(atomic.Pointer[sde.Template])
	}
	cfg.Structured.CompareAndSwap(nil, mustTemplate(sde.Detail{SubError: sde.Malware}))
	if cfg.Refresher == nil {
		cfg.Stale, cfg.Prefetch = Stale{}, false
	}
	s := &Server{
		cfg: cfg, blockTTL: uint32(cfg.BlockTTL / time.Second), staleTTL: uint32(cfg.Stale.AnswerTTL / time.Second), local: new(atomic.Pointer[Local]),
		rebinding: newRebinding(cfg.Rebinding, cfg.DNS64), judging: new(judging),
		encoders: &sync.Pool{New: func() any { return new(cache.Encoded) }},
	}
	s.withheldText = mustTemplate(sde.Detail{Justification: reboundText, SubError: sde.OperatorPolicy, Language: "en"})
	s.judging.current.Store(s.first())
	s.local.Store(cfg.Local)
	return s
}

// SetLocal puts other local zones in the place of those that there are.
func (s *Server) SetLocal(l *Local) { s.local.Store(l) }

// first is the snapshot of a view without a list, or before it has one. An empty list has
// answers judged by what else there is to judge them.
func (s *Server) first() *snapshot {
	if s.rebinding == nil || s.cfg.Live != nil {
		return new(snapshot)
	}
	return &snapshot{list: new(filter.List), mark: s.cfg.Cache.NewMark(0)}
}

// snapshot is the list in force.
func (s *Server) snapshot() *snapshot {
	current := s.judging.current.Load()
	if s.cfg.Live == nil {
		return current
	}
	if list := s.cfg.Live.Load(); list != current.list {
		return s.remark(list)
	}
	return current
}

// remark makes a list that was swapped in the current one, with a mark of its own.
func (s *Server) remark(list *filter.List) *snapshot {
	s.judging.marking.Lock()
	defer s.judging.marking.Unlock()
	current := s.judging.current.Load()
	if list == current.list {
		return current
	}
	current = &snapshot{list: list, mark: s.cfg.Cache.NewMark(current.mark)}
	s.judging.current.Store(current)
	return current
}

// Hit answers from memory: it appends the reply to out, or reports false if the query needs
// Miss. It never blocks, and allocates nothing where the capacity of out suffices.
func (s *Server) Hit(q *dns.Query, out []byte) ([]byte, bool) {
	if isOdd(q) {
		return s.odd(q, out), true
	}
	if at, zone := s.local.Load().find(q.Name()); zone != nil {
		if out, o := s.fromLocal(q, out, at, zone); o != resolved {
			return out, o == answered
		}
	}
	if s.cfg.Required && s.waits() {
		return s.unready(q, out), true
	}
	if s.uncovered(q) {
		return out, false
	}
	if s.cfg.DNS64 != nil && s.cfg.DNS64.synthesises(q) {
		return s.hit64(q, out, s.snapshot())
	}
	return s.hit(q, out, s.snapshot())
}

// waits reports that the view has no list yet.
func (s *Server) waits() bool { return s.snapshot().list.Bytes() == 0 }

// unready answers while there is no list by which to answer: a client with another resolver
// turns to that one.
func (s *Server) unready(q *dns.Query, out []byte) []byte {
	return s.fail(q, out, dns.EDENotReady, "the list is not here yet")
}

// now is when q was received, where its transport says so.
func (s *Server) now(q *dns.Query) time.Time {
	if q.Received.IsZero() {
		return s.cfg.Now()
	}
	return q.Received
}

func (s *Server) hit(q *dns.Query, out []byte, snap *snapshot) ([]byte, bool) {
	var e cache.Entry
	now := s.now(q)
	known := s.cfg.Cache.Find(&e, q.Name(), q.Type, now)
	passed := snap.list == nil || known && e.Passed(snap.mark)
	if !passed {
		if v, listed := snap.list.Match(q.Name()); listed {
			return s.filtered(q, out, v), true
		}
	}
	if !known {
		return out, false
	}
	if !e.Young(now) || e.IsFailure() {
		return s.aged(q, out, snap, &e, passed, now)
	}
	if !passed {
		v, verdict := s.judge(&e, snap, q.Name())
		switch verdict {
		case unknown:
			return out, false
		case listed:
			return s.filtered(q, out, v), true
		}
	}
	return s.write(q, out, &e, now)
}

// Miss answers a query that needs the network.
func (s *Server) Miss(ctx context.Context, q *dns.Query, out []byte) []byte {
	if isOdd(q) {
		return s.odd(q, out)
	}
	if at, zone := s.local.Load().find(q.Name()); zone != nil {
		switch out, o := s.fromLocal(q, out, at, zone); o {
		case answered:
			return out
		case aliased:
			if s.cfg.Required && s.waits() {
				return s.unready(q, out)
			}
			return s.follow(ctx, q, out)
		}
	}
	if s.cfg.Required && s.waits() {
		return s.unready(q, out)
	}
	if s.uncovered(q) {
		s.cfg.Cover.give(ctx, q, s.now(q))
	}
	if s.cfg.DNS64 != nil && s.cfg.DNS64.synthesises(q) {
		return s.miss64(ctx, q, out)
	}
	snap := s.snapshot()
	if out, ok := s.hit(q, out, snap); ok { // another query brought the answer meanwhile
		return out
	}
	if out, ok := s.patient(ctx, q, out, snap); ok {
		return out
	}
	a := s.cfg.Resolver.Resolve(ctx, dns.Name(q.Name()), q.Type)
	if s.cfg.Cover != nil && len(a.Answer()) > 0 {
		s.cfg.Cover.note(a.Name(), q.Type)
	}
	return s.give(q, out, a, snap)
}

// give writes an answer that was just learned. The name that was asked is not listed.
func (s *Server) give(q *dns.Query, out []byte, a *answer.Answer, snap *snapshot) []byte {
	enc := s.encoders.Get().(*cache.Encoded)
	defer s.encoders.Put(enc)
	var e cache.Entry
	if !enc.Entry(a, &e) {
		return s.fail(q, out, dns.EDEOther, "the answer does not fit into a message")
	}
	if a.Status().IsBogus() && !q.Flags.Has(dns.FlagCD) {
		out, _ = s.bogus(q, out, &e)
		return out
	}
	if v, listed := s.judgeAnswer(snap, q.Name(), a); listed {
		return s.filtered(q, out, v)
	}
	out, _ = s.write(q, out, &e, s.cfg.Now())
	return out
}

// verdict is what judge finds.
type verdict uint8

const (
	unknown verdict = iota // the entry was evicted meanwhile, or is too long to judge here
	passes
	listed
)

// leadsRoom is how many octets of an entry's leads are judged without allocating: those of
// a chain of two of the longest names and some addresses. Others need Miss.
const leadsRoom = 640

// judge judges a cached answer to a question for name, which is not listed, as judgeAnswer
// does, and notes that it passes.
//
//go:noinline
func (s *Server) judge(e *cache.Entry, snap *snapshot, name []byte) (filter.Verdict, verdict) {
	var room [leadsRoom]byte
	leads, ok := e.Leads(room[:])
	if !ok {
		return filter.Verdict{}, unknown
	}
	private := false
	for len(leads) > 0 {
		var target []byte
		var addr netip.Addr
		target, addr, leads = cache.NextLead(leads)
		var v filter.Verdict
		var hit bool
		if target != nil {
			v, hit = snap.list.Match(target)
		} else {
			v, hit = snap.list.MatchAddr(addr)
			private = private || s.forbids(name, addr)
		}
		if hit {
			return v, listed
		}
	}
	if private {
		return rebound, listed
	}
	e.Pass(snap.mark)
	return filter.Verdict{}, passes
}
