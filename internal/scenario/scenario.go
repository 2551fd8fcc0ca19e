// Package scenario reads and plays stories of resolution: .rpl files, the format that Unbound's
// testbound made and that Deckard took up. A story has servers, which answer what it says, a
// client, which asks, and what the client must be told.
//
// # Playing
//
//	go test ./internal/scenario                      # the project's own stories, in testdata
//	go test -v ./internal/scenario -run TestRPL -rpl DIR             # every .rpl file below DIR, with a report
//	go test -v ./internal/scenario -run TestRPL -rpl DIR -table rpl.tsv -class core,core-time -min-agree 2
//	go test -v ./internal/scenario -run TestRPL -rpl FILE -trace     # with every query and its answer
//
// The resolver core stands in the process as cmd/shoji wires it: resolve, cache, dnssec and serve.
// Two things are replaced, and nothing else. The network is a script (script.go): a query goes
// to the entries of the ranges for its address and the current step. The clock is that of a
// testing/synctest bubble, set to the story's date; TIME_PASSES and time-outs take no time.
//
// A file ends as PASS (every MATCH fits), CORE (what any resolver must have right fits: RCODE,
// the flags QR, TC, RA and AD, the answer section; something else that the file asks for does not),
// FAIL, SKIP (the configuration cannot be expressed, or a step is about the inside of another
// implementation) or ERROR (it cannot be read).
//
// # The language
//
// Both dialects are read. In Unbound's, the configuration is unbound.conf, the ranges are looked
// through from the last to the first, and during a QUERY the step after it is the current one. In
// Deckard's, the first range that fits answers, the QUERY itself is the current step, REPLY steps
// answer once, and a query has EDNS. A query that no entry fits is held back, in a story of Unbound's
// dialect with REPLY, TIMEOUT, ERROR or CHECK_OUT_QUERY steps, until a step takes it. Elsewhere a
// question for the address of a name server of the story gets what the story knows of it, and
// others get SERVFAIL. Addresses without a server cannot be reached.
//
// The project's own stories are of Unbound's dialect and may have three things more:
//
//   - "ZONE_BEGIN name ADDRESS... [options]", the zone's text, and "ZONE_END" make a zone, served at
//     the addresses to what no entry fits. Options: signed, nsec3, optout, expired, island, broken,
//     brokenkey, alg=NUMBER, digest=NUMBER, iterations=NUMBER (package simnet says what they mean). Signing
//     happens when the story is played.
//   - "anchor: name" in the server clause trusts a signed zone of the story.
//   - "list: subject" in the server clause filters a name, "*.name" for all below it too, or a prefix.
//
// # Keys of another time
//
// Stories older than RFC 8624 are signed by DSA, RSA/MD5 or RSA of 512 bits. Nothing that validates
// today takes these, and a story that is insecure throughout tells nothing. So such a story is
// signed again before it is played (resign.go): each key becomes an Ed25519 key, each DS and
// trust anchor follows its key, each signature that was right becomes a right one of the new key,
// and each that was wrong a wrong one.
//
// # Limits and known faults
//
// Steps that look into another implementation are not played: CHECK_AUTOTRUST, CHECK_TEMPFILE, ASSIGN,
// INFRA_RTT, FLUSH_MESSAGE, EXPIRE_MESSAGE. TTLs may differ by two seconds, since time-outs take virtual time.
// The order of records in a section does not count. Access by client and what transports do (keepalive,
// cookies of clients, rate limits) is package listen's and not part of the core.
package scenario

import (
	"time"

	"github.com/miekg/dns"
)

// Dialect is a dialect of the language.
type Dialect string

// The dialects.
const (
	Unbound Dialect = "unbound"
	Deckard Dialect = "deckard"
)

// Scenario is a story as it was read.
type Scenario struct {
	Title    string
	Dialect  Dialect
	Settings []Setting
	Files    map[string]string // TEMPFILE_CONTENTS by name
	Zones    []Zone
	Ranges   []*Range
	Steps    []*Step
}

// Setting is one line of the configuration.
type Setting struct {
	Clause     string // server, stub-zone, ...
	Number     int    // counts the clauses: settings of one clause have the same
	Key, Value string
}

// Zone is a zone whose servers answer by themselves.
type Zone struct {
	Line    int
	Name    string
	Addrs   []string
	Options []string
	Text    string
}

// Range holds what servers answer during some steps.
type Range struct {
	From, To int // numbers of steps, both included
	Addrs    []string
	Entries  []*Entry
}

// Step is one thing that happens.
type Step struct {
	Line, ID int
	Kind     string // QUERY, CHECK_ANSWER, ...
	Addr     string
	Elapse   time.Duration // of TIME_PASSES
	Macro    string        // what was given in place of a number
	Entry    *Entry
}

// How an entry asks for an Extended DNS Error.
const (
	noCode  = -1 // it does not
	anyCode = -2
)

// Entry is a message with what to compare and what to change.
type Entry struct {
	Line     int
	Match    map[string]bool
	Adjust   map[string]bool
	Serial   uint32 // of an IXFR
	Code     int    // of an Extended DNS Error
	After    time.Duration
	DO       bool
	CO       bool // Compact Answers OK (RFC 9824)
	Messages []*Message
	Raw      []byte // octets in place of a message, in Deckard's dialect
	IsRaw    bool
	Fault    string // why a line could not be read
}

// Message is one message of an entry. Most have one; some replies are several.
type Message struct {
	Msg        *dns.Msg
	Wire       []byte // octets in place of Msg
	Options    []byte // of the OPT record
	HasOptions bool
	After      time.Duration
}

// first is the entry's first message, which is compared with.
func (e *Entry) first() *dns.Msg { return e.Messages[0].Msg }

// entries are all entries, of ranges and of steps.
func (s *Scenario) entries() []*Entry {
	var all []*Entry
	for _, r := range s.Ranges {
		all = append(all, r.Entries...)
	}
	for _, step := range s.Steps {
		if step.Entry != nil {
			all = append(all, step.Entry)
		}
	}
	return all
}

// has reports whether the story has a step of one of the kinds.
func (s *Scenario) has(kinds ...string) bool {
	for _, step := range s.Steps {
		for _, k := range kinds {
			if step.Kind == k {
				return true
			}
		}
	}
	return false
}
