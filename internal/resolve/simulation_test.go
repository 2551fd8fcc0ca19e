package resolve

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// labHints are the simulated Internet's root servers.
func labHints() (hints []Hint) {
	for _, h := range simnet.LabHints() {
		hints = append(hints, Hint{Name: dns.MustName(h.Name), Addrs: h.Addrs})
	}
	return hints
}

func labAnchors(t *testing.T, seed uint64) []dnssec.Anchor {
	a, err := simnet.LabAnchor(seed)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, rr := range a.DS {
		fmt.Fprintln(&text, rr)
	}
	anchors, err := dnssec.ParseAnchors(text.String())
	if err != nil {
		t.Fatal(err)
	}
	return anchors
}

// presented is an answer section as the yardstick has it: no signatures, no TTLs.
func presented(a *answer.Answer) []string {
	var out []string
	for _, rr := range a.Answer() {
		if rr.Type == dns.TypeRRSIG && a.Type() != dns.TypeRRSIG {
			continue
		}
		b := rr.AppendCanonical(nil, 0)
		m, _, err := mdns.UnpackRR(b, 0)
		if err != nil {
			return []string{err.Error()}
		}
		out = append(out, plainText(m.String()))
	}
	slices.Sort(out)
	return out
}

func plainText(s string) string {
	f := strings.Fields(strings.ToLower(s))
	f[1] = ""
	return strings.Join(f, " ")
}

// isTrue compares an answer with what the zones hold.
func isTrue(a *answer.Answer, tree *simnet.Tree) error {
	truth, err := tree.Truth(a.Name().String(), a.Type().String(), time.Now())
	if err != nil {
		return err
	}
	var want []string
	for _, s := range truth.Answer {
		want = append(want, plainText(s))
	}
	slices.Sort(want)
	// The keys of a zone whose other signatures are broken may themselves be in order.
	keys := a.Type() == dns.TypeDNSKEY && truth.Status == "bogus"
	if !keys && !a.Status().IsIndeterminate() && a.Status().String() != truth.Status {
		return fmt.Errorf("%s %s: %s (%s), the zones say %s", a.Name(), a.Type(), a.Status(), a.Status().Reason(), truth.Status)
	}
	if got := presented(a); a.RCode().String() != truth.RCode || !slices.Equal(got, want) {
		return fmt.Errorf("%s %s: %s %q, the zones say %s %q", a.Name(), a.Type(), a.RCode(), got, truth.RCode, want)
	}
	return nil
}

func TestTheLabOnAGoodDay(t *testing.T) {
	story(t, func(t *testing.T) {
		in := simnet.Lab(1, time.Now())
		r := New(Config{Network: in, Memory: newMemory(), Hints: labHints(), Anchors: labAnchors(t, 1)})
		for _, try := range simnet.LabTries() {
			typ, _ := dns.ParseType(try.Type)
			a := r.Resolve(t.Context(), dns.MustName(try.Name), typ)
			rcode, text := a.RCode(), strings.Join(presented(a), "\n")
			if a.Status().IsBogus() {
				rcode, text = dns.RCodeServerFailure, ""
			}
			if rcode.String() != try.RCode || !strings.Contains(text, strings.ToLower(try.Has)) {
				t.Errorf("%s: %s %s, want %s %s", try.Name, rcode, text, try.RCode, try.Has)
			}
			if rcode != dns.RCodeServerFailure && a.Status().String() != try.Status {
				t.Errorf("%s: %s (%s), want %s", try.Name, a.Status(), a.Status().Reason(), try.Status)
			}
		}
	})
}

// The CNAME at a name below a DNAME is made from it, for a client that asks for that CNAME too:
// without the DNAME there would be nothing to validate it by.
func TestTheCNAMEBelowADNAMEIsAskedFor(t *testing.T) {
	story(t, func(t *testing.T) {
		in := simnet.Lab(1, time.Now())
		r := New(Config{Network: in, Memory: newMemory(), Hints: labHints(), Anchors: labAnchors(t, 1)})
		for _, name := range []string{"www.old.bank.test", "www.legacy.test", "www.old.shop.test", "a.b.mirror.shop.test", "no.old.bank.test", "no.legacy.test", "no.old.shop.test"} {
			a := r.Resolve(t.Context(), dns.MustName(name), dns.TypeCNAME)
			if err := isTrue(a, in.Tree()); err != nil || len(a.Answer()) == 0 {
				t.Errorf("%s: %d records, %v", name, len(a.Answer()), err)
			}
		}
	})
}
