package resolve

import (
	"cmp"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Minimise is how much of a name the servers on the way to it get to see (RFC 9156).
type Minimise uint8

const (
	// MinimiseRelaxed asks for one label more at a time, and for the whole name
	// where a server answers that with an error or a denial.
	MinimiseRelaxed Minimise = iota
	// MinimiseStrict believes every denial (RFC 8020) and never gives in.
	MinimiseStrict
	// MinimiseOff asks for the whole name at once.
	MinimiseOff
)

const (
	maxMinimise    = 10 // MAX_MINIMISE_COUNT, RFC 9156 §2.3
	minimiseOneLab = 4  // MINIMISE_ONE_LAB, RFC 9156 §2.3
)

// minimiser picks the names of one walk's questions.
type minimiser struct {
	off    bool
	labels int // of the next name
	total  int // of the whole name
	name   dns.Name
	count  int      // names shortened so far, over all cuts of the walk
	typ    dns.Type // of the next question: 0 for A
}

// enter begins at a cut.
func (m *minimiser) enter(mode Minimise, c *cut, q question) {
	m.name, m.total = q.name, q.name.Labels()
	m.labels = c.zone.Labels()
	if mode == MinimiseOff || c.forward {
		m.off = true
	}
	m.passed()
}

// passed adds labels to the name, at a new cut or where there turned out to be none: one at a time for the first few, then the rest
// in equal parts (RFC 9156 §2.3). Labels that begin with an underscore are not
// zones of their own, and are passed in one step (§2.3, last paragraph).
func (m *minimiser) passed() {
	m.typ = 0
	if m.off {
		return
	}
	add := 1
	switch {
	case m.count >= maxMinimise:
		m.off = true
		return
	case m.count >= minimiseOneLab:
		left := maxMinimise - m.count
		add = max((m.total-m.labels+left-1)/left, 1)
	}
	m.labels += add
	for m.labels < m.total && m.name.Suffix(m.labels)[1] == '_' {
		m.labels++
	}
}

// next is the question to ask now.
func (m *minimiser) next(q question) question {
	if m.off || m.labels >= m.total {
		return q
	}
	m.count++
	return question{q.name.Suffix(m.labels), cmp.Or(m.typ, dns.TypeA)}
}

// asNS has the question that failed for type A put once more for type NS: some servers
// that know of nothing but delegations answer no other, and it tells less than the whole
// name does. It reports false where that was tried.
func (m *minimiser) asNS() bool {
	tried := m.typ == dns.TypeNS
	m.typ = dns.TypeNS
	return !tried
}

// stop asks for the whole name from here on.
func (m *minimiser) stop() { m.off = true }
