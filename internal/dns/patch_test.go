package dns

import (
	"bytes"
	"errors"
	"testing"
)

// TestPatch turns a cached reply into the reply to another query for the same name.
func TestPatch(t *testing.T) {
	msg := unhex(t, hexReply)
	offsets, err := TTLOffsets([]uint16{9}, msg)
	if err != nil || len(offsets) != 6 || offsets[0] != 9 {
		t.Fatalf("%v, %v", offsets, err)
	}
	offsets = offsets[1:]
	if ttl, ok := MinTTL(msg, offsets); !ok || ttl != 60 {
		t.Errorf("MinTTL %d, %v", ttl, ok)
	}
	if _, ok := MinTTL(msg, nil); ok {
		t.Error("MinTTL of nothing")
	}
	PutID(msg, 1)
	PutFlags(msg, FlagQR|FlagRA)
	AgeTTLs(msg, offsets, 100, 1)
	if !PutQuestionName(msg, []byte(MustName("ALIAS.Example"))) {
		t.Error("the same name was refused")
	}
	var m Message
	if err := m.Unpack(msg); err != nil {
		t.Fatal(err)
	}
	if m.ID != 1 || m.Flags != FlagQR|FlagRA || m.Question[0].Name != MustName("ALIAS.Example") || m.Answer[0].Name != MustName("ALIAS.Example") {
		t.Errorf("%+v", m)
	}
	for i, want := range []uint32{3500, 1, 1} {
		if m.Answer[i].TTL != want {
			t.Errorf("TTL of %v", m.Answer[i])
		}
	}
	if m.Additional[0].TTL != 86300 || !m.EDNS.DO {
		t.Errorf("%v, %+v", m.Additional, m.EDNS)
	}
	PutTTLs(msg, offsets, 7)
	if ttl, _ := MinTTL(msg, offsets); ttl != 7 {
		t.Errorf("TTL %d", ttl)
	}
	before := bytes.Clone(msg)
	for _, other := range []string{"alias.examplf", "alias", "a.alias.example", "."} {
		if PutQuestionName(msg, []byte(MustName(other))) || !bytes.Equal(msg, before) {
			t.Errorf("question changed to %s", other)
		}
	}
	if PutQuestionName(make([]byte, headerLen+1), []byte(Root)) || PutQuestionName(msg[:4], []byte(Root)) {
		t.Error("a question where there is none")
	}
}

func TestTTLOffsetsErrors(t *testing.T) {
	msg := unhex(t, hexReply)
	for n := range len(msg) {
		if offsets, err := TTLOffsets([]uint16{9}, msg[:n]); !errors.Is(err, ErrFormat) || len(offsets) != 1 {
			t.Fatalf("first %d octets: %v, %v", n, offsets, err)
		}
	}
	if _, err := TTLOffsets(nil, append(msg, 0)); err != ErrTrailing {
		t.Error(err)
	}
}
