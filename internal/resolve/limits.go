package resolve

import "time"

// Limits that a stranger can drive. Each names its source.
const (
	// maxQueries is how many messages one client's request may send upstream, all
	// sub-requests, retries and TCP included. Restarts never refill it. NXNSAttack
	// (CVE-2020-12662), CAMP and TsuNAME are bounded by it.
	maxQueries = 100

	// maxWall is how long one request may take. Clients give up after 5 to 10 s.
	maxWall = 9 * time.Second

	// maxDepth bounds requests for addresses of name servers within requests for
	// addresses of name servers.
	maxDepth = 6

	// maxNSLookups bounds the look-ups of name-server addresses in one request's
	// tree (NXNSAttack; NRDelegation, CVE-2022-3204).
	maxNSLookups = 20

	// maxFailedNS bounds the name servers of one delegation whose address look-up
	// may fail before the delegation is given up for the request.
	maxFailedNS = 5

	// maxSubWall is how long the look-up of one name server's address may take.
	maxSubWall = 4 * time.Second

	// maxLinks is the longest chain of CNAME and DNAME records followed.
	maxLinks = 11

	// maxHops bounds the questions of one walk down the tree: a name has at most
	// 127 labels, minimisation asks at most maxMinimise times, and a walk may
	// begin anew above a delegation that has turned useless.
	maxHops = 64

	// maxNS is how many NS records of a delegation are considered.
	maxNS = 20

	// maxTargets is how many addresses of a delegation are remembered, and
	// maxTargetsPerNS how many of one name server.
	maxTargets      = 40
	maxTargetsPerNS = 8

	// maxRRset is the most records of one name and type that are accepted
	// (CVE-2024-1737; the same default as BIND's max-records-per-type).
	maxRRset = 100

	// maxRecords is the most records of one reply that are kept.
	maxRecords = 400

	// maxTries is how many messages one question may cost at one zone, not counting
	// the changes from UDP to TCP and those for EDNS; minTries is how many are
	// sent at least where servers stay silent.
	maxTries = 8
	minTries = 3

	// maxParallel is how many servers may be waited for at a time by one question.
	maxParallel = 3

	// maxSteps bounds the transports and forms tried with one server for one
	// question: UDP, UDP again, TCP, and each without cookie and without EDNS.
	maxSteps = 6

	// maxNearMisses is how many replies with the right question and the wrong ID
	// are ignored before the question moves to TCP: somebody is guessing.
	maxNearMisses = 3

	// maxZoneInFlight bounds the questions under way to one zone, so that a slow
	// zone cannot hold all of the resolver; the root and TLDs have more room.
	maxZoneInFlight   = 512
	maxTopInFlight    = 8192
	maxServerInFlight = 4096

	// maxCuts, maxServers and maxFailures size the resolver's own maps.
	maxCuts     = 1 << 15
	maxServers  = 1 << 15
	maxFailures = 1 << 13

	// maxOpen sizes the map of names at which no zone begins.
	maxOpen = 1 << 14
)

// Times.
const (
	// DefaultMaxTTL caps what is remembered where nothing else is configured: a day
	// is what Unbound and BIND use for positive answers.
	DefaultMaxTTL = 24 * time.Hour

	// DefaultMaxNegativeTTL likewise caps negative answers (RFC 2308 §5: one to
	// three hours).
	DefaultMaxNegativeTTL = time.Hour

	// longestTTL is as long as anything is remembered, whatever is configured (RFC
	// 8767 §4).
	longestTTL = 7 * 24 * time.Hour

	// maxTTL caps how long the keys of a zone are believed.
	maxTTL = 24 * time.Hour

	// maxOpenTTL caps how long it is remembered that no zone begins at a name.
	maxOpenTTL = time.Hour

	// noSOATTL is for negative answers without SOA, which RFC 2308 §5 leaves
	// uncached; a few seconds keep a question from going out at every request.
	noSOATTL = 5 * time.Second

	// minFailure and maxFailure bound how long a failed resolution is remembered,
	// doubled with each failure in a row (RFC 9520 §3.2: at least 1 s, at most 300 s).
	minFailure = time.Second
	maxFailure = 30 * time.Second

	// refetchAge is how old a remembered delegation must be before its failure
	// sends the resolver back to the parent.
	refetchAge = 10 * time.Second

	// primeRetry is how long the hints serve after priming has failed.
	primeRetry = 30 * time.Second
)

// Round-trip times and time-outs.
const (
	unknownRTO = 300 * time.Millisecond  // RFC 6298 asks for 1 s; resolvers have many servers to ask
	minRTO     = 40 * time.Millisecond   // below it, scheduling noise decides
	maxRTO     = 1200 * time.Millisecond // a server slower than this is passed over
	minWait    = 500 * time.Millisecond  // least time that a reply is waited for
	maxWait    = 3 * time.Second         // most
	tcpWait    = 3 * time.Second         // for a whole exchange over TCP

	// downAfter silent exchanges in a row, over downTime at least, put a server
	// aside, for minDown first, then twice as long with each further one, to
	// maxDown (RFC 9520 §3.1).
	downAfter = 3
	downTime  = time.Second
	minDown   = time.Second
	maxDown   = 15 * time.Second

	// formTime is how long a server's inability (EDNS, letter case) is believed.
	formTime = 15 * time.Minute

	// lameTime is how long a server is passed over for a zone that it does not serve.
	lameTime = 10 * time.Minute

	// familyPenalty is added to the cost of servers of an address family in which
	// familyBad exchanges in a row had no reply.
	familyPenalty = time.Second
	familyBad     = 4
)
