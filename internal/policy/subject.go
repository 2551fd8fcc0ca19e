package policy

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/ledger"
)

// Kinds of evidence. The first group is what sources claim; the second, what is known
// about a subject in other ways and brought forward as evidence too, so that a log entry
// carries all that its clause was decided by.
const (
	C2             = "c2"              // commands malware
	MalwareHost    = "malware-host"    // hands malware out
	DGA            = "dga"             // a name that a malware family generates
	Phishing       = "phishing"        // imitates somebody to get at secrets
	CoinMiner      = "coin-miner"      // hands out browser coin miners or takes their results
	P2P            = "p2p"             // serves P2P file sharing
	AnonymityRelay = "anonymity-relay" // Tor relays and exits
	Proxy          = "proxy"           // other open proxies and VPN exits
	UserContent    = "user-content"    // hosts what strangers post
	Benign         = "benign"          // somebody vouches for it

	PromptAbuseHandling = "prompt-abuse-handling" // its operator handles abuse promptly
	Dedicated           = "dedicated"             // serves nothing but the purpose claimed
	SharedApex          = "shared-apex"           // strangers have hosts below it
	BelowSharedApex     = "below-shared-apex"     // lies below such a name, which the reference names
	PublicSuffix        = "public-suffix"         // the public suffix list has it
	Popular             = "popular"               // the reference is its rank
	Infrastructure      = "infrastructure"        // the Internet's or the resolver's own needs
	Own                 = "own"                   // the operator's own
	Canary              = "canary"                // listed so that filtering can be seen
	Chosen              = "chosen"                // the operator listed it by hand and answers for it
	AppealGranted       = "appeal-granted"        // an appeal showed that it is none
	Confirmed           = "confirmed"             // a person confirmed the clause in the reference
	Rejected            = "rejected"              // a person rejected it
)

var kinds = []string{
	C2, MalwareHost, DGA, Phishing, CoinMiner, P2P, AnonymityRelay, Proxy, UserContent, Benign,
	PromptAbuseHandling, Dedicated, SharedApex, BelowSharedApex, PublicSuffix, Popular, Infrastructure, Own, Canary, Chosen,
	AppealGranted, Confirmed, Rejected,
}

// Kinds lists every kind of evidence.
func Kinds() []string { return slices.Clone(kinds) }

// Evidence is one source's claim, with the group that the source belongs to.
type Evidence struct {
	ledger.Evidence
	// Group names sources that copy one another and count as one; "" is the source itself.
	Group string
}

func (e *Evidence) group() string {
	if e.Group != "" {
		return e.Group
	}
	return e.Source
}

// lastSeen is when the evidence was last seen, or first where that is all that is known.
func (e *Evidence) lastSeen() time.Time {
	if e.Last.IsZero() {
		return e.First
	}
	return e.Last
}

// Subject is what is decided about: a name, or an address prefix, with its evidence.
type Subject struct {
	Name     string       // as in a log entry; "" where Prefix is valid
	Prefix   netip.Prefix // of addresses
	Scope    ledger.Scope // what the sources claim: exact, subtree or prefix
	Evidence []Evidence
}

// rank is the best rank among the evidence of kind Popular.
func (s *Subject) rank() int64 {
	var best int64
	for i := range s.Evidence {
		e := &s.Evidence[i]
		if e.Kind != Popular {
			continue
		}
		if n, err := strconv.ParseInt(e.Reference, 10, 64); err == nil && n > 0 && (best == 0 || n < best) {
			best = n
		}
	}
	return best
}

// families are those that the evidence names, each once, sorted.
func (s *Subject) families() []string {
	var out []string
	for i := range s.Evidence {
		if f := s.Evidence[i].Family; f != "" {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (s *Subject) labels() int64 {
	if s.Name == "" {
		return 0
	}
	return int64(strings.Count(s.Name, ".")-strings.Count(s.Name, `\.`)) + 1
}

// ruling is what a person said last to a clause that asks for review. Of two rulings of
// one moment, the rejection counts.
func (s *Subject) ruling(clause string) Outcome {
	out := Review
	var at time.Time
	for i := range s.Evidence {
		e := &s.Evidence[i]
		if e.Reference != clause || e.Kind != Confirmed && e.Kind != Rejected {
			continue
		}
		switch seen := e.lastSeen(); {
		case out != Review && seen.Before(at):
		case e.Kind == Rejected:
			out, at = Spare, seen
		case out == Review || seen.After(at):
			out, at = List, seen
		}
	}
	return out
}
