package serve

import "github.com/shoji-dns/shoji/internal/dns"

// statusName is asked for in class CH, as a server's own names are (RFC 4892).
const statusName = "\x06status\x05shoji\x00"

// maxStatus is the longest string of a TXT record in octets (RFC 1035 §3.3).
const maxStatus = 255

// Status is how the resolver stands. It is the same for whoever asks.
type Status struct {
	Lines []string // the strings of one TXT record, each KEY=VALUE; MaxStatusLines at most are told
	Alarm string   // what is wrong, told as an Extended DNS Error; "": nothing is
}

// MaxStatusLines bounds what is told: with a question and EDNS it fits into 512 octets if no
// line is longer than 40.
const MaxStatusLines = 10

// status answers with how the resolver stands, with EDE 0 (Other Error) where something is
// wrong: none of the registered codes says that a log forked.
func (s *Server) status(q *dns.Query, out []byte) []byte {
	if s.cfg.Status == nil {
		return empty(q, out, dns.RCodeRefused, dns.EDENotSupported, "")
	}
	is := s.cfg.Status()
	start := len(out)
	out = begin(out, q, dns.RCodeSuccess)
	if q.Type == dns.TypeTXT || q.Type == dns.TypeANY {
		data := []byte{}
		for _, line := range is.Lines[:min(len(is.Lines), MaxStatusLines)] {
			line = line[:min(len(line), maxStatus)]
			data = append(append(data, byte(len(line))), line...)
		}
		if len(data) == 0 {
			data = []byte{0} // a TXT record has one string at least
		}
		out = append(appendRecord(out, toQuestion, dns.TypeTXT, dns.ClassCH, 0, len(data)), data...)
		count(out, start, answerCount)
	}
	if len(out)-start+optLen+q.Reply.Len() > q.MaxReply {
		return truncated(q, out[:start])
	}
	var room [maxText]byte
	why := explanation{is.Alarm != "", dns.EDEOther, append(room[:0], is.Alarm[:min(len(is.Alarm), maxText)]...)}
	return appendOPT(out, start, q, dns.RCodeSuccess, why)
}
