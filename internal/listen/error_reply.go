package listen

import "github.com/shoji-dns/shoji/internal/dns"

// overloadedText goes with the Extended DNS Error "Other" of a query that was shed.
const overloadedText = "overloaded"

// appendOverloaded appends the reply to a query for which there is no place.
func appendOverloaded(out []byte, q *dns.Query) []byte {
	return appendFailure(out, q, q.ReplyFlags(), dns.RCodeServerFailure, dns.ErrorOption(dns.EDEOther, overloadedText))
}

// refuse answers a packet from a source that is not served.
func refuse(q *dns.Query, packet, out []byte, t *tally) ([]byte, outcome) {
	if !parse(q, packet, &out, t) {
		return out, settled(out)
	}
	t.refused++
	return appendFailure(out, q, q.ReplyFlags(), dns.RCodeRefused, dns.ErrorOption(dns.EDEProhibited, "")), ready
}

// truncate answers a packet with its question and TC alone: ask again over TCP.
func truncate(q *dns.Query, packet, out []byte, t *tally) ([]byte, outcome) {
	if !parse(q, packet, &out, t) {
		return out, settled(out)
	}
	return appendFailure(out, q, q.ReplyFlags()|dns.FlagTC, dns.RCodeSuccess), ready
}

// appendFailure appends a reply without records: the question, and EDNS with
// options where q has EDNS. It fits the shortest MaxReply, as a question of the
// longest name takes 271 octets and an option of ours under 30.
func appendFailure(out []byte, q *dns.Query, f dns.Flags, r dns.RCode, options ...dns.Option) []byte {
	var b dns.Builder
	b.Reset(out, q.MaxReply)
	b.Header(q.ID, f.WithRCode(r))
	b.Question(q.RawName(), q.Type, q.Class)
	if q.HasEDNS {
		b.OPT(dns.DefaultUDPSize, r, q.DO, options...)
	}
	return b.Bytes()
}
