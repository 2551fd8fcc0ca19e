package dnssec

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	foreign "github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Random small zones are signed by a foreign implementation. A validator that is worth
// its name accepts each right response, accepts none with a record of its proof removed
// or altered, and lets no set of a zone's own records prove a falsehood.

var modelLabels = []string{"a", "b", "*", "c", "www", "z"}

// drawName draws a name of up to three labels below the apex.
func drawName(t *rapid.T, what, apex string) string {
	labels := rapid.SliceOfN(rapid.SampledFrom(modelLabels), 1, 3).Draw(t, what)
	return strings.Join(labels, ".") + "." + apex
}

// drawLab draws a zone.
func drawLab(t *rapid.T, tb testing.TB, key *testKey) *lab {
	nsec3 := rapid.Bool().Draw(t, "nsec3")
	optOut := nsec3 && rapid.Bool().Draw(t, "opt-out")
	owners := map[string]string{key.zone: "apex"}
	var lines []string
	for range rapid.IntRange(0, 7).Draw(t, "owners") {
		owner := drawName(t, "owner", key.zone)
		if owners[owner] != "" {
			continue
		}
		kind := rapid.SampledFrom([]string{"A", "A", "A+TXT", "CNAME", "NS", "NS+DS", "DNAME"}).Draw(t, "kind")
		if strings.HasPrefix(owner, "*.") && (kind[0] == 'N' || kind[0] == 'D') {
			kind = "A" // neither delegations nor DNAMEs are made of wildcards
		}
		owners[owner] = kind
		target := drawName(t, "target", rapid.SampledFrom([]string{key.zone, "example.net."}).Draw(t, "where"))
		switch kind {
		case "A":
			lines = append(lines, owner+" 300 IN A 192.0.2.1", owner+" 300 IN A 192.0.2.2")
		case "A+TXT":
			lines = append(lines, owner+" 300 IN A 192.0.2.1", owner+" 300 IN TXT x")
		case "CNAME":
			lines = append(lines, owner+" 300 IN CNAME "+target)
		case "NS":
			lines = append(lines, owner+" 300 IN NS ns.example.net.")
		case "NS+DS":
			lines = append(lines, owner+" 300 IN NS ns.example.net.", owner+" 300 IN DS 1 13 2 "+strings.Repeat("ab", 32))
		case "DNAME":
			lines = append(lines, owner+" 300 IN DNAME other.example.net.")
		}
	}
	return newLab(tb, key, nsec3, optOut, lines...)
}

// drawQuestion draws a name and a type that the zone is asked about.
func drawQuestion(t *rapid.T, z *lab) (string, uint16) {
	name := z.apex
	if rapid.IntRange(0, 9).Draw(t, "at the apex") > 0 {
		name = drawName(t, "question", z.apex)
	}
	types := []uint16{foreign.TypeA, foreign.TypeTXT, foreign.TypeAAAA, foreign.TypeCNAME, foreign.TypeNS}
	if name != z.apex {
		types = append(types, foreign.TypeDS)
	}
	return name, rapid.SampledFrom(types).Draw(t, "type")
}

// modelKey is made once: making keys is not what is tested.
func modelKey(t *testing.T) (*testKey, *Keys) {
	key := newKey(t, "example.", foreign.ED25519, 256)
	return key, key.keys(t)
}

// judge verifies a reply and says in a word what it is worth and what was learned.
func judge(v *Validator, keys *Keys, r *reply, m *Response) (Status, string, *Work) {
	w := new(Work)
	if r.kind == "referral" {
		child := m.Name
		for _, rr := range m.Authority {
			if rr.Type == dns.TypeNS {
				child = rr.Name
			}
		}
		d := v.ProveDelegation(keys, child, m.Authority, testNow, w)
		if !d.Cut {
			return d.Status, "no cut", w
		}
		return d.Status, "referral", w
	}
	a := v.VerifyAnswer(keys, m, testNow, w)
	switch {
	case a.Status.IsBogus():
		return a.Status, "", w
	case a.Next != "":
		return a.Status, "alias", w
	case a.RCode == dns.RCodeNameError:
		return a.Status, "nxdomain", w
	case slices.ContainsFunc(a.Records, func(rr dns.RR) bool { return rr.Type == m.Type }) && a.RCode == 0:
		return a.Status, "data", w
	}
	return a.Status, "nodata", w
}

