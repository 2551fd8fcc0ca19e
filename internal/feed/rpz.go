package feed

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/shoji-dns/shoji/internal/dns"
)

// zone is what a zone file's earlier records say about later ones.
type zone struct {
	origin  dns.Name // what relative names are relative to; "" if the file does not say
	apex    dns.Name // owner of the SOA
	hasApex bool
	owner   string // owner of the record before, as a blank owner repeats it
	claimed string // owner that the last claim was made for
	depth   int    // parentheses open at the end of the line before

	wide   []Claim // of subtrees and prefixes, held back until all exceptions are known
	passes *Exceptions
}

// maxWide is how many claims of subtrees and prefixes of one zone are held back, of some 150
// octets each; the largest zones that are sold have some ten million records.
const maxWide = 16 << 20

// zoneTypes are the records that a policy zone has for itself.
var zoneTypes = map[string]bool{"SOA": true, "NS": true, "DNSKEY": true, "RRSIG": true, "NSEC": true, "NSEC3": true, "NSEC3PARAM": true, "CDS": true, "CDNSKEY": true}

// record parses one line of a policy zone. A record that goes on over several
// lines in parentheses is judged by its first.
func (p *parser) record(raw string) error {
	fields, depth, ok := zoneFields(raw)
	inside := p.zone.depth > 0
	p.zone.depth = max(0, p.zone.depth+depth)
	switch {
	case !ok:
		p.malformed([]byte(raw), "a quote that does not end on its line")
		return nil
	case inside || len(fields) == 0:
		p.rep.Comments++
		return nil
	case strings.HasPrefix(fields[0], "$"):
		p.directive(raw, fields)
		return nil
	}
	if raw[0] != ' ' && raw[0] != '\t' {
		p.zone.owner, fields = fields[0], fields[1:]
	}
	typ, rdata := zoneType(fields)
	switch {
	case p.zone.owner == "":
		p.malformed([]byte(raw), "a record without an owner")
	case typ == "":
		p.malformed([]byte(raw), "no record type")
	case typ == "SOA":
		p.zone.hasApex = true
		p.zone.apex = p.zone.absolute(p.zone.owner)
		p.skip(SkipZone)
	case zoneTypes[typ]:
		p.skip(SkipZone)
	default:
		return p.trigger(raw, typ, rdata)
	}
	return nil
}

func (p *parser) directive(raw string, fields []string) {
	switch {
	case fields[0] == "$TTL" && len(fields) == 2:
		p.skip(SkipZone)
	case fields[0] == "$ORIGIN" && len(fields) == 2:
		n, err := dns.ParseName(fields[1])
		if err != nil {
			p.malformed([]byte(raw), "an origin that is no name")
			return
		}
		p.zone.origin = n
		p.skip(SkipZone)
	default:
		p.malformed([]byte(raw), "a directive that policy zones do not have")
	}
}

// trigger claims what a record's owner stands for, if its policy is to withhold it.
func (p *parser) trigger(raw, typ string, rdata []string) error {
	owner, pr := p.zone.relative(p.zone.owner)
	if pr.ok() && typ == "CNAME" {
		if why := policySkip(rdata, owner); why != "" {
			p.skip(why)
			return p.pass(owner)
		}
	}
	if !pr.ok() {
		p.fail(raw, pr)
		return nil
	}
	if owner == p.zone.claimed {
		p.used = true // another record of a trigger that has been claimed
		return nil
	}
	sub, pr := parseTrigger(owner)
	if !pr.ok() {
		if pr.skip == SkipTrigger && len(p.rep.NotTaken) < MaxMalformed {
			p.rep.NotTaken = append(p.rep.NotTaken, excerpt([]byte(owner)))
		}
		p.fail(raw, pr)
		return nil
	}
	p.zone.claimed = owner
	if !sub.subtree && !sub.prefix.IsValid() {
		return p.claim(sub, Claim{Scope: Exact})
	}
	if len(p.zone.wide) == maxWide {
		return &Refused{Report: p.rep, Why: fmt.Sprintf("it has more than %d triggers of subtrees and address ranges", maxWide)}
	}
	p.used = true
	p.zone.wide = append(p.zone.wide, p.complete(sub, Claim{}))
	return nil
}

// pass notes what a policy lets pass, and yields it where that is asked for.
func (p *parser) pass(owner string) error {
	sub, pr := parseTrigger(owner)
	if !pr.ok() {
		return nil
	}
	c := p.complete(sub, Claim{Scope: Exact, Pass: true})
	if p.zone.passes == nil {
		p.zone.passes = NewExceptions()
	}
	p.zone.passes.Add(c)
	if p.zone.passes.size() > maxExceptions {
		return &Refused{Report: p.rep, Why: fmt.Sprintf("what it lets pass takes more than %d names and names above them", maxExceptions)}
	}
	if !p.o.Passes {
		return nil
	}
	return p.yield(c)
}

// endZone yields the claims that were held back, but those of which the zone itself lets a part pass.
func (p *parser) endZone() error {
	for _, c := range p.zone.wide {
		if p.zone.passes != nil && p.zone.passes.Within(c) {
			if p.rep.Overruled++; len(p.rep.FirstOverruled) < MaxMalformed {
				p.rep.FirstOverruled = append(p.rep.FirstOverruled, c.subject())
			}
			continue
		}
		if err := p.give(c); err != nil {
			return err
		}
	}
	return nil
}

// subject is what the claim is about, for a report.
func (c *Claim) subject() string {
	switch c.Scope {
	case Prefix:
		return c.Prefix.String()
	case Subtree:
		return "*." + strings.TrimSuffix(c.Name.String(), ".")
	}
	return strings.TrimSuffix(c.Name.String(), ".")
}

