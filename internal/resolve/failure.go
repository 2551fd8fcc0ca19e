package resolve

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// failure is why a resolution failed, as a client is told it (RFC 8914).
type failure struct {
	code dns.ErrorCode
	text string
}

func (f *failure) Error() string { return f.text }

var (
	errBudget      = &failure{dns.EDEOther, "work budget of the request spent"}
	errWall        = &failure{dns.EDENoReachableAuthority, "time budget of the request spent"}
	errDepth       = &failure{dns.EDEOther, "name server addresses depend on each other"}
	errLoop        = &failure{dns.EDEOther, "CNAME or DNAME loop"}
	errChain       = &failure{dns.EDEOther, "CNAME or DNAME chain too long"}
	errHops        = &failure{dns.EDEOther, "delegation chain too long"}
	errBusy        = &failure{dns.EDEOther, "too many questions under way to the zone"}
	errUnreachable = &failure{dns.EDENoReachableAuthority, "no name server of the zone answered"}
	errNoAddress   = &failure{dns.EDENoReachableAuthority, "no name server of the zone has an address"}
	errRefused     = &failure{dns.EDENetworkError, "name servers of the zone answer with errors or are lame"}
	errTrust       = &failure{dns.EDEDNSSECIndeterminate, "the chain of trust could not be followed"}
	errProofs      = &failure{dns.EDEDNSSECBogus, "validation work limit of the request reached"}
	errGone        = &failure{dns.EDEOther, "request cancelled"}
)

// ownAffair reports that an error says nothing about the question: another
// request, with its own time and budget, may well succeed.
func ownAffair(err error) bool {
	return err == errBudget || err == errWall || err == errDepth || err == errProofs ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// asFailure gives every error the form that an answer carries.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return errGone
}

// failures remembers how often in a row a question has failed, so that each time
// it is left alone for longer (RFC 9520 §3.2).
type failures struct {
	mu   sync.Mutex
	runs map[question]failedRun
}

type failedRun struct {
	wait  time.Duration
	until time.Time // a failure after this moment begins a new run
}

func newFailures() *failures {
	return &failures{runs: make(map[question]failedRun)}
}

// note records a failure and returns how long it is to be remembered.
func (f *failures) note(q question, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	run, ok := f.runs[q]
	switch {
	case !ok || now.After(run.until):
		run.wait = minFailure
	default:
		run.wait = min(2*run.wait, maxFailure)
	}
	if !ok && len(f.runs) >= maxFailures {
		for k := range f.runs { // any one: the order of a map is arbitrary
			delete(f.runs, k)
			break
		}
	}
	run.until = now.Add(2*run.wait + maxWall)
	f.runs[q] = run
	return run.wait
}

// clear forgets a question's failures.
func (f *failures) clear(q question) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.runs) > 0 {
		delete(f.runs, q)
	}
}
