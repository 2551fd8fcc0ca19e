// Package simnet is an Internet in one process: authoritative servers for real
// zones, signed with real keys, behind a network whose faults are dialled in. It
// is what `shoji serve --lab` resolves against and what tests stand on. Nothing
// in it opens a socket.
//
// # Building one
//
// Zones are written as master-file text and signed as a Spec says. Build puts
// each signed zone's DS into its parent, so that a chain of trust hangs together:
//
//	tree, err := simnet.Build(seed,
//		simnet.Spec{Origin: ".", Text: root, Signing: &simnet.Signing{Inception: t0, Expiration: t1}},
//		simnet.Spec{Origin: "test.", Text: test, Signing: &simnet.Signing{Inception: t0, Expiration: t1,
//			NSEC3: &simnet.NSEC3{OptOut: true}}})
//	in := simnet.New(seed)
//	in.Serve([]*simnet.Zone{tree.Zone(".")}, netip.MustParseAddr("198.18.0.1"))
//	err = in.Exchange(ctx, addr, 53, false, query, func(reply []byte) bool { ... })
//
// Exchange has the shape of a resolver's network: it carries one query and hands
// over every message that comes back until one is accepted.
//
// # What a server does
//
// It answers as RFC 1034 §4.3.2 and its successors have it: referrals with glue,
// NODATA and NXDOMAIN with SOA, wildcards (RFC 4592), aliases followed inside the
// zone, DNAME (RFC 6672), ANY in full, EDNS(0) (RFC 6891), and where DO is set
// the signatures and proofs of RFC 4035 §3.1 and RFC 5155 §7.2, opt-out included. Over
// UDP it sends at most 1232 octets and at most what the query allows, and else
// sets TC. It answers no zone transfers. Positive answers are minimal: no NS in
// the authority section. Letter case in owner names follows the question.
//
// A server of one's own making is a Handler: it gets the query and returns any
// number of replies, each with its delay. Authoritative gives the true reply for
// a Handler that wants to change it.
//
// # Faults
//
// Faults lists them. They hold for the whole Internet or for one server. A forged
// reply (Spoof) is always wrong in ID, letter case, question or port, and always
// leads to Forged4 and Forged6, so a test may require that these are never seen.
//
// # What is reproducible
//
// Keys, ECDSA nonces and so all zones derive from the seed and the times given.
// Chance derives from the seed, the server, the transport, the question in lower
// case and the number of times that it was put before; neither the order in which
// goroutines run nor the random ID and case of a query matters. Waiting is by timers and contexts alone: inside
// testing/synctest a run with seconds of delay takes none.
//
// # The lab
//
// Lab is a fixed Internet with a root, the TLDs test. and example., and below
// them zones that each show something; LabHints, LabAnchor, LabList and LabTries
// say how to start, whom to trust, what is listed and what to ask. Its addresses
// are from the ranges for benchmarks and documentation (RFC 2544, 5737, 3849).
//
// # Truth
//
// Tree.Truth says what the zones themselves hold, with no network in between: the
// yardstick of a simulation, in which every answer is the truth or SERVFAIL.
//
// # Limits
//
// Zone text, keys and signatures are the work of github.com/miekg/dns, on purpose:
// packets and proofs made here check our own code against foreign hands. A
// wildcard with NS is not a delegation. Keys of RSA have 1024 bits. A signed zone
// is signed once, by Build, and not again.
package simnet
