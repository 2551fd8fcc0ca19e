package attack

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"hash"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/simnet"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "the one seed to simulate; 0 means those from 1 to -seeds")
	seedsFlag = flag.Uint64("seeds", 8, "how many seeds to simulate")
)

// questionsPerRun is how many questions a run asks, each of them twice.
const questionsPerRun = 2000

// recorder is the cache, and notes the questions that it was given answers to.
type recorder struct {
	*cache.Cache
	mu   sync.Mutex
	puts map[question]bool
}

type question struct {
	name dns.Name
	typ  dns.Type
}

func (r *recorder) Put(a *answer.Answer, now time.Time) {
	r.mu.Lock()
	r.puts[question{a.Name(), a.Type()}] = true
	r.mu.Unlock()
	r.Cache.Put(a, now)
}

// wire is the lab's network. An exchange without a reply ends a little after its time, each
// by another moment: so no two things happen at one, and a run does not depend on which
// goroutine is first.
type wire struct{ *simnet.Internet }

func (w wire) Exchange(ctx context.Context, addr netip.Addr, port uint16, tcp bool, query []byte, accept func([]byte) bool) error {
	err := w.Internet.Exchange(ctx, addr, port, tcp, query, accept)
	if err != nil {
		sum := sha256.Sum256(fmt.Appendln(nil, addr, tcp, time.Now().UnixNano()))
		time.Sleep(time.Duration(binary.BigEndian.Uint16(sum[:])) * time.Nanosecond)
	}
	return err
}

// simulation is one run: the lab with faults everywhere, and a resolver.
type simulation struct {
	*testing.T
	seed   uint64
	rng    *rand.Rand
	in     *simnet.Internet
	memory *recorder
	core   *resolve.Resolver

	mu     sync.Mutex
	asked  int       // questions
	good   int       // of these have an answer
	failed int       // of these were not given it
	trace  hash.Hash // of all that went over the network and all answers
}

func newSimulation(t *testing.T, seed uint64, aggressive bool) *simulation {
	t.Helper()
	s := &simulation{T: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), in: simnet.Lab(seed, time.Now()), trace: sha256.New()}
	memory, err := cache.New(cache.Config{Bytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s.memory = &recorder{Cache: memory, puts: map[question]bool{}}
	c := resolve.Config{Network: wire{s.in}, Memory: s.memory, Seed: seed, Aggressive: aggressive}
	for _, h := range simnet.LabHints() {
		c.Hints = append(c.Hints, resolve.Hint{Name: dns.MustName(h.Name), Addrs: h.Addrs})
	}
	a, err := simnet.LabAnchor(seed)
	if err != nil {
		t.Fatal(err)
	}
	if c.Anchors, err = dnssec.ParseAnchors(a.DS[0].String()); err != nil {
		t.Fatal(err)
	}
	s.core = resolve.New(c)
	s.faults()
	s.in.SetTrace(func(e simnet.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if e.What == simnet.NoServer {
			t.Errorf("seed %d: %v: nothing in the lab leads there", seed, e)
		}
		fmt.Fprintln(s.trace, e.What, e.Server, e.TCP, e.Attempt, e.Name, e.Type)
	})
	return s
}

// spared are the servers without which nothing would be resolved: one of the root's and one
// of each TLD's. The network before them is as bad as before the others.
var spared = []string{"198.18.0.1", "198.18.1.1", "198.18.1.3"}

// faults draws what is wrong: with the network, and with some servers beside.
func (s *simulation) faults() {
	f := simnet.Faults{
		Loss: 0.3 * s.rng.Float64(), Duplicate: 0.3 * s.rng.Float64(), Reorder: 0.3 * s.rng.Float64(),
		Truncate: 0.2 * s.rng.Float64(), Spoof: 0.6 * s.rng.Float64(),
		Latency: 20 * time.Millisecond, Jitter: 30 * time.Millisecond,
	}
	if s.seed%2 == 1 {
		f.Loss, f.Spoof = 0.3, 0.5
	}
	s.in.SetFaults(f)
	var addrs []netip.Addr
	for _, z := range s.in.Tree().Zones() {
		for _, text := range z.Records() {
			r := strings.Fields(text)
			if addr, err := netip.ParseAddr(r[len(r)-1]); err == nil && s.in.Server(addr) != nil && !slices.Contains(addrs, addr) {
				addrs = append(addrs, addr)
			}
		}
	}
	for _, addr := range addrs {
		if slices.ContainsFunc(s.in.Server(addr).Addrs(), func(a netip.Addr) bool { return slices.Contains(spared, a.String()) }) {
			continue
		}
		g := f
		switch s.rng.IntN(24) {
		case 0:
			g.Lame = simnet.LameRefused
		case 1:
			g.Lame = simnet.LameServFail
		case 2:
			g.Lame = simnet.LameUpward
		case 3:
			g.Dead = true
		case 4:
			g.Slow = time.Duration(s.rng.IntN(4000)) * time.Millisecond
		case 5:
			g.ByteAtATime = 20 * time.Millisecond
		case 6:
			g.NoTCP = true
		case 7:
			g.EDNS = simnet.EDNSFormErr
		case 8:
			g.EDNS = simnet.EDNSIgnored
		default:
			continue
		}
		s.in.Server(addr).SetFaults(g)
	}
}

// questions are names of the lab that exist and names that do not.
func (s *simulation) questions() (out []question) {
	types := []dns.Type{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeNS, dns.TypeDS, dns.TypeCNAME, dns.TypeHTTPS, dns.TypeDNSKEY, dns.TypeSOA}
	for _, z := range s.in.Tree().Zones() {
		for _, text := range z.Records() {
			name := dns.MustName(strings.Fields(text)[0]).Canonical()
			for range 3 {
				out = append(out, question{name, types[s.rng.IntN(len(types))]})
			}
			for _, label := range []string{"x%d", "*%d", "a.b%d", "-%d"} {
				if child, err := dns.ParseName(fmt.Sprintf(label, s.rng.IntN(100)) + "." + strings.TrimPrefix(name.String(), ".")); err == nil && s.rng.IntN(3) == 0 {
					out = append(out, question{child.Canonical(), types[s.rng.IntN(len(types))]})
				}
			}
		}
	}
	for _, try := range simnet.LabTries() {
		t, _ := dns.ParseType(try.Type)
		out = append(out, question{dns.MustName(try.Name).Canonical(), t})
	}
	s.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	out = out[:questionsPerRun/2]
	return append(out, out...)
}

// ask puts a question, and demands the truth or a failure.
func (s *simulation) ask(q question) {
	a := s.core.Resolve(s.Context(), q.name, q.typ)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	fmt.Fprintln(s.trace, q.name, q.typ, a.RCode(), a.Status(), texts(a.Answer()))
	truth, err := s.in.Tree().Truth(q.name.String(), q.typ.String(), time.Now())
	good := err == nil && truth.RCode != dns.RCodeServerFailure.String() && truth.Status != "bogus"
	if good {
		s.good++
	}
	if isFailure(a) {
		if good {
			s.failed++
		}
	} else if err := isTrue(a, s.in.Tree(), true); err != nil {
		s.Errorf("seed %d: %v", s.seed, err)
	}
}

// isFailure reports what a client is told as SERVFAIL.
func isFailure(a *answer.Answer) bool {
	return a.RCode() == dns.RCodeServerFailure || a.Status().IsBogus()
}

// run asks everything by so many clients at a time, in four parts with hours between them, in
// which delegations, keys and answers go out of date.
func (s *simulation) run(all []question, clients int) {
	parts := slices.Collect(slices.Chunk(all, len(all)/4+1))
	for _, part := range parts {
		next := make(chan question)
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				for q := range next {
					s.ask(q)
				}
			})
		}
		for _, q := range part {
			next <- q
		}
		close(next)
		wg.Wait()
		s.checkMemory()
		time.Sleep(time.Duration(s.rng.IntN(7200)) * time.Second)
	}
}

