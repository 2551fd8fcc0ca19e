package dnssec

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// memoShards times memoSlots is how many verifications are remembered. At 33 octets each
// that is 135 kB. The same SOA record comes with every denial of a zone, the same NSEC or
// NSEC3 records with many, the same DNSKEY RRset to all who wait for it.
const (
	memoShards = 64
	memoSlots  = 64
)

// memo remembers how verifications ended, good and bad. A signature over certain octets by a
// certain key verifies or does not, whenever it is asked; whether it counts for an RRset at
// a time is judged elsewhere, each time. What is remembered is found by a digest of all
// three, so two of one digest would be a collision of SHA-256.
type memo struct {
	operations atomic.Uint64
	shards     [memoShards]struct {
		mu    sync.Mutex
		slots [memoSlots]outcomeOf
	}
}

// outcomeOf is one verification; its digest is zero in an empty slot.
type outcomeOf struct {
	digest [sha256.Size]byte
	good   bool
}

// verify is what k.public.verify says, or said. Without a memo it is computed.
func (m *memo) verify(k *key, s *scratch, data, signature []byte) bool {
	if m == nil {
		return k.public.verify(data, signature)
	}
	s.memo = append(s.memo[:0], k.id[:]...)
	s.memo = binary.BigEndian.AppendUint32(s.memo, uint32(len(signature)))
	s.memo = append(append(s.memo, signature...), data...)
	o := outcomeOf{digest: sha256.Sum256(s.memo)}
	shard := &m.shards[o.digest[0]%memoShards]
	slot := &shard.slots[o.digest[1]%memoSlots]
	shard.mu.Lock()
	have := *slot
	shard.mu.Unlock()
	if have.digest == o.digest {
		return have.good
	}
	m.operations.Add(1)
	o.good = k.public.verify(data, signature)
	shard.mu.Lock()
	*slot = o
	shard.mu.Unlock()
	return o.good
}

// Operations is how many signatures were computed with so far. Verifications that were
// remembered count in a request's Work and not here.
func (v *Validator) Operations() uint64 { return v.memo.operations.Load() }

// keyID tells public keys apart: a digest of algorithm and key.
func keyID(a Algorithm, public []byte) [sha256.Size]byte {
	var buf [1 + 4 + maxRSABits/8 + 1]byte
	return sha256.Sum256(append(append(buf[:0], byte(a)), public...))
}
