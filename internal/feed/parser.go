package feed

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// parser holds what lasts from line to line.
type parser struct {
	o     Options
	rep   *Report
	yield func(Claim) error
	line  int  // number of the line in hand
	used  bool // it has yielded a claim
	bad   bool // it has been counted as malformed or skipped

	group group // maltrail
	zone  zone  // rpz
	cols  *columns
}

// group is the evidence that the comments above some lines of a maltrail file name.
type group struct {
	reference string
	inComment bool
	claims    int
	first     Claim // held back until it is known whether the reference is for it alone
}

// shared stands behind a reference that is one for several claims: whether it tells of
// each of them, nobody knows. No address has a blank in it.
const shared = " (one reference for several)"

func (p *parser) run(l *lines) error {
	for {
		line, long, err := l.next()
		if err == io.EOF {
			return errors.Join(p.endGroup(), p.endZone())
		}
		if err != nil {
			return err
		}
		p.line, p.used, p.bad = l.line, false, false
		p.rep.Lines++
		switch {
		case long:
			p.malformed(line, "a line longer than this program reads")
		case bytes.IndexByte(line, 0) >= 0:
			p.malformed(line, "a NUL octet")
		case p.rep.Format != RPZ && !utf8.Valid(line): // a zone is of octets (RFC 1035 §5.1)
			p.malformed(line, "not UTF-8")
		default:
			if err := p.one(string(bytes.TrimSpace(line)), line); err != nil {
				return err
			}
		}
		if p.used {
			p.rep.Used++
		}
	}
}

// one parses one line: s without blanks around it, raw with them.
func (p *parser) one(s string, raw []byte) error {
	if s == "" {
		p.rep.Comments++
		p.group.inComment = false
		return nil
	}
	switch p.rep.Format {
	case Hosts:
		return p.hosts(s)
	case Adblock:
		return p.adblock(s)
	case RPZ:
		return p.record(string(raw))
	case CSV:
		return p.csv(s)
	case Maltrail:
		return p.maltrail(s)
	}
	return p.plain(s)
}

// malformed counts the line in hand as malformed, once.
func (p *parser) malformed(text []byte, reason string) {
	if !p.bad {
		p.rep.malformed(p.line, text, reason)
	}
	p.bad = true
}

// skip counts the line in hand as skipped, once.
func (p *parser) skip(why Reason) {
	if !p.bad {
		p.rep.Skipped[why]++
	}
	p.bad = true
}

// fail counts the line in hand as what pr says.
func (p *parser) fail(s string, pr problem) {
	if pr.skip != "" {
		p.skip(pr.skip)
		return
	}
	p.malformed([]byte(s), pr.reason)
}

// claim yields a claim on sub with what c says besides.
func (p *parser) claim(sub subject, c Claim) error {
	p.used = true
	return p.give(p.complete(sub, c))
}

func (p *parser) give(c Claim) error {
	p.rep.Claims++
	return p.yield(c)
}

// complete is the claim of the line in hand on sub, with what c says besides.
func (p *parser) complete(sub subject, c Claim) Claim {
	c.Name, c.Prefix, c.Path, c.Line, c.Format = sub.name, sub.prefix, sub.path, p.line, p.rep.Format
	switch {
	case sub.prefix.IsValid():
		c.Scope = Prefix
	case sub.subtree:
		c.Scope = Subtree
	case c.Scope == "":
		c.Scope = p.o.Scope
	}
	if c.Reference == "" {
		c.Reference = p.o.Reference
	}
	if c.Family == "" {
		c.Family = p.o.Family
	}
	return c
}

// whole claims what s names, unless it names only something below a host.
func (p *parser) whole(s string, c Claim) error {
	if sub, ok := p.host(s); ok {
		return p.claim(sub, c)
	}
	return nil
}

// host reads what s names; false, and counted, where that is none or only something below a host.
func (p *parser) host(s string) (subject, bool) {
	sub, pr := parseSubject(s)
	if pr.ok() && sub.path {
		pr.skip = SkipPath
	}
	if !pr.ok() {
		p.fail(s, pr)
	}
	return sub, pr.ok()
}

