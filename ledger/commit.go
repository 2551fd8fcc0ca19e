package ledger

import (
	"crypto/sha256"
	"net/netip"
)

// Salt keeps equal names from having equal commitments in two logs. The zero Salt is not
// for commitments: a map's keys of what is told are made with it.
type Salt [16]byte

// IsZero reports whether s is the zero Salt.
func (s Salt) IsZero() bool { return s == Salt{} }

// MaxSalts is how many salts the commitments of one list may have: whoever looks a name up
// hashes it with each.
const MaxSalts = 4

// A name that is committed to has 2 to MaxCommittedLabels labels. Of a longer name only those
// above it with as many are hashed, so that a name of 127 labels (RFC 1035 §2.3.4) costs no more.
const (
	minCommittedLabels = 2
	MaxCommittedLabels = 16
)

// groupOctets is how many octets of a commitment or key are its group's.
const groupOctets = 2

// Commit is the commitment to a listing of name, which has 2 to MaxCommittedLabels labels: SHA-256 of
// the salt, the scope, a zero octet and the name, its first two octets replaced by those of
// the group's hash, SHA-256 of "group", a zero octet and the name's last two labels. Whoever
// knows the name can check it; whoever can guess the name can too, so it hides a list from
// being read off and not a single name from a suspicion. That two committed names may be of
// one group can be seen.
func Commit(salt Salt, scope Scope, name string) Digest {
	d := Blind(salt, scope, name)
	g := groupHash(nameGroup(name))
	copy(d[:], g[:])
	return d
}

// Blind is Commit without the group: its first two octets are to be ignored. A resolver that
// compares names with commitments needs no more.
func Blind[T string | []byte](salt Salt, scope Scope, name T) Digest {
	b := make([]byte, 0, 512)
	b = append(b, salt[:]...)
	b = append(b, scope...)
	b = append(b, 0)
	b = append(b, name...)
	return sha256.Sum256(b)
}

// CanCommit reports whether a name has as many labels as a commitment can be to.
func CanCommit(name string) bool {
	n := labels(name)
	return n >= minCommittedLabels && n <= MaxCommittedLabels
}

// labels is how many labels a name has.
func labels(name string) int {
	n := 0
	for ; name != ""; name = parentName(name) {
		n++
	}
	return n
}

// group is what decides in which page of a map a subject is.
type group [groupOctets]byte

func groupHash(text string) group {
	b := make([]byte, 0, 256)
	b = append(b, "group\x00"...)
	b = append(b, text...)
	sum := sha256.Sum256(b)
	return group(sum[:groupOctets])
}

// nameGroup is the last two labels of a name, or its one.
func nameGroup(name string) string {
	at, before := 0, 0 // where the last label begins, and the one before it
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case '.':
			before, at = at, i+1
		}
	}
	return name[before:]
}

// Addresses within one prefix of these lengths are of one group.
const (
	groupIPv4 = 16
	groupIPv6 = 32
)

// prefixGroup is the prefix that a listed prefix's group is: of 16 bits of IPv4, of 32 of
// IPv6, or of none for one that is wider.
func prefixGroup(p netip.Prefix) netip.Prefix {
	bits := groupIPv6
	if p.Addr().Is4() {
		bits = groupIPv4
	}
	if p.Bits() < bits {
		bits = 0
	}
	return netip.PrefixFrom(p.Addr(), bits).Masked()
}
