package resolve

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/simnet"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the simulation; 0 means a few fixed ones")

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

// questions are names of the lab that exist and names that do not.
func questions(in *simnet.Internet, rng *rand.Rand) []question {
	types := []dns.Type{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeNS, dns.TypeDS, dns.TypeCNAME, dns.TypeHTTPS, dns.TypeDNSKEY, dns.TypeSOA}
	var out []question
	for _, z := range in.Tree().Zones() {
		for _, text := range z.Records() {
			name := dns.MustName(strings.Fields(text)[0]).Canonical()
			for range 3 {
				out = append(out, question{name, types[rng.IntN(len(types))]})
			}
			if child, err := name.Child(fmt.Sprintf("x%d", rng.IntN(100))); err == nil {
				out = append(out, question{child, dns.TypeA})
			}
		}
	}
	for _, try := range simnet.LabTries() {
		t, _ := dns.ParseType(try.Type)
		out = append(out, question{dns.MustName(try.Name).Canonical(), t})
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
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

// Whatever the network does, an answer is right or it is SERVFAIL, and so is what
// memory holds afterwards.
func TestAnswersAreRightOrNone(t *testing.T) {
	seeds := []uint64{1, 2, 3}
	if *seedFlag != 0 {
		seeds = []uint64{*seedFlag}
	}
	for _, seed := range seeds {
		story(t, func(t *testing.T) { simulate(t, seed) })
	}
}

func simulate(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	in := simnet.Lab(seed, time.Now())
	in.SetFaults(simnet.Faults{
		Loss: 0.3, Duplicate: 0.2, Reorder: 0.2, Truncate: 0.1, Spoof: 0.5,
		Latency: 20 * time.Millisecond, Jitter: 30 * time.Millisecond,
	})
	mem := newMemory()
	r := New(Config{Network: in, Memory: mem, Hints: labHints(), Anchors: labAnchors(t, seed)})
	all := questions(in, rng)
	all = append(all, all...)
	failed := 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan question)
	for range 16 {
		wg.Go(func() {
			for q := range next {
				a := r.Resolve(t.Context(), q.name, q.typ)
				mu.Lock()
				if a.RCode() == dns.RCodeServerFailure {
					failed++
				} else if err := isTrue(a, in.Tree()); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
				mu.Unlock()
			}
		})
	}
	for _, q := range all {
		next <- q
	}
	close(next)
	wg.Wait()
	for _, a := range mem.m {
		if a.RCode() != dns.RCodeServerFailure {
			if err := isTrue(a, in.Tree()); err != nil {
				t.Errorf("seed %d: in memory: %v", seed, err)
			}
		}
	}
	t.Logf("seed %d: %d questions, %d failed, %d upstream", seed, len(all), failed, in.Queries())
	if failed > len(all)/4 {
		t.Errorf("seed %d: %d of %d questions failed", seed, failed, len(all))
	}
}
