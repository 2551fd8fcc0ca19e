// Package serve is one query's journey: from a parsed request to the bytes of its reply.
//
// A Server is one view. The filtered view and its unfiltered twin are two Servers over one
// cache and one resolver; the twin has no list, and that is their only difference. What a
// query is answered is a function of the query's bytes, the view, the list's epoch and what
// the Internet said: no type here has a place for a client.
//
// # The way of a query
//
// What is no question for data is answered at once (odd.go): other classes, meta types,
// transfers, ANY, queries that do not desire recursion. So are special-use names
// (special.go), in both views. Every other question goes this way, with one list from
// start to end:
//
//  1. The question's name is listed: a filtered answer (filtered.go). Nobody is asked, and a
//     cached answer is not looked at, so malware's own servers hear nothing.
//  2. The answer comes from the cache, or (Miss) from the resolver.
//  3. It is bogus, and the query does not set CD: SERVFAIL. A filter does not judge what an
//     attacker may have written.
//  4. It leads to a listed name or address: the same filtered answer, for the name that was
//     asked.
//  5. Otherwise it is given out as it is.
//
// Steps 1 and 4 leave a memo in the cached entry, under a mark for the list: a name that was
// found to pass is not looked up again until the list changes.
//
// # Replies
//
// The question is repeated as it was sent. QR and RA are set, AA is not, RD and CD are
// copied. AD is set on a secure answer if the query had AD or DO (RFC 6840 §5.8). A query
// with EDNS gets an OPT record, and with it an Extended DNS Error (RFC 8914) where there is
// something to explain. Answers hold no additional records. Records keep the order in which
// they were learned: a rotation would make two clients' bytes differ. A reply that is longer
// than the transport takes is cut to its question, with TC (RFC 2181 §9).
//
// # Limits and known faults
//
// Stale data is not served, and the options for cookies and NSID are ignored.
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

	// Live is the list. Without one the view is unfiltered.
	Live *filter.Live

	// Sinkhole4 and Sinkhole6 are given for A and AAAA of what is listed. A family
	// without one gets an empty answer.
	Sinkhole4, Sinkhole6 netip.Addr
	BlockTTL             time.Duration // of filtered answers; 0 is DefaultBlockTTL

	// Lab lets test. be resolved like other names.
	Lab bool
	// Ordinary are further special-use names to resolve like others, such as a private
	// reverse zone for which a server is configured.
	Ordinary []dns.Name

	// Identity and Version are told to who asks for id.server or version.server in class
	// CH (RFC 4892), or by their names for BIND. Where empty, they are refused.
	Identity, Version string

	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Server answers the queries of one view. Its methods may be called from any goroutine.
type Server struct {
	cfg      Config
	blockTTL uint32 // seconds
	special  map[string]special
	lengths  [dns.MaxName + 1]bool // of the names in special

	current  atomic.Pointer[snapshot]
	marking  sync.Mutex
	encoders sync.Pool // of *cache.Encoded
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
	s := &Server{cfg: cfg, blockTTL: uint32(cfg.BlockTTL / time.Second)}
	s.special = specialNames(cfg)
	for name := range s.special {
		s.lengths[len(name)] = true
	}
	s.encoders.New = func() any { return new(cache.Encoded) }
	s.current.Store(new(snapshot))
	return s
}

// snapshot is the list in force.
func (s *Server) snapshot() *snapshot {
	current := s.current.Load()
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
	s.marking.Lock()
	defer s.marking.Unlock()
	current := s.current.Load()
	if list == current.list {
		return current
	}
	current = &snapshot{list: list, mark: s.cfg.Cache.NewMark(current.mark)}
	s.current.Store(current)
	return current
}

// Hit answers from memory: it appends the reply to out, or reports false if the query needs
// Miss. It never blocks, and allocates nothing where the capacity of out suffices.
func (s *Server) Hit(q *dns.Query, out []byte) ([]byte, bool) {
	if isOdd(q) {
		return s.odd(q, out), true
	}
	if at, kind := s.isSpecial(q.Name()); kind != ordinary && !asksParent(q, at) {
		return s.local(q, out, at, kind), true
	}
	return s.hit(q, out, s.snapshot())
}

func (s *Server) hit(q *dns.Query, out []byte, snap *snapshot) ([]byte, bool) {
	var e cache.Entry
	now := s.cfg.Now()
	known := s.cfg.Cache.Find(&e, q.Name(), q.Type, now)
	passed := snap.list == nil || known && e.Passed(snap.mark)
	if !passed {
		if v, listed := snap.list.Match(q.Name()); listed {
			return s.filtered(q, out, v), true
		}
	}
	if !known || !e.Fresh(now) {
		return out, false
	}
	if e.Status().IsBogus() && !q.Flags.Has(dns.FlagCD) {
		return s.bogus(q, out, &e)
	}
	if !passed {
		v, verdict := s.judge(&e, snap)
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
	if at, kind := s.isSpecial(q.Name()); kind != ordinary && !asksParent(q, at) {
		return s.local(q, out, at, kind)
	}
	snap := s.snapshot()
	if out, ok := s.hit(q, out, snap); ok { // another query brought the answer meanwhile
		return out
	}
	a := s.cfg.Resolver.Resolve(ctx, dns.Name(q.Name()), q.Type)
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
	if snap.list != nil {
		if v, listed := snap.list.Judge(a); listed {
			return s.filtered(q, out, v)
		}
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

// judge judges a cached answer whose question's name is not listed, as filter.List.Judge
// does, and notes that it passes.
//
//go:noinline
func (s *Server) judge(e *cache.Entry, snap *snapshot) (filter.Verdict, verdict) {
	var room [leadsRoom]byte
	leads, ok := e.Leads(room[:])
	if !ok {
		return filter.Verdict{}, unknown
	}
	for len(leads) > 0 {
		var name []byte
		var addr netip.Addr
		name, addr, leads = cache.NextLead(leads)
		var v filter.Verdict
		var hit bool
		if name != nil {
			v, hit = snap.list.Match(name)
		} else {
			v, hit = snap.list.MatchAddr(addr)
		}
		if hit {
			return v, listed
		}
	}
	e.Pass(snap.mark)
	return filter.Verdict{}, passes
}
