package filter

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"

	"github.com/shoji-dns/shoji/ledger"
)

// synthetic yields n listings with names shaped like those of public lists: two
// to four labels, about 21 characters, uneven top-level domains.
func synthetic(n int, scope ledger.Scope) iter.Seq[ledger.Listing] {
	return func(yield func(ledger.Listing) bool) {
		s := newShape(uint64(n))
		for i := range n {
			if !yield(ledger.Listing{Name: s.next(), Scope: scope, Entry: uint64(i)}) {
				return
			}
		}
	}
}

type shape struct {
	r         *rand.Rand
	words, ts []string
}

func newShape(seed uint64) *shape {
	s := &shape{r: rand.New(rand.NewPCG(seed, 1))}
	s.words = strings.Fields("ad ads track click pixel metrics stat banner promo cdn media news shop bank login secure account verify update cloud mail web app api data social video game crypto wallet bonus prize free best top super mega smart fast blue red green")
	for range 50 {
		s.ts = append(s.ts, "com")
	}
	for range 10 {
		s.ts = append(s.ts, "net")
	}
	for range 6 {
		s.ts = append(s.ts, "org")
	}
	for range 2 {
		s.ts = append(s.ts, strings.Fields("xyz top ru de info online shop site club io cn fr co.uk com.br pl it")...)
	}
	return s
}

func (s *shape) word() string { return s.words[s.r.IntN(len(s.words))] }

func (s *shape) next() string {
	reg := s.word()
	if s.r.Float64() < .6 {
		reg += s.word()
	}
	reg += fmt.Sprintf("%x.%s", s.r.IntN(1<<24), s.ts[s.r.IntN(len(s.ts))])
	switch y := s.r.Float64(); {
	case y < .55:
		return reg
	case y < .9:
		return fmt.Sprintf("%s%d.%s", s.word(), s.r.IntN(100), reg)
	}
	return fmt.Sprintf("%s.%s%d.%s", s.word(), s.word(), s.r.IntN(1000), reg)
}
