package main

import (
	"fmt"
	"strings"
)

// TTLs of the tree, in seconds: longer than a run takes, so that none ends in it.
const (
	ttlData     = 7200
	ttlNegative = 3600
)

// longLabel has the most octets that a label may have (RFC 1035 §2.3.4).
var longLabel = strings.Repeat("l", 63)

// deepName has 40 labels, more than minimisation asks for one by one (RFC 9156 §2.3).
var deepName = strings.Repeat("d.", 39) + "deep"

// odd are labels with octets that need escapes in presentation form (RFC 1035 §5.1).
var odd = []string{`a\.b`, `sp\032ace`, `\000nul`, `hi\255`, `back\\slash`, `UPPER`, `under_score`}

// text is a zone's content before it is signed. at is the zone's place in the tree, by
// which the targets of its aliases are chosen, so that all kinds lead to all others.
func (t *tree) text(z *zone, at int) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("$TTL %d", ttlData)
	line("@ SOA ns.%s hostmaster.%s %d 3600 900 1209600 %d", strings.TrimPrefix(z.origin, "."), strings.TrimPrefix(z.origin, "."), at+1, ttlNegative)
	for _, ns := range z.nameServers() {
		line("@ NS %s", ns.name)
		hostLines(line, ns)
	}
	for _, below := range z.below {
		for _, ns := range below.nameServers() {
			line("%s NS %s", below.origin, ns.name)
			if strings.HasSuffix(ns.name, "."+below.origin) {
				hostLines(line, ns)
			}
		}
	}
	switch {
	case z.up == nil:
		hostLines(line, nameServer{rootServer, []string{addrRoot}})
	case z.up.up == nil:
		topContent(line, z)
	default:
		z.data(line)
		t.aliases(line, z, at)
		wildcards(line, t.elsewhere(z, at))
	}
	return b.String()
}

func hostLines(line func(string, ...any), ns nameServer) {
	for _, a := range ns.glue {
		t := "A"
		if strings.Contains(a, ":") {
			t = "AAAA"
		}
		line("%s %s %s", ns.name, t, a)
	}
}

// topContent is what a top-level domain has beside delegations.
func topContent(line func(string, ...any), z *zone) {
	line("@ TXT \"top %s\"", z.name)
	line("www.nic A 192.0.2.80")
	line("*.any.nic A 192.0.2.81")
	if z.origin == "gg." {
		hostLines(line, nameServer{rootServer, []string{addrRoot}})
	}
}

// data is what every leaf zone has.
func (z *zone) data(line func(string, ...any)) {
	line("@ MX 10 mail")
	line("@ MX 20 mail2.sub")
	line("@ TXT \"v=spf1 -all\" \"second string\"")
	line("@ CAA 0 issue \"ca.example\"")
	line("@ A 192.0.2.10")
	line("mail A 192.0.2.25")
	line("mail AAAA 2001:db8::25")
	for k := 1; k <= 8; k++ {
		line("h%d A 192.0.2.%d", k, k)
		line("h%d A 192.0.2.%d", k, k+100)
		line("h%d AAAA 2001:db8::%d", k, k)
	}
	line("_443._tcp.h1 TLSA 3 1 1 %064d", 7)
	line("_sip._tcp SRV 0 5 5060 h1")
	line("_sip._tcp SRV 1 5 5060 h2")
	line("web HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1")
	line("svc SVCB 1 h1 port=8443")
	line("svcalias HTTPS 0 web")
	line("opaque TYPE65280 \\# 4 c0a80101")
	line("ptr PTR h1")
	line("naptr NAPTR 100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:a@b.example!\" .")
	line("sshfp SSHFP 4 2 %064d", 9)
	line("b.ent A 192.0.2.30")
	line("a.b.c.ent TXT \"deep\"")
	for k := range 30 {
		line("big TXT \"%0200d\"", k)
	}
	for k := range 40 {
		line("mid A 198.51.100.%d", k+1)
	}
	line("%s A 192.0.2.63", longLabel)
	line("%s.%s.long A 192.0.2.64", longLabel, longLabel)
	line("%s A 192.0.2.40", deepName)
	for i, label := range odd {
		line("%s A 192.0.2.%d", label, 70+i)
	}
}

// elsewhere are zones of other kinds that a zone's aliases lead to.
func (t *tree) elsewhere(z *zone, at int) []*zone {
	const targets = 6
	var out []*zone
	for i := at*7 + 1; len(out) < targets; i += 11 {
		o := t.zones[i%len(t.zones)]
		if o != z && o.up != nil && o.up.up != nil {
			out = append(out, o)
		}
	}
	return out
}

// aliases are CNAME and DNAME records: within the zone, across zones, into nothing, in
// circles, and in chains.
func (t *tree) aliases(line func(string, ...any), z *zone, at int) {
	line("alias CNAME h1")
	line("alias2 CNAME alias")
	line("dangling CNAME nothing.here")
	line("nowhere CNAME www.no-such-top.")
	line("loop1 CNAME loop2")
	line("loop2 CNAME loop1")
	line("self CNAME self")
	for k := 1; k < chainLength; k++ {
		line("chain%d CNAME chain%d", k, k+1)
	}
	line("chain%d A 192.0.2.90", chainLength)
	line("tree DNAME ent")
	line("selftree DNAME selftree.h7")
	line("towild CNAME x.wild")
	for i, o := range t.elsewhere(z, at) {
		line("far%d CNAME h%d.%s", i, i+1, o.origin)
		line("farmiss%d CNAME missing.%s", i, o.origin)
		line("farfar%d CNAME far%d.%s", i, i, o.origin)
		line("dn%d DNAME %s", i, o.origin)
	}
}

// chainLength is the number of names of a chain of CNAME records within a zone.
const chainLength = 9

// wildcards are wildcard names (RFC 4592): with data, as aliases, below an empty
// non-terminal, and beside names that stop them.
func wildcards(line func(string, ...any), others []*zone) {
	line("*.wild A 192.0.2.200")
	line("*.wild TXT \"wild\"")
	line("exact.wild A 192.0.2.201")
	line("below.stop.wild A 192.0.2.202")
	line("*.wcname CNAME h1")
	line("*.wfar CNAME h2.%s", others[0].origin)
	line("*.wmiss CNAME missing.%s", others[1].origin)
	line("*.wmx MX 10 mail")
	line("*.in.the.middle A 192.0.2.203")
}
