package serve

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/dns"
)

// localText is the EXTRA-TEXT of what an operator's own zone answers. Its code is Synthesized:
// whoever looks can tell such an answer from the Internet's by it and by AA.
const localText = "local zone"

// maxLocalAliases is how many local CNAMEs follow each other: as many links as an answer
// from the Internet may have.
const maxLocalAliases = 11

// localOutcome is what becomes of a question for a name of a local zone.
type localOutcome uint8

const (
	resolved localOutcome = iota // like other names
	answered
	aliased // by a CNAME, whose target needs Miss
)

// fromLocal answers a question for a name of the zone that begins at an offset of it.
//
// A question for the DS of a zone belongs to the zone above, which is asked. So a client that
// validates finds the proof that a private zone need not be signed (RFC 8375 §4, RFC 6303 §7).
//
//go:noinline
func (s *Server) fromLocal(q *dns.Query, out []byte, at int, zone *localZone) ([]byte, localOutcome) {
	recursive := q.Flags.Has(dns.FlagRD)
	if q.Type == dns.TypeDS && at == 0 && zone.parent && recursive {
		return out, resolved
	}
	verdict, set := zone.decide(q.Name(), q.Type, at)
	switch {
	case verdict == localResolve:
		return out, resolved
	case verdict == localAlias && recursive && q.Type != dns.TypeANY:
		return out, aliased
	}
	return s.writeLocal(q, out, at, zone, verdict, set), answered
}

// writeLocal writes the reply.
func (s *Server) writeLocal(q *dns.Query, out []byte, at int, zone *localZone, verdict localVerdict, set *localSet) []byte {
	start := len(out)
	r := verdict.rcode()
	out = begin(out, q, r)
	if r != dns.RCodeRefused {
		dns.PutFlags(out[start:], q.ReplyFlags().WithRCode(r)|dns.FlagAA)
	}
	switch {
	case r == dns.RCodeRefused:
	case q.Type == dns.TypeANY && r == dns.RCodeSuccess:
		out = appendHINFO(out, start, localTTL)
	case set != nil:
		out = append(out, set.wire...)
		binary.BigEndian.PutUint16(out[start+answerCount:], uint16(len(set.rrs)))
	case zone.kind == LocalStatic && at == 0 && q.Type == dns.TypeSOA:
		out = appendSOA(out, start, toQuestion, localTTL)
		binary.BigEndian.PutUint32(out[start+answerCount:], 1<<16) // it is the answer
	case zone.soa != nil:
		out = appendRecord(out, uint16(toQuestion+at), dns.TypeSOA, dns.ClassIN, zone.soaTTL, len(zone.soa))
		out = append(out, zone.soa...)
		count(out, start, authorityCount)
	default:
		out = appendSOA(out, start, uint16(toQuestion+at), localTTL)
	}
	if len(out)-start+optLen+q.Reply.Len() > q.MaxReply {
		return truncated(q, out[:start])
	}
	var room [len(localText)]byte
	why := explanation{present: !zone.builtIn, code: dns.EDESynthesized, text: append(room[:0], localText...)}
	return appendOPT(out, start, q, r, why)
}

func (v localVerdict) rcode() dns.RCode {
	switch v {
	case localAbsent:
		return dns.RCodeNameError
	case localRefused:
		return dns.RCodeRefused
	}
	return dns.RCodeSuccess
}

// follow answers a question whose name has a local CNAME: by local CNAMEs and then what the
// last of them leads to, here or on the Internet. A target on the Internet is judged like
// any answer, and a bogus one is SERVFAIL.
func (s *Server) follow(ctx context.Context, q *dns.Query, out []byte) []byte {
	p := answer.Parts{Name: dns.Name(q.Name()), Type: q.Type, Born: s.cfg.Now(), HasError: true, ErrorCode: dns.EDESynthesized, ErrorText: localText}
	return s.lead(ctx, q, out, p, dns.Name(q.RawName()))
}

// lead ends an answer that has led to name so far.
func (s *Server) lead(ctx context.Context, q *dns.Query, out []byte, p answer.Parts, name dns.Name) []byte {
	for range maxLocalAliases {
		lower := name.Canonical()
		verdict, set := localResolve, (*localSet)(nil)
		at, zone := s.local.Load().find([]byte(lower))
		if zone != nil {
			verdict, set = zone.decide([]byte(lower), q.Type, at)
		}
		switch verdict {
		case localResolve:
			return s.followOut(ctx, q, out, p, lower)
		case localAlias:
			link := set.rrs[0]
			link.Name = name
			p.Answer = append(p.Answer, link)
			name, _ = link.Target()
		default:
			p.RCode = verdict.rcode()
			if set == nil {
				p.Authority = append(p.Authority, zone.authority())
			} else {
				for _, r := range set.rrs {
					r.Name = name
					p.Answer = append(p.Answer, r)
				}
			}
			return s.compose(q, out, p)
		}
	}
	return s.fail(q, out, dns.EDEOther, "local CNAMEs lead on and on")
}

// followOut ends such an answer by what the Internet says about its target.
func (s *Server) followOut(ctx context.Context, q *dns.Query, out []byte, p answer.Parts, target dns.Name) []byte {
	snap := s.snapshot()
	if snap.list != nil { // before anybody is asked
		if v, listed := snap.list.Match([]byte(target)); listed {
			return s.filtered(q, out, v)
		}
	}
	a := s.cfg.Resolver.Resolve(ctx, target, q.Type)
	if a.Status().IsBogus() && !q.Flags.Has(dns.FlagCD) {
		return s.give(q, out, a, snap)
	}
	if v, listed := s.judgeAnswer(snap, q.Name(), a); listed {
		return s.filtered(q, out, v)
	}
	p.RCode, p.Born = a.RCode(), a.Born()
	age := uint32(max(s.cfg.Now().Sub(a.Born()), 0) / time.Second)
	for i := range p.Answer { // local data does not grow old
		p.Answer[i].TTL += age
	}
	p.Answer = slices.Concat(p.Answer, a.Answer())
	p.Authority = a.Authority()
	if code, text, ok := a.Error(); ok {
		p.HasError, p.ErrorCode, p.ErrorText = true, code, text
	}
	return s.compose(q, out, p)
}

// compose writes an answer that begins with what is known here.
func (s *Server) compose(q *dns.Query, out []byte, p answer.Parts) []byte {
	start := len(out)
	enc := s.encoders.Get().(*cache.Encoded)
	defer s.encoders.Put(enc)
	var e cache.Entry
	if !enc.Entry(answer.New(p), &e) {
		return s.fail(q, out, dns.EDEOther, "the answer does not fit into a message")
	}
	out, _ = s.write(q, out, &e, s.cfg.Now())
	_, zone := s.local.Load().find(q.Name())
	if zone != nil && (p.RCode == dns.RCodeSuccess || p.RCode == dns.RCodeNameError) {
		dns.PutFlags(out[start:], dns.Flags(binary.BigEndian.Uint16(out[start+2:]))|dns.FlagAA)
	}
	return out
}

// authority is the SOA of the zone's negative answers.
func (zone *localZone) authority() dns.RR {
	r := dns.RR{Name: zone.name, Type: dns.TypeSOA, Class: dns.ClassIN, TTL: zone.soaTTL, Data: zone.soa}
	if r.Data == nil {
		r.Data = appendNumbers(append([]byte(zone.name), soaNobody...), localTTL)
	}
	return r
}
