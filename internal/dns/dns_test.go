package dns

import (
	"testing"
)

func TestRoundTrip(t *testing.T) {
	m := Message{ID: 7, Flags: FlagQR | FlagRD, Question: []Question{{MustName("www.Example.org"), TypeA, ClassIN}}}
	m.Answer = []RR{
		{MustName("www.example.org"), TypeCNAME, ClassIN, 60, []byte(MustName("a.example.org"))},
		{MustName("a.example.org"), TypeA, ClassIN, 60, []byte{192, 0, 2, 1}},
	}
	m.EDNS = &EDNS{UDPSize: 1232, DO: true, Options: []Option{ErrorOption(EDEBlocked, "entry 4")}}
	b, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	var got Message
	if err := got.Unpack(b); err != nil {
		t.Fatal(err)
	}
	for i, r := range got.Answer {
		if !r.Name.Equal(m.Answer[i].Name) || string(r.Data) != string(m.Answer[i].Data) {
			t.Errorf("got %v, want %v", r, m.Answer[i])
		}
	}
}
