package feed

import (
	"strings"
)

// maxFields bounds the fields of a CSV line; the widest known feed has 15.
const maxFields = 64

// columns are where a CSV file's header says that things are; -1 where it does not.
type columns struct {
	subject, kind, family, reference, first, last int
	width                                         int
}

// The names that known feeds give to a column, the first that is there counts:
// URLhaus, ThreatFox, Feodo Tracker and SSLBL of abuse.ch, and Blackbook.
var (
	subjectColumns   = []string{"ioc_value", "ioc", "url", "dst_ip", "dstip", "domain", "host", "hostname", "fqdn", "ip", "ip_address"}
	kindColumns      = []string{"ioc_type"}
	familyColumns    = []string{"malware_printable", "malware", "family"}
	referenceColumns = []string{"reference", "urlhaus_link", "source"}
	firstColumns     = []string{"first_seen_utc", "first_seen", "firstseen", "dateadded", "date_added"}
	lastColumns      = []string{"last_seen_utc", "last_online", "last_seen"}
)

// header reads a line as a header; nil if it names no column with a subject.
func header(s string) *columns {
	s = strings.TrimSpace(strings.TrimLeft(s, "#"))
	fields, ok := csvFields(s)
	if !ok || len(fields) < 2 {
		return nil
	}
	at := map[string]int{}
	for i, f := range fields {
		f = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(f)), " ", "_")
		if _, dup := at[f]; !dup {
			at[f] = i
		}
	}
	find := func(names []string) int {
		for _, n := range names {
			if i, ok := at[n]; ok {
				return i
			}
		}
		return -1
	}
	c := &columns{subject: find(subjectColumns), kind: find(kindColumns), family: find(familyColumns),
		reference: find(referenceColumns), first: find(firstColumns), last: find(lastColumns), width: len(fields)}
	if c.subject < 0 {
		return nil
	}
	return c
}

// csv parses one line of comma-separated values. Its header comes first, in a
// comment or not.
func (p *parser) csv(s string) error {
	if s[0] == '#' {
		p.rep.Comments++
		if c := header(s); c != nil && p.cols == nil {
			p.cols = c
		}
		return nil
	}
	if p.cols == nil {
		if p.cols = header(s); p.cols != nil {
			p.skip(SkipHeader)
			return nil
		}
		p.malformed([]byte(s), "no header line says what the columns are")
		return nil
	}
	fields, ok := csvFields(s)
	if !ok {
		p.malformed([]byte(s), "a quote that does not end on its line, or too many fields")
		return nil
	}
	get := func(i int) string {
		if i < 0 || i >= len(fields) {
			return ""
		}
		if f := strings.TrimSpace(fields[i]); f != "None" {
			return f
		}
		return ""
	}
	if p.cols.subject >= len(fields) {
		p.malformed([]byte(s), "fewer fields than the header has")
		return nil
	}
	switch kind := get(p.cols.kind); kind {
	case "", "domain", "url", "ip:port", "ip", "ipv4", "ipv6":
	default:
		p.skip(SkipOther)
		return nil
	}
	sub, pr := parseSubject(get(p.cols.subject))
	if !pr.ok() {
		p.fail(s, pr)
		return nil
	}
	return p.claim(sub, Claim{
		Family:    bounded(get(p.cols.family), MaxFamily),
		Reference: bounded(get(p.cols.reference), MaxReference),
		First:     parseTime(get(p.cols.first)),
		Last:      parseTime(get(p.cols.last)),
	})
}

// csvFields cuts a line at its commas (RFC 4180, blanks before a quote allowed).
func csvFields(s string) (fields []string, ok bool) {
	for len(fields) < maxFields {
		s = strings.TrimLeft(s, " \t")
		var f string
		if strings.HasPrefix(s, `"`) {
			if f, s, ok = quoted(s[1:]); !ok {
				return nil, false
			}
			fields = append(fields, f)
			if s = strings.TrimLeft(s, " \t"); s == "" {
				return fields, true
			}
			if s[0] != ',' {
				return nil, false
			}
			s = s[1:]
			continue
		}
		i := strings.IndexByte(s, ',')
		if i < 0 {
			return append(fields, strings.TrimRight(s, " \t")), true
		}
		fields = append(fields, strings.TrimRight(s[:i], " \t"))
		s = s[i+1:]
	}
	return nil, false
}

// quoted reads a quoted field whose opening quote is behind it.
func quoted(s string) (f, rest string, ok bool) {
	i := strings.IndexByte(s, '"')
	if i < 0 {
		return "", "", false
	}
	if i+1 == len(s) || s[i+1] != '"' {
		return s[:i], s[i+1:], true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '"' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 == len(s) || s[i+1] != '"' {
			return b.String(), s[i+1:], true
		}
		b.WriteByte('"')
		i++
	}
	return "", "", false
}