// checkMemory looks up everything that the cache was ever given: what it still has, stale
// or not, is true or a failure.
func (s *simulation) checkMemory() {
	held := 0
	for q := range s.memory.puts {
		a, _ := s.memory.Get(q.name, q.typ, time.Now())
		if a == nil || isFailure(a) {
			continue
		}
		held++
		if err := isTrue(a, s.in.Tree(), true); err != nil {
			s.Errorf("seed %d: in memory: %v", s.seed, err)
		}
	}
	if held < 20 {
		s.Errorf("seed %d: %d answers in memory", s.seed, held)
	}
}

// simulate runs f in time of its own; a failure names the seed.
func simulate(t *testing.T, seed uint64, f func(t *testing.T)) {
	t.Helper()
	t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { synctest.Test(t, f) })
}

// Whatever the network and the servers do, an answer is right or it is SERVFAIL, and what
// memory holds afterwards is true.
func TestAnswersAreRightOrNone(t *testing.T) {
	first, last := uint64(1), *seedsFlag
	if *seedFlag != 0 {
		first, last = *seedFlag, *seedFlag
	}
	for seed := first; seed <= last; seed++ {
		simulate(t, seed, func(t *testing.T) {
			s := newSimulation(t, seed, true)
			s.run(s.questions(), 16)
			st := s.core.Stats()
			t.Logf("%d questions, %d good, %d of them failed, %d upstream, %d kept", s.asked, s.good, s.failed, s.in.Queries(), len(s.memory.puts))
			if s.failed > s.good*2/3 {
				t.Errorf("seed %d: %d of %d questions failed", seed, s.failed, s.good)
			}
			if s.asked < 1000 || st.Verifications == 0 || st.Hashes == 0 {
				t.Errorf("seed %d: nothing was tested: %d questions, %+v", seed, s.asked, st)
			}
		})
	}
}

// The same seed gives the same run: what went over the network, and the answers.
func TestSimulationsAreReproducible(t *testing.T) {
	var first string
	for i := range 2 {
		simulate(t, 7, func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, 7)
			s := newSimulation(t, 7, false)
			s.run(s.questions()[:500], 1)
			if sum := fmt.Sprintf("%x", s.trace.Sum(nil)); i == 0 {
				first = sum
			} else if sum != first {
				t.Errorf("%s and %s", first, sum)
			}
		})
	}
}
