package filter

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// Whatever bits there are, they begin with a code, in every context.
func TestCodesAreComplete(t *testing.T) {
	for context, lengths := range codeLengths {
		sum := 0
		for i := range len(lengths) {
			sum += 1 << maxCode >> (lengths[i] - '0')
		}
		if len(lengths) != contexts || sum != 1<<maxCode {
			t.Errorf("context %d: %d symbols, which take %d of %d", context, len(lengths), sum, 1<<maxCode)
		}
	}
}

// What is written of a key is read as it was, is found to be the key's, and is not found to be another's.
func TestKeysInCode(t *testing.T) {
	octet := rapid.OneOf(rapid.SampledFrom([]byte(coded)), rapid.Byte())
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.SliceOfN(octet, 0, maxKey).Draw(rt, "key")
		from := rapid.IntRange(0, len(key)).Draw(rt, "from")
		var w bitWriter
		before := rapid.UintRange(0, 31).Draw(rt, "before")
		w.put(1<<31-1, before)
		w.key(key, from)
		end := w.bits()
		w.align()
		b := append(w.out, make([]byte, namesTail)...)

		var got [maxKey]byte
		copy(got[:], key[:from])
		n, ok := readKey(b, before, end, &got, from)
		if !ok || !bytes.Equal(got[:n], key) {
			rt.Fatalf("%q from octet %d: read %q, %v", key, from, got[:n], ok)
		}
		if at, ok := codeIs(b, before, key, uint(from), uint(len(key))); !ok || at != end {
			rt.Fatalf("%q from octet %d is not found to be itself: %d of %d, %v", key, from, at, end, ok)
		}
		if from < len(key) {
			other := bytes.Clone(key)
			other[rapid.IntRange(from, len(key)-1).Draw(rt, "place")] ^= rapid.ByteRange(1, 255).Draw(rt, "change")
			if at, ok := codeIs(b, before, other, uint(from), uint(len(key))); ok && at == end {
				rt.Fatalf("%q from octet %d is found to be %q", key, from, other)
			}
		}
	})
}
