package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/miekg/dns"
)

// question is one query to compare the replies to.
type question struct {
	name       string // presentation form, absolute
	qtype      uint16
	class      uint16
	do, cd, ad bool
	edns       bool
}

func (q question) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", q.name, dns.Type(q.qtype))
	if q.class != dns.ClassINET {
		fmt.Fprintf(&b, " class %s", dns.Class(q.class))
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{q.do, "+do"}, {q.cd, "+cd"}, {q.ad, "+ad"}, {!q.edns, "+noedns"}} {
		if f.on {
			b.WriteString(" " + f.name)
		}
	}
	return b.String()
}

// commonTypes are the types that any name is asked for, whether it has them or not.
var commonTypes = []uint16{
	dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeMX, dns.TypeTXT, dns.TypeNS, dns.TypeSOA, dns.TypeCNAME, dns.TypeDNAME,
	dns.TypeDS, dns.TypeDNSKEY, dns.TypeSRV, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeCAA, dns.TypePTR, dns.TypeTLSA,
	dns.TypeNAPTR, dns.TypeSSHFP, dns.TypeNSEC, opaqueType,
}

// rareTypes are types with a meaning of their own, which few questions ask for.
var rareTypes = []uint16{dns.TypeANY, dns.TypeRRSIG, dns.TypeNSEC3PARAM, dns.TypeNSEC3, dns.TypeCDS}

// One in rarity questions is for a rare type, and one in rarity squared of class CH.
const rarity = 30

// opaqueType is a type of the range for private use (RFC 6895 §3.1).
const opaqueType = 65280

// named is a name with the types that are most worth asking it for.
type named struct {
	name  string
	types []uint16
}

// asker draws questions.
type asker struct {
	rng  *rand.Rand
	seen map[string]bool
}

