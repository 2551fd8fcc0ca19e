package appeal

import (
	"slices"
	"time"

	"github.com/shoji-dns/shoji/ledger"
)

// Vote is what one member of staff thinks of a case.
type Vote struct {
	Member  string
	Verdict string // of a case, ledger.CaseUpheld or ledger.CaseDelisted
	Reason  string
	At      time.Time
}

// Verdicts are what staff can decide.
func Verdicts() []string { return []string{ledger.CaseDelisted, ledger.CaseUpheld} }

// Tally says whether people members agree, and on what. Of a member's votes the last in order
// counts. Where two verdicts have enough votes, which a change of the policy can bring about, the
// listing's end counts. reason is the one of the last vote that agrees.
func Tally(votes []Vote, people int) (verdict, reason string, decided bool) {
	return Agree(votes, people, Verdicts()...)
}

// Agree reports whether people members agree on one of some verdicts, the first of which counts where two have
// enough votes.
func Agree(votes []Vote, people int, verdicts ...string) (verdict, reason string, decided bool) {
	latest := make(map[string]int)
	for i, v := range votes {
		latest[v.Member] = i
	}
	for _, verdict := range verdicts {
		agree := 0
		reason := ""
		for i, v := range votes {
			if latest[v.Member] == i && v.Verdict == verdict {
				agree++
				reason = v.Reason
			}
		}
		if agree >= max(people, 1) {
			return verdict, reason, true
		}
	}
	return "", "", false
}

// Spans are the times from received to the end of cases that ended, sorted.
type Spans []time.Duration

// SpansOf collects them.
func SpansOf(cases []Case) Spans {
	var s Spans
	for i := range cases {
		if c := &cases[i]; !c.Ended.IsZero() {
			s = append(s, c.Ended.Sub(c.Received))
		}
	}
	slices.Sort(s)
	return s
}

// Within is the time in which a share (0 to 1) of the cases had ended; 0 where there is none.
func (s Spans) Within(share float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	return s[min(int(share*float64(len(s))), len(s)-1)]
}