// plain parses a line of a plain list: one subject, a comment behind it or not.
func (p *parser) plain(s string) error {
	if s[0] == '#' || s[0] == ';' || s[0] == '!' || strings.HasPrefix(s, "//") {
		p.rep.Comments++
		return nil
	}
	first, rest := firstField(s)
	if rest != "" && rest[0] != '#' && rest[0] != ';' {
		p.malformed([]byte(s), "more than one field")
		return nil
	}
	return p.whole(first, Claim{})
}

// firstField cuts s at its first blank.
func firstField(s string) (first, rest string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], " \t")
}

// hostsLocal are the names that hosts files map for the machine itself.
var hostsLocal = map[string]bool{
	"localhost": true, "localhost.localdomain": true, "local": true, "broadcasthost": true, "loopback": true,
	"ip6-localhost": true, "ip6-loopback": true, "ip6-localnet": true, "ip6-mcastprefix": true,
	"ip6-allnodes": true, "ip6-allrouters": true, "ip6-allhosts": true, "0.0.0.0": true,
}

// hosts parses a line of a hosts file.
func (p *parser) hosts(s string) error {
	if s[0] == '#' {
		p.rep.Comments++
		return nil
	}
	text, _, _ := strings.Cut(s, "#")
	addr, names := firstField(strings.TrimSpace(text))
	if sub, pr := parseHost(addr); !pr.ok() || !sub.prefix.IsValid() {
		p.malformed([]byte(s), "the first field is not an address")
		return nil
	}
	if names == "" {
		p.malformed([]byte(s), "an address without a name")
		return nil
	}
	for names != "" {
		var name string
		name, names = firstField(names)
		if hostsLocal[name] {
			p.skip(SkipLocal)
			continue
		}
		sub, pr := parseHost(name)
		if pr.ok() && sub.prefix.IsValid() {
			pr = malformed("an address in the place of a name")
		}
		if !pr.ok() {
			p.fail(s, pr)
			continue
		}
		if err := p.claim(sub, Claim{}); err != nil {
			return err
		}
	}
	return nil
}

// maltrail parses a line of a trail file. The comments right above some lines
// name the evidence for them.
func (p *parser) maltrail(s string) error {
	if s[0] == '#' {
		p.rep.Comments++
		ref, ok := strings.CutPrefix(strings.TrimLeft(s, "# "), "Reference:")
		if !p.group.inComment && (ok || strings.HasPrefix(s, "# Generic")) {
			if err := p.endGroup(); err != nil {
				return err
			}
			p.group = group{inComment: true}
		}
		if ok && p.group.reference == "" {
			url, _ := firstField(strings.TrimSpace(ref))
			p.group.reference = bounded(url, MaxReference-len(shared))
		}
		return nil
	}
	p.group.inComment = false
	first, rest := firstField(s)
	switch {
	case first[0] == '/', first[0] == '?':
		p.skip(SkipPath)
	case strings.ContainsAny(first, `\(){}^$+|`), strings.Contains(first, "[0-9"), strings.Contains(first, "[a-z"):
		p.skip(SkipPattern)
	case rest != "" && rest[0] != '#':
		p.malformed([]byte(s), "more than one field")
	default:
		return p.trail(first)
	}
	return nil
}

// trail claims what s names, by the reference of its group.
func (p *parser) trail(s string) error {
	sub, ok := p.host(s)
	if !ok {
		return nil
	}
	g := &p.group
	if g.reference == "" {
		return p.claim(sub, Claim{})
	}
	p.used = true
	g.claims++
	if g.claims == 1 {
		g.first = p.complete(sub, Claim{Reference: g.reference})
		return nil
	}
	if g.claims == 2 {
		g.first.Reference += shared
		if err := p.give(g.first); err != nil {
			return err
		}
	}
	return p.give(p.complete(sub, Claim{Reference: g.reference + shared}))
}

// endGroup yields what is held back of the group.
func (p *parser) endGroup() error {
	if p.group.claims != 1 {
		return nil
	}
	p.group.claims = 0
	return p.give(p.group.first)
}

// timeLayouts are how feeds write when something was seen, always in UTC.
var timeLayouts = []string{"2006-01-02 15:04:05", "2006-01-02", "2006-01-02T15:04:05Z07:00", "2006-01-02 15:04"}

// parseTime reads a time of a feed; what is none is the zero time.
func parseTime(s string) time.Time {
	s = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(s), "UTC"), " ")
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