// policySkip is the reason to pass over a CNAME policy that does not withhold
// its trigger (draft-vixie-dnsop-dns-rpz §3), or "".
func policySkip(rdata []string, owner string) Reason {
	if len(rdata) == 0 {
		return ""
	}
	switch target := strings.ToLower(rdata[0]); {
	case target == "rpz-passthru.", strings.TrimSuffix(target, ".") == owner:
		return SkipPassthru
	case target == "rpz-tcp-only.":
		return SkipTCPOnly
	}
	return ""
}

// absolute is the name that text means in the zone file; "" if it is none or
// relative to an origin that the file does not say.
func (z *zone) absolute(text string) dns.Name {
	if text == "@" {
		return z.origin
	}
	n, err := dns.ParseName(text)
	switch {
	case err != nil:
		return ""
	case strings.HasSuffix(text, "."):
		return n
	case z.origin == "":
		return ""
	}
	return dns.Name(string(n[:len(n)-1]) + string(z.origin))
}

// relative is text in lower case without the zone's own name: the trigger.
func (z *zone) relative(text string) (string, problem) {
	text = strings.ToLower(text)
	if z.apex == "" && z.origin == "" && !strings.HasSuffix(text, ".") && text != "@" {
		return text, problem{}
	}
	apex := z.apex
	if apex == "" {
		apex = z.origin
	}
	n := z.absolute(text)
	if n == "" || apex == "" || !n.IsSubdomainOf(apex) {
		return "", malformed("a name outside of the zone")
	}
	if n.Equal(apex) {
		return "", problem{skip: SkipZone}
	}
	trigger := string(n[:len(n)-len(apex)]) + "\x00"
	return strings.TrimSuffix(dns.Name(trigger).String(), "."), problem{}
}

// parseTrigger reads an owner relative to the zone: a QNAME or rpz-ip trigger.
func parseTrigger(owner string) (subject, problem) {
	var sub subject
	if text, ok := strings.CutSuffix(owner, ".rpz-ip"); ok {
		prefix, ok := triggerPrefix(text)
		if !ok {
			return sub, malformed("not an rpz-ip prefix")
		}
		sub.prefix = prefix
		return sub, problem{}
	}
	for _, suffix := range []string{".rpz-client-ip", ".rpz-nsip", ".rpz-nsdname"} {
		if strings.HasSuffix(owner, suffix) {
			return sub, problem{skip: SkipTrigger}
		}
	}
	if t, ok := strings.CutPrefix(owner, "*."); ok {
		owner, sub.subtree = t, true
	}
	if owner == "*" {
		return sub, problem{skip: SkipPattern}
	}
	n, err := dns.ParseName(owner)
	if err != nil {
		return sub, malformed(bounded(err.Error(), MaxText))
	}
	sub.name = n.Canonical()
	return sub, problem{}
}

// triggerPrefix reads "24.0.2.0.192" or "48.zz.db8.2001": the prefix length,
// then the address's parts from the last to the first, "zz" for "::".
func triggerPrefix(text string) (netip.Prefix, bool) {
	parts := strings.Split(text, ".")
	bits, err := strconv.Atoi(parts[0])
	if err != nil || len(parts) > 9 {
		return netip.Prefix{}, false
	}
	for i, j := 1, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	parts = parts[1:]
	var a netip.Addr
	if len(parts) == 4 && !strings.Contains(text, "zz") {
		a, err = netip.ParseAddr(strings.Join(parts, "."))
	} else {
		a, err = netip.ParseAddr(joinV6(parts))
	}
	if err != nil || bits < 0 || bits > a.BitLen() {
		return netip.Prefix{}, false
	}
	return unmapped(netip.PrefixFrom(a, bits)), true
}

func joinV6(parts []string) string {
	s := strings.Join(parts, ":")
	switch {
	case s == "zz":
		return "::"
	case strings.HasPrefix(s, "zz:"):
		return "::" + s[3:]
	case strings.HasSuffix(s, ":zz"):
		return s[:len(s)-3] + "::"
	}
	return strings.Replace(s, ":zz:", "::", 1)
}

// zoneFields cuts a line of a master file into fields, without its comment, and
// says by how much it opens (or closes) parentheses.
func zoneFields(s string) (fields []string, depth int, ok bool) {
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ';':
			return fields, depth, true
		case c == '(':
			depth++
			i++
		case c == ')':
			depth--
			i++
		case c == ' ' || c == '\t':
			i++
		case c == '"':
			j := i + 1
			for j < len(s) && s[j] != '"' {
				if s[j] == '\\' {
					j++
				}
				j++
			}
			if j >= len(s) {
				return nil, 0, false
			}
			fields = append(fields, s[i:j+1])
			i = j + 1
		default:
			j := i
			for j < len(s) && !strings.ContainsRune(" \t;()\"", rune(s[j])) {
				if s[j] == '\\' {
					j++
				}
				j++
			}
			j = min(j, len(s))
			fields = append(fields, s[i:j])
			i = j
		}
	}
	return fields, depth, true
}

// zoneType finds the type behind a TTL and a class in any order (RFC 1035 §5.1).
func zoneType(fields []string) (typ string, rdata []string) {
	for i, f := range fields {
		if i > 2 {
			break
		}
		u := strings.ToUpper(f)
		if u == "IN" || u == "CH" || u == "HS" || f[0] >= '0' && f[0] <= '9' {
			continue
		}
		if u[0] < 'A' || u[0] > 'Z' {
			break
		}
		return u, fields[i+1:]
	}
	return "", nil
}
