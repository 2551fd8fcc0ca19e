package sinkhole

import "crypto/sha256"

// octets is what was received, and all that can be done with it: count, keep the
// first ones, and hash those. Nothing here or elsewhere looks at a value.
type octets struct {
	first [MaxPrefix]byte
	kept  int // of first
	total int
	reads int
}

// room is where the next piece goes while there is room to keep it, and scratch after that.
func (o *octets) room(scratch []byte) []byte {
	if o.kept < MaxPrefix {
		return o.first[o.kept:]
	}
	return scratch[:min(len(scratch), MaxRead-o.total)]
}

// took counts a piece of n octets that was read into room.
func (o *octets) took(n int) {
	o.kept += min(n, MaxPrefix-o.kept)
	o.total += n
	o.reads++
}

// full reports that no more is to be read.
func (o *octets) full() bool { return o.total >= MaxRead || o.reads >= maxReads }

// prefix is what was kept, valid until o is used again.
func (o *octets) prefix() []byte { return o.first[:o.kept] }

// digest is the SHA-256 of what was kept.
func (o *octets) digest() [sha256.Size]byte { return sha256.Sum256(o.first[:o.kept]) }
