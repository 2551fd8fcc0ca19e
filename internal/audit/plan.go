package audit

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// A plan must not show which of its questions are about listed names: types, EDNS, sources
// and the order are drawn before it is known what they are about, from one distribution for
// all names.

// topic is a name that is asked for.
type topic struct {
	name    dns.Name
	chosen  bool // by the user
	listed  bool // when the plan was made
	twin    bool // may be asked for in the unfiltered view
	contact bool // and resolved, though it is listed
}

// form is how a question is put, in the ways in which ordinary clients differ.
type form struct {
	name   string
	edns   bool
	size   uint16
	do     bool
	cd     bool
	ad     bool
	cookie bool

	structured bool // asks for structured errors
	mixed      bool // letters of either case
}

// forms are those of common stubs and forwarders: glibc's without and with edns0, dig's, those of
// validating forwarders, of such that mix the case of letters, and of browsers that say why
// a name is filtered.
func forms() []form {
	return []form{
		{name: "no EDNS"},
		{name: "EDNS, 1232 octets", edns: true, size: 1232},
		{name: "EDNS, 4096 octets", edns: true, size: 4096},
		{name: "EDNS, 512 octets", edns: true, size: 512},
		{name: "DO", edns: true, size: 1232, do: true},
		{name: "CD", edns: true, size: 1232, do: true, cd: true},
		{name: "cookie", edns: true, size: 1232, ad: true, cookie: true},
		{name: "structured errors", edns: true, size: 1232, structured: true},
		{name: "mixed case", edns: true, size: 1232, mixed: true},
	}
}

// mix are the types of questions that come together, as often as they stand there. The first
// are what browsers and stubs ask; the others, what mail servers, validators and tools do. A
// is always among them, so that the ways of asking can be compared.
func mix() [][]dns.Type {
	one, stub, browser := []dns.Type{dns.TypeA}, []dns.Type{dns.TypeA, dns.TypeAAAA}, []dns.Type{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS}
	return [][]dns.Type{
		one, one, one, stub, stub, stub, stub, browser, browser, browser,
		{dns.TypeA, dns.TypeMX}, {dns.TypeA, dns.TypeTXT}, {dns.TypeA, dns.TypeNS}, {dns.TypeA, dns.TypeSVCB}, {dns.TypeA, dns.TypeANY}, {dns.TypeA, dns.TypeCAA},
	}
}

// question is one question of a plan.
type question struct {
	*topic
	typ   dns.Type
	form  form
	route Route
}

// visit is what is asked at one time: the types of one name.
type visit []question

const (
	// coverShare is how many ordinary names there are at least for each listed one.
	coverShare = 2
	// perName is how often a name is visited in a round: enough for it to meet several
	// sources, transports and forms.
	perName = 3
	// perChosen is the same for a name that the user gave.
	perChosen = 12
	// typesAVisit is a little more than how many types a visit has on the average.
	typesAVisit = 2
	// twinShare is how many visits go to the filtered view for each to its twin.
	twinShare = 3
)

// planner makes plans.
type planner struct {
	*rand.Rand
	filtered, twins []Server
	transports      []Transport
	sources         []netip.Addr
}

func newPlanner(cfg *LiveConfig) *planner {
	var seed [32]byte
	if crand.Read(seed[:]); cfg.Seed != 0 {
		seed = [32]byte{}
		binary.LittleEndian.PutUint64(seed[:], cfg.Seed)
	}
	p := &planner{Rand: rand.New(rand.NewChaCha8(seed)), transports: cfg.Transports, sources: cfg.Sources}
	for _, s := range cfg.Servers {
		if s.Unfiltered {
			p.twins = append(p.twins, s)
		} else {
			p.filtered = append(p.filtered, s)
		}
	}
	return p
}

// topics picks what a round is about: the user's names, a sample of the listed ones, and
// at least coverShare ordinary ones for each of them.
func (p *planner) topics(chosen, listed, ordinary []topic, budget int) []topic {
	out := slices.Clone(chosen)
	room := max((budget-len(chosen)*perChosen*typesAVisit)/(perName*typesAVisit), 1)
	p.Shuffle(len(ordinary), func(i, j int) { ordinary[i], ordinary[j] = ordinary[j], ordinary[i] })
	n := min(len(listed), max(room/(1+coverShare), 1))
	out = append(out, listed[:n]...)
	return append(out, ordinary[:min(len(ordinary), max(room-n, coverShare*n))]...)
}

