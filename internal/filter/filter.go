// Package filter is the compiled list: which names and addresses are listed, in
// a form that answers in tens of nanoseconds from memory that the operating
// system shares, drops and reloads as it likes.
//
// [Compile] writes a list from a [ledger.State], [Merge] the same one from an older
// list and what the log says since, [Open] maps it, [List.Match] and
// [List.Judge] ask it, and [Live] is the pointer that a running server reads.
// The file is a pure function of the state: two machines that followed the same
// log build the same octets, and its SHA-256 is in the log's epoch entry. [Join] has several
// lists, of several logs, judge as one.
//
// # What is matched
//
// A listing is a name alone (exact), a name with everything below it (subtree) or
// an address prefix. The most specific listing decides: the exact name before
// its subtree, a deeper subtree before a shallower one, a longer prefix before a
// shorter one. Nothing is matched on a fingerprint alone: the table below only says
// where to look for the name.
//
// # The file, version 4
//
// All numbers are little-endian. The header is 256 octets:
//
//	  0   8  "shojilst"
//	  8   4  version: 4
//	 12   4  length of the header: 256
//	 16   8  epoch: entries of the log that the list was compiled from
//	 24  32  root hash of the log's Merkle tree of that size (RFC 6962)
//	 56   8  attempt: see Seed
//	 64   8  seed
//	 72   8  multiplier
//	 80   8  length of the file
//	 88   8  records: names listed, exact and subtree counted apart
//	 96   8  prefixes listed
//	104   8  depths at which any name is listed: bit d for d labels, bit 63 for 63 and more
//	112   8  depths at which a subtree is listed
//	120   4  E: bits of an entry number, 1 to 53
//	124   4  P: bits of a place in a slot, 6 to 30
//	128  80  five regions, an offset and a length of 8 octets each:
//	         table, blocks, prefixes, names, commitments; zero for no commitments
//	208  40  zero
//	248   8  the first 8 octets of the SHA-256 of the 248 before
//
// Regions follow in that order, each at the next multiple of 64; what is between
// them is zero. A query of a name that is not listed reads one line of the table for each
// of its suffixes that may be listed, and hardly ever more; of one that is listed, another
// line at times, and its block, whose 8 lines are fetched at once. A line is what a processor fetches.
//
// Table: lines of 64 octets, ⌊records/13⌋ + 1 of them. A record's own line
// is hi(h·lines) of its hash h, where hi is the upper half of the 128-bit product, and where it goes
// on from a line, the next is hi(h·m·lines), then hi(h·m²·lines) and so on, with the multiplier m and
// products modulo 2⁶⁴, 64 lines after its own at most. A line
// begins with a word of 64 bits that is its filter: each record whose own line it is sets bits
// h[0:6], h[6:12] and h[12:18] of it, and bits h[18:24], h[24:30] and h[30:36] too where it went on. Behind it are 14
// slots of 32 bits. Records take, in ascending order, the first empty slot of the first of their lines that has
// one. A slot's bits
// 0 to P-1 are the record's place, bit P is set for a subtree, and above that is the
// fingerprint: the lowest min(16, 31-P) bits of h[24:40]. An empty slot is zero.
//
// A place is, in its lowest 6 bits, the record's number in its block, from 1, and above them
// the unit that the block begins in.
//
// Blocks: one 32-bit number for each unit of the names region: the number of the first
// record that is in a block that begins there or behind. It is for those who look records up by number.
//
// Prefixes: a 32-bit number of groups and one of zero; then for each group 16
// octets: family (4 or 6) in 1, prefix length in 1, zero in 2, count in 4, and
// the offset of its keys in the region in 8. Groups are ordered by family, then
// from the longest prefix to the shortest. A group's keys ascend: 4 octets for
// IPv4, two numbers of 8 (upper half first) for IPv6; its entry numbers of 8
// octets follow in the same order. 8-octet numbers are aligned by nothing.
//
// Names: units of 512 octets. Records are in ascending order in blocks of up to 63, as many as
// fit into a unit. A record's key is its
// labels from the top down with a zero octet between them, in lower case; in a label the
// octet 0 is written 1 1 and the octet 1 is written 1 2. Keys ascend as octet
// strings, which is the canonical order of RFC 4034 §6.1; a name that is listed
// both ways has its exact record first. Of a key only those octets are written that it does not share
// with another record's: that of the record before, or that of the block's first for records 8, 16, 24 and so on
// of a block, counted from 0. A block is a string of bits, the lowest bit of an octet first:
//
//	8 bits           n, the number of its records
//	n times 8 bits   the length in bits of each record's code; 16 bits where n is 1
//	n times 6 bits   in the lowest bit whether each is for a subtree, and above that
//	                 the octets that it shares, 31 at most; 0 for the first
//	n times E bits   the entry number of each
//	…                each key's other octets, in the code of code.go
//
// A record whose code is longer than 255 bits is in a block of its own, which has the units behind its own too where
// it does not fit. So the head of a block tells where all its records are, and a key is held against
// its record and those few before that have what it shares, with nothing unpacked. What is behind a block in its
// units is zero, and so are eight octets that end the region.
//
// Commitments, the listings whose names are not told: the number of salts in 4, D in 4, the number of
// records in 8; the salts of 16 octets, ascending; 2^D + 1 numbers of 4, where each bucket's records
// begin; and records of 40, the commitment in 32, and a number of 8 whose bits 0 to 52 are the entry
// number, 54 and 55 which salt, and 63 set for a subtree. Records ascend by the commitment's last 8
// octets, taken with the highest first, whose highest D bits are the bucket. D is the bits of an eighth
// of the number of records.
//
// # Seed
//
// A name's hash is keyed, so that nobody can list names, before the log commits to
// them, that crowd into one line. Seed and multiplier are the first two
// 8-octet numbers of SHA-256("shoji list 1" ‖ root hash ‖ attempt), the
// multiplier with its lowest bit set; attempt is the first of 0, 1, … that has
// every record at most 64 lines after its own. The hash is in hash.go.
//
// # Damage
//
// Open checks the header and that the regions lie in the file; every offset
// behind that is checked when it is used. A damaged file can miss a listing or,
// where the damage looks like a name, name a wrong entry; it cannot make a
// lookup panic or read elsewhere. The digest is what tells a damaged file:
// check it with [Sum] when a file comes from elsewhere. A mapped file must never be
// changed in place (the operating system kills a process that reads behind the
// new end): write another and rename it.
//
// # Limits and known faults
//
// 2³² octets of keys (about 200 million names), 2²⁴ units, entry numbers below 2⁵³. Where an int has 32 bits, names
// beyond 512 MiB of keys are not found.
// Compile holds 40 to 90 octets a name in memory, Merge 20 to 40 of the list and 40 to 90
// a change; the hash is keyed anew with every epoch, so that Merge writes the
// whole file too. A list with commitments costs a SHA-256 or two for each label of a name
// and each of its salts (ledger.MaxSalts), some 0.5 µs each, where a name is not known to pass already.
package filter