// want is the status that a reply deserves.
func (z *lab) want(r *reply, name string) Status {
	if r.kind == "referral" {
		if z.unsigned(z.cut(name)) {
			return Status{outcome: insecure}
		}
		return Status{outcome: secure}
	}
	if r.insecure {
		return Status{outcome: insecure}
	}
	return Status{outcome: secure}
}

func TestModelRightResponses(t *testing.T) {
	key, keys := modelKey(t)
	v := New(Config{})
	rapid.Check(t, func(rt *rapid.T) {
		z := drawLab(rt, t, key)
		name, qtype := drawQuestion(rt, z)
		r := z.query(name, qtype)
		if r.kind == "unprovable" {
			return
		}
		m := z.response(r, name, qtype)
		got, kind, w := judge(v, keys, r, m)
		want := z.want(r, name)
		if got.outcome != want.outcome || kind != r.kind {
			rt.Fatalf("%s %s: %v (%s), %s; want %v, %s\n%s", name, dns.Type(qtype), got, got.Reason(), kind, want, r.kind, z.dump(r))
		}
		if w.Failures() > 0 {
			rt.Fatalf("%s %s: %d failed verifications in a right response\n%s", name, dns.Type(qtype), w.Failures(), z.dump(r))
		}
	})
}

// dump shows a zone and a reply for a failure.
func (z *lab) dump(r *reply) string {
	var b strings.Builder
	for _, set := range z.data {
		for _, rr := range set {
			fmt.Fprintln(&b, rr)
		}
	}
	for _, rr := range z.chain {
		fmt.Fprintln(&b, rr)
	}
	fmt.Fprintf(&b, "reply: %s, insecure %v, rcode %d\n", r.kind, r.insecure, r.rcode)
	for _, rr := range append(slices.Clone(r.answer), r.authority...) {
		fmt.Fprintln(&b, rr)
	}
	return b.String()
}

// isDenial reports whether a record is a part of a proof.
func isDenial(rr dns.RR) bool { return rr.Type == dns.TypeNSEC || rr.Type == dns.TypeNSEC3 }

func TestModelDamagedResponses(t *testing.T) {
	key, keys := modelKey(t)
	v := New(Config{})
	rapid.Check(t, func(rt *rapid.T) {
		z := drawLab(rt, t, key)
		name, qtype := drawQuestion(rt, z)
		r := z.query(name, qtype)
		m := z.response(r, name, qtype)
		for i := range m.Authority {
			rr := m.Authority[i]
			if !isDenial(rr) && rr.Type != dns.TypeDS {
				continue
			}
			damaged := *m
			damaged.Authority = slices.Delete(slices.Clone(m.Authority), i, i+1)
			z.refuse(rt, v, keys, r, &damaged, fmt.Sprintf("without %v", rr))

			at := rapid.IntRange(0, len(rr.Data)-1).Draw(rt, "octet")
			damaged.Authority = slices.Clone(m.Authority)
			damaged.Authority[i].Data = slices.Clone(rr.Data)
			damaged.Authority[i].Data[at] ^= 1
			z.refuse(rt, v, keys, r, &damaged, fmt.Sprintf("octet %d changed of %v", at, rr))
		}
		for i := range m.Answer {
			if rr := m.Answer[i]; rr.Type != dns.TypeRRSIG {
				at := rapid.IntRange(0, len(rr.Data)-1).Draw(rt, "octet")
				damaged := *m
				damaged.Answer = slices.Clone(m.Answer)
				damaged.Answer[i].Data = slices.Clone(rr.Data)
				damaged.Answer[i].Data[at] ^= 1
				z.refuse(rt, v, keys, r, &damaged, fmt.Sprintf("octet %d changed of %v", at, rr))
			}
		}
	})
}

