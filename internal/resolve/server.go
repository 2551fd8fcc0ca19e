package resolve

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// server is what is known about one server address: how fast it is and which
// forms of a query it understands.
type server struct {
	addr netip.Addr
	port uint16

	inFlight atomic.Int32

	mu       sync.Mutex
	srtt     time.Duration // smoothed round-trip time (RFC 6298 §2); 0 = never heard
	variance time.Duration
	silent   int       // exchanges in a row without a reply
	since    time.Time // when the first of them ended
	last     time.Time // when the last of them ended
	down     time.Time // put aside until then, and after that until a probe is answered
	probing  bool      // one exchange finds out whether it is back

	plain      time.Time // no EDNS until then
	caseless   time.Time // does not keep the letter case of a question until then
	cookieless time.Time // no cookies until then
	cookie     cookie    // to send; the client's part is made at baked
	baked      time.Time

	edns bool // has sent an OPT record: what now denies EDNS is not believed
}

// serverKey names a server: address and port.
type serverKey struct {
	addr netip.Addr
	port uint16
}

// rto is how long to wait before another server is asked as well.
func (s *server) rto() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rtoLocked()
}

func (s *server) rtoLocked() time.Duration {
	if s.srtt == 0 {
		return unknownRTO
	}
	return min(max(s.srtt+4*s.variance, minRTO), maxRTO)
}

// heard notes a reply that took rtt.
func (s *server) heard(rtt time.Duration) {
	rtt = max(rtt, time.Microsecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent, s.down = 0, time.Time{}
	s.sample(rtt)
}

func (s *server) sample(rtt time.Duration) {
	if s.srtt == 0 {
		s.srtt, s.variance = rtt, rtt/2
		return
	}
	s.variance += ((s.srtt - rtt).Abs() - s.variance) / 4
	s.srtt += (rtt - s.srtt) / 8
}

// missed notes an exchange without a reply within waited. last tells whether it
// had its whole time; one cut short by another server's reply only makes this one
// look slower.
func (s *server) missed(waited time.Duration, whole bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if waited < s.rtoLocked() && !whole {
		return
	}
	s.last = now
	s.srtt = min(max(2*waited, 2*s.srtt), maxRTO)
	s.variance = 0
	if s.silent++; s.silent == 1 {
		s.since = now
	}
	if s.silent >= downAfter && now.Sub(s.since) >= downTime {
		pause := maxDown
		if n := s.silent - downAfter; n < 5 {
			pause = min(minDown<<n, maxDown)
		}
		s.down = now.Add(pause)
	}
}

// standing is what selection needs to know, read at once.
type standing struct {
	srtt   time.Duration
	silent int
	aside  bool // not to be asked
	probe  bool // to be asked by one question at a time
	spare  bool // aside, and to be probed where a zone has no other server
}

func (s *server) standing(now time.Time) standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	down := !s.down.IsZero()
	probe := down && !s.probing && !now.Before(s.down)
	aside := down && !probe
	return standing{
		srtt: s.srtt, silent: s.silent, aside: aside, probe: probe,
		spare: aside && !s.probing && now.Sub(s.last) >= minDown,
	}
}

// form is how a server is asked.
type form struct {
	edns   bool
	mixed  bool   // letter case drawn at random (0x20)
	known  bool   // EDNS has worked before
	cookie cookie // to send with EDNS
	padded bool   // instead, where what is sent is encrypted
}

func (s *server) form(now time.Time) form {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := form{edns: !now.Before(s.plain), mixed: !now.Before(s.caseless), known: s.edns}
	if f.edns && !now.Before(s.cookieless) {
		f.cookie = s.cookieLocked(now)
	}
	return f
}

// noteEDNS records that a reply held an OPT record.
func (s *server) noteEDNS() {
	s.mu.Lock()
	s.edns = true
	s.mu.Unlock()
}

// notePlain records, on evidence that no single forged packet can make, that the
// server answers only without EDNS.
func (s *server) notePlain(now time.Time) {
	s.mu.Lock()
	s.plain, s.edns = now.Add(formTime), false
	s.mu.Unlock()
}

// noteCaseless records, on the evidence of a reply over TCP, that the server does
// not keep letter case.
func (s *server) noteCaseless(now time.Time) {
	s.mu.Lock()
	s.caseless = now.Add(formTime)
	s.mu.Unlock()
}

// probe claims the one exchange that may be sent to a server that was put aside.
func (s *server) probe() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probing {
		return false
	}
	s.probing = true
	return true
}

func (s *server) probed() {
	s.mu.Lock()
	s.probing = false
	s.mu.Unlock()
}

// families counts the exchanges in a row that had no reply, by address family, so
// that a machine without working IPv6 (or IPv4) asks over the other first.
type families struct{ silent [2]atomic.Int32 }

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func (f *families) heard(a netip.Addr)    { f.silent[family(a)].Store(0) }
func (f *families) missed(a netip.Addr)   { f.silent[family(a)].Add(1) }
func (f *families) bad(a netip.Addr) bool { return f.silent[family(a)].Load() >= familyBad }
