package listen

import "github.com/shoji-dns/shoji/internal/dns"

// What goes with the Extended DNS Error "Other" of a query that was shed.
const (
	overloadedText = "overloaded"
	crowdedText    = "too many questions of one network under way"
)

// appendOverloaded appends the reply to a query for which there is no place.
func appendOverloaded(out []byte, q *dns.Query, why string) []byte {
	return appendFailure(out, q, q.ReplyFlags(), dns.RCodeServerFailure, dns.ErrorOption(dns.EDEOther, why))
}

// refuse answers a packet from a source that is not served.
func refuse(q *dns.Query, packet, out []byte, t *tally) ([]byte, outcome) {
	if !parse(q, packet, &out, t) {
		return out, settled(out)
	}
	t.refused++
	return appendFailure(out, q, q.ReplyFlags(), dns.RCodeRefused, dns.ErrorOption(dns.EDEProhibited, "")), ready
}

// limit ends a packet that is over the rate of its source, after parse. Where it is answered at
// all, the reply is no longer than the packet but for a cookie: BADCOOKIE and a server cookie
// to come again with, where the client has one of its own (RFC 7873 §5.2.4), else TC: ask
// again over TCP. So a client proves its address either way.
func limit(q *dns.Query, verdict limitVerdict, parsed bool, out []byte) ([]byte, outcome) {
	switch {
	case verdict == limitDrop:
		return out, silent
	case !parsed:
		return out, settled(out)
	case q.HasCookie:
		return appendFailure(out, q, q.ReplyFlags(), dns.RCodeBadCookie), ready
	}
	return appendFailure(out, q, q.ReplyFlags()|dns.FlagTC, dns.RCodeSuccess), ready
}

// appendFailure appends a reply without records: the question, and EDNS with
// options where q has EDNS. It fits the shortest MaxReply, as a question of the
// longest name takes 271 octets and the options of ours under 100.
func appendFailure(out []byte, q *dns.Query, f dns.Flags, r dns.RCode, options ...dns.Option) []byte {
	var b dns.Builder
	b.Reset(out, q.MaxReply)
	b.Header(q.ID, f.WithRCode(r))
	b.Question(q.RawName(), q.Type, q.Class)
	if q.HasEDNS {
		b.OPT(dns.DefaultUDPSize, r, q.DO, options...)
		b.ReplyOptions(q)
	}
	return b.Bytes()
}