// questions draws the given number of names from the tree, and asks each of them several
// times: first for a type that fits the name, with DO, then for others, with other flags.
func (t *tree) questions(seed uint64, names, times int) []question {
	a := &asker{rand.New(rand.NewPCG(seed, 1)), make(map[string]bool)}
	var pool []named
	for len(pool) < names {
		for _, z := range t.zones {
			share := max(names/len(t.zones)/2, 1)
			for _, n := range a.sample(t.names(a, z), share) {
				if !a.seen[n.name] && len(pool) < names {
					a.seen[n.name] = true
					pool = append(pool, n)
				}
			}
		}
	}
	var out []question
	for _, n := range pool {
		for k := range times {
			out = append(out, a.question(n, k))
		}
	}
	a.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func (a *asker) sample(from []named, n int) []named {
	a.rng.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	return from[:min(n, len(from))]
}

// question is the k-th question for a name.
func (a *asker) question(n named, k int) question {
	q := question{name: n.name, class: dns.ClassINET, edns: true, do: true}
	if k == 0 && len(n.types) > 0 {
		q.qtype = n.types[a.rng.IntN(len(n.types))]
		return q
	}
	q.qtype = commonTypes[a.rng.IntN(len(commonTypes))]
	if len(n.types) > 0 && a.rng.IntN(3) == 0 {
		q.qtype = n.types[a.rng.IntN(len(n.types))]
	}
	if a.rng.IntN(rarity) == 0 {
		q.qtype = rareTypes[a.rng.IntN(len(rareTypes))]
	}
	if a.rng.IntN(rarity*rarity) == 0 {
		q.class = dns.ClassCHAOS
	}
	q.do, q.cd, q.ad = a.rng.IntN(3) > 0, a.rng.IntN(4) == 0, a.rng.IntN(4) == 0
	q.edns = q.do || a.rng.IntN(4) > 0
	return q
}

func (a *asker) word() string { return fmt.Sprintf("w%x", a.rng.Uint32()) }

// names are some hundred names at and below a zone, new random ones at each call.
func (t *tree) names(a *asker, z *zone) []named {
	var out []named
	add := func(label string, types ...uint16) {
		name := strings.TrimPrefix(label+"."+strings.TrimPrefix(z.origin, "."), ".")
		if label == "" {
			name = z.origin
		}
		if _, ok := dns.IsDomainName(name); ok {
			out = append(out, named{name, types})
		}
	}
	add("", dns.TypeSOA, dns.TypeNS, dns.TypeDNSKEY, dns.TypeDS, dns.TypeMX, dns.TypeTXT, dns.TypeA, dns.TypeNSEC3PARAM, dns.TypeCAA)
	add(a.word(), dns.TypeA)
	add(a.word()+"."+a.word(), dns.TypeA, dns.TypeDS)
	add("*", dns.TypeA)
	add("!"+a.word(), dns.TypeA)
	add("zzzz"+a.word(), dns.TypeAAAA)
	add(strings.ToUpper(a.word()), dns.TypeA)
	switch {
	case z.up == nil:
	case z.up.up == nil:
		add("www.nic", dns.TypeA)
		add(a.word()+".any.nic", dns.TypeA)
		add("any.nic", dns.TypeA)
		add("ns", dns.TypeA)
	default:
		existing(a, add)
		missing(a, add)
		t.chained(a, add)
	}
	return out
}

// existing are names that the zones have.
func existing(a *asker, add func(string, ...uint16)) {
	for k := 1; k <= 8; k++ {
		add(fmt.Sprintf("h%d", k), dns.TypeA, dns.TypeAAAA)
	}
	add("ns", dns.TypeA, dns.TypeAAAA)
	add("mail", dns.TypeA, dns.TypeAAAA)
	add("_443._tcp.h1", dns.TypeTLSA)
	add("_tcp.h1", dns.TypeTLSA)
	add("_sip._tcp", dns.TypeSRV)
	add("web", dns.TypeHTTPS)
	add("svc", dns.TypeSVCB)
	add("svcalias", dns.TypeHTTPS)
	add("opaque", opaqueType)
	add("ptr", dns.TypePTR)
	add("naptr", dns.TypeNAPTR)
	add("sshfp", dns.TypeSSHFP)
	add("ent", dns.TypeA)
	add("b.ent", dns.TypeA)
	add("c.ent", dns.TypeA)
	add("a.b.c.ent", dns.TypeTXT)
	add("big", dns.TypeTXT)
	add("mid", dns.TypeA)
	add(longLabel, dns.TypeA)
	add(longLabel+"."+longLabel+".long", dns.TypeA)
	add(deepName, dns.TypeA)
	add(strings.TrimPrefix(deepName, "d.d.d."), dns.TypeA)
	add(odd[a.rng.IntN(len(odd))], dns.TypeA)
	add(strings.ToLower(odd[5]), dns.TypeA)
	add("wild", dns.TypeA)
	add("*.wild", dns.TypeA)
	add("exact.wild", dns.TypeA, dns.TypeTXT)
	add("stop.wild", dns.TypeA)
	add("below.stop.wild", dns.TypeA)
	add("in.the.middle", dns.TypeA)
	add("the.middle", dns.TypeA)
	for _, c := range children() {
		add(c.name, dns.TypeDS, dns.TypeNS, dns.TypeA, dns.TypeDNSKEY)
	}
	add("deep.osub", dns.TypeDS, dns.TypeA)
}

// missing are names that the zones do not have, and those that only wildcards have.
func missing(a *asker, add func(string, ...uint16)) {
	add(a.word()+".h1", dns.TypeA)
	add(a.word()+".ent", dns.TypeA)
	add(a.word()+".c.ent", dns.TypeA)
	add(a.word()+".wild", dns.TypeA, dns.TypeTXT, dns.TypeAAAA)
	add(a.word()+"."+a.word()+".wild", dns.TypeA, dns.TypeAAAA)
	add(a.word()+".exact.wild", dns.TypeA)
	add(a.word()+".stop.wild", dns.TypeA)
	add(a.word()+".wcname", dns.TypeA, dns.TypeTXT, dns.TypeCNAME)
	add(a.word()+".wfar", dns.TypeA, dns.TypeCNAME)
	add(a.word()+".wmiss", dns.TypeA)
	add(a.word()+".wmx", dns.TypeMX, dns.TypeA)
	add(a.word()+".in.the.middle", dns.TypeA)
	add(a.word()+".the.middle", dns.TypeA)
	add(a.word()+".sub", dns.TypeA)
	add(a.word()+".usub", dns.TypeA)
	add("h1.sub", dns.TypeA)
	add("h1.usub", dns.TypeA)
	add("h1.bsub", dns.TypeA)
	add("h2.a.deep.osub", dns.TypeA)
	add(a.word()+".deep.osub", dns.TypeA)
	add(a.word()+".web", dns.TypeHTTPS)
	add("_25._tcp.mail", dns.TypeTLSA)
	add(strings.Repeat("n.", 30)+a.word(), dns.TypeA)
	add(`\000`+a.word(), dns.TypeA)
	add(`w\.`+a.word(), dns.TypeA)
}

// chained are names of aliases.
func (t *tree) chained(a *asker, add func(string, ...uint16)) {
	add("alias", dns.TypeA, dns.TypeAAAA, dns.TypeCNAME)
	add("alias2", dns.TypeA, dns.TypeTXT)
	add("dangling", dns.TypeA)
	add("nowhere", dns.TypeA)
	add("loop1", dns.TypeA, dns.TypeCNAME)
	add("self", dns.TypeA, dns.TypeCNAME)
	add("chain1", dns.TypeA)
	add("chain5", dns.TypeA, dns.TypeAAAA)
	add("towild", dns.TypeA)
	add("tree", dns.TypeDNAME, dns.TypeA)
	add("b.tree", dns.TypeA, dns.TypeAAAA)
	add(a.word()+".tree", dns.TypeA)
	add("x.selftree", dns.TypeA)
	add("b.tree."+a.word(), dns.TypeA)
	for k := range 6 {
		add(fmt.Sprintf("far%d", k), dns.TypeA, dns.TypeAAAA, dns.TypeCNAME)
		add(fmt.Sprintf("farmiss%d", k), dns.TypeA)
		add(fmt.Sprintf("farfar%d", k), dns.TypeA, dns.TypeTXT)
		add(fmt.Sprintf("dn%d", k), dns.TypeDNAME, dns.TypeA)
		add(fmt.Sprintf("h1.dn%d", k), dns.TypeA, dns.TypeAAAA)
		add(fmt.Sprintf("%s.dn%d", a.word(), k), dns.TypeA)
		add(fmt.Sprintf("far1.dn%d", k), dns.TypeA)
	}
	add(longLabel+"."+longLabel+"."+longLabel+".dn0", dns.TypeA)
}
