package intake

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// easy is a challenge that asks for few bits, so that tests answer it at once.
func (m *mint) easy(bits byte, now time.Time) string {
	b := make([]byte, 16)
	binary.BigEndian.PutUint64(b, uint64(len(m.spent)+1))
	b = binary.BigEndian.AppendUint64(b, uint64(now.Add(challengeTime).Unix()))
	return base64.RawURLEncoding.EncodeToString(m.seal(append(b, bits)))
}

// work answers a challenge, with a wrong answer first if there is one.
func work(t testing.TB, m *mint, challenge string, now time.Time) string {
	t.Helper()
	for n := range 1 << 24 {
		answer := strconv.Itoa(n)
		if err := m.redeem(challenge, answer, now); err == nil {
			return answer
		} else if !errors.Is(err, errWork) {
			t.Fatal(err)
		}
	}
	t.Fatal("no answer found")
	return ""
}

// newEasy is a mint that asks for no work while all is calm.
func newEasy() *mint {
	m := newMint()
	m.base = 0
	return m
}

func TestAnAnswerIsTakenOnceAndInTime(t *testing.T) {
	m := newEasy()
	challenge := m.easy(8, start)
	answer := work(t, m, challenge, start)
	if err := m.redeem(challenge, answer, start); !errors.Is(err, errSpent) {
		t.Errorf("taken twice: %v", err)
	}
	late := m.easy(0, start)
	if err := m.redeem(late, "0", start.Add(challengeTime+time.Second)); !errors.Is(err, errLate) {
		t.Errorf("taken late: %v", err)
	}
	if err := newMint().redeem(late, "0", start); !errors.Is(err, errForged) {
		t.Errorf("another's challenge: %v", err)
	}
	b, _ := base64.RawURLEncoding.DecodeString(m.easy(20, start))
	b[24] = 0 // an easier one than was asked
	for _, forged := range []string{base64.RawURLEncoding.EncodeToString(b), "", "x", late + "A", late[1:] + "A", late[:len(late)-1] + "\n"} {
		if err := m.redeem(forged, "0", start); !errors.Is(err, errForged) {
			t.Errorf("%q: %v", forged, err)
		}
	}
	if err := m.redeem(m.easy(0, start), "123456789012345678901", start); !errors.Is(err, errForged) {
		t.Errorf("a long answer: %v", err)
	}
	real, bits := newMint().challenge(start)
	if bits != baseBits || len(real) != len(challenge) {
		t.Errorf("%d bits, %q", bits, real)
	}
}

// What is remembered stays bounded, and dearer work slows a flood before that.
func TestAFloodGrowsDearer(t *testing.T) {
	m := newEasy()
	laidIn, _ := m.challenge(start) // and not answered before the flood has come
	for range calm * 8 {
		work(t, m, m.easy(byte(m.asked()), start), start)
	}
	if _, bits := m.challenge(start); bits != 4 {
		t.Errorf("%d bits after %d appeals", bits, calm*8)
	}
	if err := m.redeem(laidIn, "0", start); !errors.Is(err, errCheap) {
		t.Errorf("a challenge from before the flood: %v", err)
	}
	work(t, m, m.easy(2, start), start) // but one that is a little older
	m.base = baseBits
	for i := len(m.spent); i < maxSpent; i++ {
		m.spent[[16]byte{1, byte(i), byte(i >> 8), byte(i >> 16)}] = start.Add(challengeTime).Unix()
	}
	if _, bits := m.challenge(start); bits != maxBits {
		t.Errorf("%d bits at most", bits)
	}
	m.base = 0
	dear := m.easy(14, start)
	answer := 0
	for m.redeem(dear, strconv.Itoa(answer), start) == errWork {
		answer++
	}
	if err := m.redeem(dear, strconv.Itoa(answer), start); !errors.Is(err, errFull) || len(m.spent) != maxSpent {
		t.Errorf("%v, %d remembered", err, len(m.spent))
	}
	later := start.Add(challengeTime + time.Second)
	if err := m.redeem(m.easy(0, later), "0", later); err != nil || len(m.spent) != 1 {
		t.Errorf("%v, %d remembered", err, len(m.spent))
	}
}

func TestAFewComeWithoutWork(t *testing.T) {
	var b bucket
	for i := range freeBurst + 1 {
		if wait, ok := b.take(start); ok != (i < freeBurst) || !ok && wait != freeEvery {
			t.Errorf("%d: %v %v", i, wait, ok)
		}
	}
	if _, ok := b.take(start.Add(freeEvery)); !ok {
		t.Error("none came back")
	}
	if wait, ok := b.take(start); ok || wait > freeBurst*freeEvery { // a clock that runs backwards
		t.Error("a clock that runs backwards lets more through")
	}
}

func FuzzRedeem(f *testing.F) {
	m := newEasy()
	f.Add(m.easy(0, start), "0")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, challenge, answer string) {
		_ = m.redeem(challenge, answer, start)
		if m.redeem(challenge, answer, start) == nil {
			t.Fatal("taken twice, or without being one of ours")
		}
	})
}
