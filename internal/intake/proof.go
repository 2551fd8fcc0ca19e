package intake

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math/bits"
	"sync"
	"time"
)

const (
	// challengeTime is how long a challenge may be answered: it is fetched when the form is sent,
	// and a slow phone takes a minute.
	challengeTime = 10 * time.Minute
	// maxSpent is how many answered challenges are remembered, for as long as they are valid: 3 MiB.
	// Where there are more, none is taken until some have run out.
	maxSpent = 1 << 16
	// baseBits is the work of one appeal: 2¹⁸ hashes, under a second on a computer and a few on a
	// phone. It doubles with each doubling of the appeals that came within challengeTime beyond calm.
	baseBits = 18
	maxBits  = 24
	calm     = 16
	// staleBits is by how many bits work may have grown dearer since a challenge was handed out, which is quadrupled
	// in the minute that a phone takes: challenges that were laid in while all was calm are worth nothing in a flood.
	staleBits = 2

	macSize       = 16
	challengeSize = 16 + 8 + 1 + macSize // random, end, bits, authentication
	maxAnswer     = 20                   // digits of a 64-bit number
)

// mint makes challenges, which cost work to answer, and takes each answer once. What it hands out
// it does not keep: a challenge carries its own end and difficulty under a keyed digest.
type mint struct {
	key  [32]byte
	base int // bits of work while all is calm

	mu    sync.Mutex
	spent map[[16]byte]int64 // until when, Unix seconds
}

func newMint() *mint {
	m := &mint{base: baseBits, spent: make(map[[16]byte]int64)}
	rand.Read(m.key[:])
	return m
}

// The reasons why an answer is not taken.
var (
	errForged = errors.New("the challenge is none of ours")
	errLate   = errors.New("the challenge has run out")
	errSpent  = errors.New("the challenge was answered before")
	errWork   = errors.New("the answer shows no work")
	errCheap  = errors.New("work has grown much dearer since the challenge was made")
	errFull   = errors.New("too many answers within a short time")
)

// challenge makes one, and says how many zero bits its answer must show.
func (m *mint) challenge(now time.Time) (text string, difficulty int) {
	difficulty = m.difficulty(now)
	b := make([]byte, 0, challengeSize)
	b = append(b, make([]byte, 16)...)
	rand.Read(b)
	b = binary.BigEndian.AppendUint64(b, uint64(now.Add(challengeTime).Unix()))
	b = append(b, byte(difficulty))
	return base64.RawURLEncoding.EncodeToString(m.seal(b)), difficulty
}

// seal appends the keyed digest.
func (m *mint) seal(b []byte) []byte {
	h := hmac.New(sha256.New, m.key[:])
	h.Write(b)
	return append(b, h.Sum(nil)[:macSize]...)
}

// difficulty grows with what came lately.
func (m *mint) difficulty(now time.Time) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	return m.asked()
}

// asked is how many bits a new challenge asks for. The caller holds mu.
func (m *mint) asked() int { return min(m.base+bits.Len(uint(len(m.spent)/calm)), maxBits) }

// sweep forgets what has run out. The caller holds mu.
func (m *mint) sweep(now time.Time) {
	for id, end := range m.spent {
		if end < now.Unix() {
			delete(m.spent, id)
		}
	}
}

// redeem takes an answer: the SHA-256 of challenge, colon and answer begins with as many zero
// bits as the challenge asks for.
func (m *mint) redeem(challenge, answer string, now time.Time) error {
	if len(challenge) != base64.RawURLEncoding.EncodedLen(challengeSize) || len(answer) > maxAnswer {
		return errForged
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	if err != nil || !hmac.Equal(b, m.seal(append([]byte(nil), b[:challengeSize-macSize]...))) {
		return errForged
	}
	end := int64(binary.BigEndian.Uint64(b[16:24]))
	if end < now.Unix() {
		return errLate
	}
	sum := sha256.Sum256([]byte(challenge + ":" + answer))
	if zeroBits(sum[:]) < int(b[24]) {
		return errWork
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := [16]byte(b[:16])
	if _, ok := m.spent[id]; ok {
		return errSpent
	}
	if int(b[24])+staleBits < m.asked() {
		m.sweep(now)
	}
	if int(b[24])+staleBits < m.asked() {
		return errCheap
	}
	if len(m.spent) >= maxSpent {
		if m.sweep(now); len(m.spent) >= maxSpent {
			return errFull
		}
	}
	m.spent[id] = end
	return nil
}

func zeroBits(b []byte) int {
	n := 0
	for _, c := range b {
		if c != 0 {
			return n + bits.LeadingZeros8(c)
		}
		n += 8
	}
	return n
}

const (
	// freeEvery and freeBurst are how many appeals are taken without work, of all the world
	// together: for browsers without scripts.
	freeEvery = time.Minute
	freeBurst = 5
)

// bucket lets freeBurst through at once, and one each freeEvery.
type bucket struct {
	mu    sync.Mutex
	spent time.Duration // of freeBurst*freeEvery
	at    time.Time
}

// take reports whether one may pass, or how long until then.
func (b *bucket) take(now time.Time) (wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(0, b.spent-max(0, now.Sub(b.at)))
	b.at = now
	if over := b.spent + freeEvery - freeBurst*freeEvery; over > 0 {
		return over, false
	}
	b.spent += freeEvery
	return 0, true
}
