package dns

import (
	"bytes"
	"testing"
)

// padded builds a reply with or without EDNS and pads it.
func padded(t *testing.T, edns bool, answers int, before string) []byte {
	t.Helper()
	var b Builder
	b.Reset([]byte(before), maxMessage)
	b.Header(1, FlagQR)
	b.Question([]byte("\x03www\x07example\x00"), TypeA, ClassIN)
	for range answers {
		b.RawRR(SectionAnswer, []byte("\x03www\x07example\x00"), TypeA, ClassIN, 60, []byte{192, 0, 2, 1})
	}
	if edns {
		b.OPT(DefaultUDPSize, 0, false, ErrorOption(EDEBlocked, "why"))
	}
	return PadMessage(b.Bytes(), len(before), 468, 65535)[len(before):]
}

func TestPadMessage(t *testing.T) {
	for answers := range 80 {
		b := padded(t, true, answers, "ab")
		if len(b)%468 != 0 {
			t.Errorf("%d answers: %d octets", answers, len(b))
		}
		var m Message
		if err := m.Unpack(b); err != nil {
			t.Fatal(err)
		}
		if pad, ok := m.EDNS.Option(OptionPadding); !ok || len(m.Answer) != answers || !bytes.Equal(pad, make([]byte, len(pad))) {
			t.Errorf("%d answers: %+v", answers, m)
		}
		if again := PadMessage(bytes.Clone(b), 0, 468, 65535); !bytes.Equal(again, b) {
			t.Errorf("%d answers: padded twice: %d octets", answers, len(again))
		}
		if ttl := LeastTTL(b); answers > 0 && ttl != 60 || answers == 0 && ttl != 0 {
			t.Errorf("%d answers: TTL %d", answers, ttl)
		}
	}
	if b := padded(t, false, 1, ""); len(b) > 100 {
		t.Errorf("without EDNS: %d octets", len(b))
	}
}

func TestPaddingEndsAtTheLimit(t *testing.T) {
	var b Builder
	b.Reset(nil, maxMessage)
	b.Header(1, FlagQR)
	b.OPT(DefaultUDPSize, 0, false)
	bare := b.Bytes()
	for limit := range 600 {
		want := min(limit, 468)
		if limit < len(bare)+optionLen {
			want = len(bare)
		}
		if out := PadMessage(bytes.Clone(bare), 0, 468, limit); len(out) != want {
			t.Errorf("limit %d: %d octets, want %d", limit, len(out), want)
		}
	}
}

// FuzzPadMessage: whatever is padded stays as it was but for the option, and is still read.
func FuzzPadMessage(f *testing.F) {
	var b Builder
	b.Reset(nil, maxMessage)
	b.Header(1, FlagQR)
	b.Question([]byte("\x03www\x07example\x00"), TypeA, ClassIN)
	b.OPT(DefaultUDPSize, 0, true)
	f.Add(b.Bytes(), uint16(468), uint16(65535))
	f.Fuzz(func(t *testing.T, msg []byte, block, limit uint16) {
		LeastTTL(msg)
		out := PadMessage(bytes.Clone(msg), 0, int(block)+1, int(limit))
		if len(out) == len(msg) {
			if !bytes.Equal(out, msg) {
				t.Fatal("changed, and not padded")
			}
			return
		}
		if len(out) > int(limit) || len(out)%(int(block)+1) != 0 && len(out) != int(limit) {
			t.Fatalf("%d octets by blocks of %d, at most %d", len(out), block+1, limit)
		}
		var before, after Message
		if before.Unpack(msg) != nil {
			return
		}
		if err := after.Unpack(out); err != nil {
			t.Fatal(err)
		}
		if len(after.EDNS.Options) != len(before.EDNS.Options)+1 || len(after.Answer) != len(before.Answer) {
			t.Fatalf("%+v became %+v", before, after)
		}
	})
}

// An option that is added is found, takes its room from padding that is there, and leaves all else as it was.
func TestAddOption(t *testing.T) {
	for _, padding := range []int{-1, 0, 4, 5, 80} {
		m := Message{ID: 7, Flags: FlagRD, Question: []Question{{MustName("www.example"), TypeA, ClassIN}}, EDNS: &EDNS{UDPSize: 1232, Options: []Option{{Code: 9, Data: []byte("x")}}}}
		if padding >= 0 {
			m.EDNS.Options = append(m.EDNS.Options, Option{Code: OptionPadding, Data: make([]byte, padding)})
		}
		b, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		out, ok := AddOption(b, 65083, []byte{1})
		data, found := FindOption(out, 65083)
		var got Message
		if !ok || !found || !bytes.Equal(data, []byte{1}) || got.Unpack(out) != nil {
			t.Fatalf("padding %d: %x", padding, out)
		}
		if x, ok := got.EDNS.Option(9); !ok || string(x) != "x" || (padding >= 5) != (len(out) == len(b)) {
			t.Errorf("padding %d: %d octets of %d, %+v", padding, len(out), len(b), got.EDNS)
		}
		if _, ok := FindOption(b, 65083); ok {
			t.Errorf("padding %d: the message itself was changed", padding)
		}
	}
	for _, bad := range [][]byte{nil, make([]byte, 12), make([]byte, 11)} {
		if out, ok := AddOption(bad, 1, nil); ok {
			t.Errorf("%x", out)
		}
	}
}

// FuzzAddOption: what has an option added is read as before, with the option.
func FuzzAddOption(f *testing.F) {
	m := Message{Question: []Question{{MustName("www.example"), TypeA, ClassIN}}, EDNS: &EDNS{UDPSize: 1232, Options: []Option{{Code: OptionPadding, Data: make([]byte, 9)}}}}
	b, err := m.Append(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, []byte{1})
	f.Fuzz(func(t *testing.T, msg, data []byte) {
		FindOption(msg, 65083)
		out, ok := AddOption(msg, 65083, data)
		if !ok {
			return
		}
		if got, found := FindOption(out, 65083); !found || len(got) != len(data) && len(got) == 0 {
			t.Errorf("%x has %x, %t", out, got, found)
		}
		if before, after := new(Message), new(Message); before.Unpack(msg) == nil && len(before.EDNS.Options) < MaxOptions && after.Unpack(out) != nil {
			t.Errorf("%x is no longer read", out)
		}
	})
}