// round is a plan of at most budget questions. Where they are not enough for all, the names
// that the user gave come first.
func (p *planner) round(topics []topic, budget int) []visit {
	var chosen, others []func() visit
	for i := range topics {
		s := &topics[i]
		n, to := perName, &others
		if s.chosen {
			n, to = perChosen, &chosen
		}
		*to = append(*to, p.calls(s, p.filtered, n)...)
		if s.twin {
			*to = append(*to, p.calls(s, p.twins, (n+twinShare-1)/twinShare)...)
		}
	}
	for _, calls := range [][]func() visit{chosen, others} {
		p.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
	}
	var out []visit
	for _, call := range append(chosen, others...) {
		v := call()
		if budget -= len(v); budget < 0 {
			break
		}
		out = append(out, v)
	}
	p.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// calls are n visits to one name at servers of one view, from sources, over transports and
// in forms that differ as far as there are some.
func (p *planner) calls(s *topic, servers []Server, n int) []func() visit {
	if len(servers) == 0 {
		return nil
	}
	all := forms()
	at, from, over, as := p.turns(len(servers), n), p.turns(len(p.sources), n), p.turns(2, n), p.turns(len(all), n)
	out := make([]func() visit, n)
	for k := range out {
		r := Route{Server: servers[at[k]], Transport: servers[at[k]].Encrypted}
		if r.Encrypted == "" {
			r.Transport = p.transports[0].Name
			if others := p.transports[1:]; over[k] == 1 && len(others) > 0 { // UDP as often as all others: as stubs do
				r.Transport = others[p.IntN(len(others))].Name
			}
			if sources := fitting(p.sources, r.Addr.Addr()); len(sources) > 0 {
				r.Source = sources[from[k]%len(sources)]
			}
		}
		out[k] = func() visit { return p.visit(s, r, all[as[k]]) }
	}
	return out
}

// visit draws the types that are asked for together.
func (p *planner) visit(s *topic, r Route, f form) visit {
	all := mix()
	var v visit
	for _, t := range all[p.IntN(len(all))] {
		r.Port = anyPort()
		v = append(v, question{s, t, f, r})
	}
	return v
}

// turns are count numbers below n, each as often as any other, in no order.
func (p *planner) turns(n, count int) []int {
	var out []int
	for len(out) < count {
		out = append(out, p.Perm(max(n, 1))...)
	}
	return out[:count]
}

// fitting are the sources from which an address can be reached: of its family, and the
// loopback for the loopback alone.
func fitting(sources []netip.Addr, to netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range sources {
		if a.Is4() == to.Unmap().Is4() && a.IsLoopback() == to.IsLoopback() {
			out = append(out, a)
		}
	}
	return out
}

// gap is a random time between two visits: exponential, as between independent events, and
// not so long that an audit seems to have stopped.
func (p *planner) gap(mean time.Duration) time.Duration {
	return min(time.Duration(p.ExpFloat64()*float64(mean)), 5*mean)
}

// query is the question as it is sent.
func (q *question) query() ([]byte, error) {
	var id [2]byte
	crand.Read(id[:])
	name := q.name
	if q.form.mixed {
		name = mixed(name)
	}
	m := dns.Message{
		ID: binary.BigEndian.Uint16(id[:]), Flags: dns.FlagRD,
		Question: []dns.Question{{Name: name, Type: q.typ, Class: dns.ClassIN}},
	}
	if q.form.ad {
		m.Flags |= dns.FlagAD
	}
	if q.form.cd {
		m.Flags |= dns.FlagCD
	}
	if q.form.edns {
		m.EDNS = &dns.EDNS{UDPSize: q.form.size, DO: q.form.do}
	}
	if q.form.cookie {
		cookie := make([]byte, 8) // RFC 7873 §4.1; a new one each time, as of a client that has just started
		crand.Read(cookie)
		m.EDNS.Options = []dns.Option{{Code: dns.OptionCookie, Data: cookie}}
	}
	if q.form.structured {
		m.EDNS.Options = []dns.Option{{Code: dns.OptionStructuredError}}
	}
	if q.route.Encrypted == "" {
		return m.Append(nil)
	}
	if m.EDNS == nil { // whoever encrypts pads
		m.EDNS = &dns.EDNS{UDPSize: dns.DefaultUDPSize}
	}
	b, err := m.Append(nil)
	if err != nil {
		return nil, err
	}
	const block = 128 // RFC 8467 §4.1
	return dns.PadMessage(b, 0, block, 65535), nil
}

// mixed is a name with each of its letters in one case or the other
// (draft-vixie-dnsext-dns0x20-00).
func mixed(n dns.Name) dns.Name {
	flips := make([]byte, len(n))
	crand.Read(flips)
	out := []byte(n)
	for at := 0; at < len(out); at += 1 + int(out[at]) { // label by label: lengths are no letters
		for i := at + 1; i <= at+int(out[at]); i++ {
			if c := out[i] | 0x20; 'a' <= c && c <= 'z' && flips[i]&1 == 1 {
				out[i] ^= 0x20
			}
		}
	}
	return dns.Name(out)
}