// refuse demands that a damaged response is not taken for what it was.
func (z *lab) refuse(t *rapid.T, v *Validator, keys *Keys, r *reply, m *Response, what string) {
	got, kind, _ := judge(v, keys, r, m)
	if got.IsSecure() && (kind == r.kind || kind == "no cut") {
		t.Fatalf("%s %s is %v, %s, %s\n%s", m.Name, m.Type, got, kind, what, z.dump(r))
	}
}

// truth says what a zone really has to say about a name and type.
func (z *lab) truth(name string, t uint16) string {
	r := z.query(name, t)
	if r.kind == "nodata" && len(r.answer) == 0 && z.exists(name) {
		return "nodata"
	}
	if len(r.answer) > 0 {
		return "data"
	}
	return r.kind
}

func TestModelSoundness(t *testing.T) {
	key, keys := modelKey(t)
	v := New(Config{})
	rapid.Check(t, func(rt *rapid.T) {
		z := drawLab(rt, t, key)
		var some []foreign.RR
		for _, rr := range z.chain {
			if rapid.IntRange(0, 3).Draw(rt, "record") > 0 {
				some = append(some, z.signedRR(rr)...)
			}
		}
		proofs := records(t, some...)
		for range 6 {
			name, qtype := drawQuestion(rt, z)
			z.claimDenial(rt, v, keys, name, qtype, proofs)
			if name != z.apex {
				z.claimDelegation(rt, v, keys, name, proofs)
				z.claimWildcard(rt, v, keys, name, proofs)
			}
		}
	})
}

// claimDenial demands that a proven denial is true.
func (z *lab) claimDenial(t *rapid.T, v *Validator, keys *Keys, name string, qtype uint16, proofs []dns.RR) {
	truth := z.truth(name, qtype)
	for _, rcode := range []dns.RCode{dns.RCodeSuccess, dns.RCodeNameError} {
		n := v.ProveNegative(keys, dns.MustName(name), dns.Type(qtype), rcode, proofs, testNow, new(Work))
		if n.Status.IsBogus() {
			continue
		}
		claim := "nodata"
		if n.RCode == dns.RCodeNameError {
			claim = "nxdomain"
		}
		switch {
		case claim == truth:
		case n.Status.IsInsecure() && z.optOut && z.match(name) == nil:
			// In an opt-out span there may be an unsigned delegation at any name.
		default:
			t.Fatalf("%s %s proven %v, %s; the truth is %s\n%s", name, dns.Type(qtype), n.Status, claim, truth, z.dump(&reply{}))
		}
	}
}

// claimDelegation demands that what is proven about a cut is true.
func (z *lab) claimDelegation(t *rapid.T, v *Validator, keys *Keys, name string, proofs []dns.RR) {
	d := v.ProveDelegation(keys, dns.MustName(name), proofs, testNow, new(Work))
	isCut, insecureCut := z.cut(name) == name && !z.hidden(name), z.unsigned(name) && !z.hidden(name)
	switch {
	case d.Status.IsBogus():
	case d.Status.IsInsecure() && (insecureCut || z.optOut && !isCut):
	case d.Status.IsSecure() && !d.Cut && !isCut && !z.hidden(name):
	default:
		t.Fatalf("%s proven %v, cut %v; a cut %v, insecure %v, hidden %v\n%s", name, d.Status, d.Cut, isCut, insecureCut, z.hidden(name), z.dump(&reply{}))
	}
}

// claimWildcard demands that a wildcard is only accepted where it applies. That a
// wildcard exists below the encloser is what its signature proves, so others are not
// asked about.
func (z *lab) claimWildcard(t *rapid.T, v *Validator, keys *Keys, name string, proofs []dns.RR) {
	for _, encloser := range z.parents(name)[1:] {
		if !z.exists(encloser) || z.hidden("*."+encloser) || z.cut(encloser) != "" {
			continue
		}
		n := v.ProveWildcard(keys, dns.MustName(name), dns.MustName(encloser), proofs, testNow, new(Work))
		if n.Status.IsSecure() && (z.hidden(name) || slices.ContainsFunc(z.parents(name), func(p string) bool {
			return p != encloser && foreign.IsSubDomain(encloser, p) && z.exists(p)
		})) {
			t.Fatalf("%s from *.%s\n%s", name, encloser, z.dump(&reply{}))
		}
	}
}