import (
	"encoding/hex"
	"net/netip"
	"runtime"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

// Rule is which kind of listing decided.
type Rule uint8

// The rules.
const (
	Exact   Rule = 1 + iota // the name itself is listed
	Subtree                 // the name or one above it is listed with all below
	Prefix                  // an address is in a listed prefix
)

func (r Rule) String() string {
	switch r {
	case Exact:
		return "exact"
	case Subtree:
		return "subtree"
	case Prefix:
		return "prefix"
	}
	return "none"
}

// Verdict is the listing that decided. It is comparable and has no pointers.
type Verdict struct {
	Entry uint64 // number of the entry in the log
	Rule  Rule
	Size  uint8 // labels of the listed name, or bits of the listed prefix
	Log   uint8 // which list of a joined one decided, from 0; see Join
}

// Listed is the listed name of a verdict on name.
func (v Verdict) Listed(name dns.Name) dns.Name { return name.Suffix(int(v.Size)) }

// ListedPrefix is the listed prefix of a verdict on a.
func (v Verdict) ListedPrefix(a netip.Addr) netip.Prefix {
	p, err := a.Unmap().Prefix(int(v.Size))
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// Digest is the SHA-256 of a compiled list.
type Digest [32]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// List is a compiled list. It does not change, any number of goroutines may ask
// it, and its memory goes when nobody holds it any more. The zero List is empty.
type List struct {
	header
	data   []byte // the file
	table  []byte
	blocks []byte
	prefix []byte
	names  []byte
	groups []group
	sealed sealed
	joined []*List // of Join, and nothing else then
}

// Epoch is the number of log entries that the list was compiled from.
func (l *List) Epoch() uint64 { return l.epoch }

// RootHash is the root of the log's Merkle tree at Epoch.
func (l *List) RootHash() [32]byte { return l.root }

// Count is the number of listings: names by scope, prefixes, and commitments.
func (l *List) Count() uint64 {
	n := l.records + l.prefixes + l.sealed.count()
	for _, of := range l.joined {
		n += of.Count()
	}
	return n
}

// Bytes is the length of the file.
func (l *List) Bytes() int {
	n := len(l.data)
	for _, of := range l.joined {
		n += of.Bytes()
	}
	return n
}

// Match finds the most specific listing of name, which is in wire form and
// lower case. It does not allocate. Octets that are no name match nothing.
func (l *List) Match(name []byte) (Verdict, bool) {
	if l.nameDepths == 0 && len(l.sealed.salts) == 0 {
		return l.matchJoined(name)
	}
	var starts [maxLabels]uint8
	n, at := 0, 0
	for {
		if at >= len(name) {
			return Verdict{}, false
		}
		c := int(name[at])
		if c == 0 {
			break
		}
		if c > maxLabel || n == maxLabels || at > maxWire {
			return Verdict{}, false
		}
		starts[n] = uint8(at)
		n++
		at += c + 1
	}
	h, depths := l.seed, l.subtreeDepths
	if n == 0 {
		depths = l.nameDepths
	}
	hits := depths & 1
	for k := n - 1; k >= 0; k-- {
		// at is where the label to the right begins: the end of this one.
		start := int(starts[k])
		h = hashLabel(h, l.mult, name[start+1:at])
		at = start
		if k == 0 {
			depths = l.nameDepths
		}
		if depth := min(n-k, topDepth); depths>>depth&1 != 0 {
			if l.mayHold(h) {
				hits |= 1 << depth
			}
		}
	}
	if len(l.sealed.salts) > 0 {
		return l.matchSealed(name, &starts, n, hits)
	}
	if hits == 0 {
		runtime.KeepAlive(l)
		return Verdict{}, false
	}
	v, ok := l.resolve(name, &starts, n, hits)
	runtime.KeepAlive(l)
	return v, ok
}

// resolve looks the suffixes of name up for which the filter had a hit, the
// longest first.
//
//go:noinline
func (l *List) resolve(name []byte, starts *[maxLabels]uint8, n int, hits uint64) (Verdict, bool) {
	for depth := n; depth >= 0; depth-- {
		if hits>>min(depth, topDepth)&1 == 0 {
			continue
		}
		var key keyBuf
		h := l.seed
		for k := n - 1; k >= n-depth; k-- {
			start := int(starts[k])
			label := name[start+1 : start+1+int(name[start])]
			h = hashLabel(h, l.mult, label)
			key.push(label)
		}
		wanted := subtreeScope
		if depth == n {
			wanted |= exactScope
		}
		switch entry, found := l.find(h, key.bytes(), wanted); found {
		case exactScope:
			return Verdict{Entry: entry, Rule: Exact, Size: uint8(depth)}, true
		case subtreeScope:
			return Verdict{Entry: entry, Rule: Subtree, Size: uint8(depth)}, true
		}
	}
	return Verdict{}, false
}

// MatchAddr finds the longest listed prefix that a is in. An IPv4-mapped IPv6
// address is taken for the IPv4 address that it is.
func (l *List) MatchAddr(a netip.Addr) (Verdict, bool) {
	if len(l.groups) == 0 {
		return l.matchAddrJoined(a)
	}
	v, ok := l.matchAddr(a.Unmap())
	runtime.KeepAlive(l)
	return v, ok
}

// Subject is what in an answer was listed: a name or an address of it.
type Subject struct {
	Name dns.Name   // the target as the answer has it; "" for an address
	Addr netip.Addr // the zero Addr for a name
}

// Judge finds the first listed thing that an answer leads to: the targets of its
// CNAME, DNAME, SVCB and HTTPS records in order, then its addresses.
func (l *List) Judge(a *answer.Answer) (Verdict, bool) {
	v, _, ok := l.Explain(a)
	return v, ok
}

// Explain is Judge, and says what the verdict is on.
func (l *List) Explain(a *answer.Answer) (Verdict, Subject, bool) {
	if l.nameDepths != 0 || len(l.sealed.salts) > 0 || len(l.joined) > 0 {
		for target := range a.Targets() {
			if v, ok := l.MatchName(target); ok {
				return v, Subject{Name: target}, true
			}
		}
	}
	if len(l.groups) != 0 || len(l.joined) > 0 {
		for addr := range a.Addrs() {
			if v, ok := l.MatchAddr(addr); ok {
				return v, Subject{Addr: addr}, true
			}
		}
	}
	return Verdict{}, Subject{}, false
}

// MatchName is Match for a name in any case.
func (l *List) MatchName(n dns.Name) (Verdict, bool) {
	var buf [maxWire + 1]byte
	if len(n) > len(buf) {
		return Verdict{}, false
	}
	lower := buf[:copy(buf[:], n)]
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return l.Match(lower)
}
