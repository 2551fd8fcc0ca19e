package dns

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// unhex reads a packet from hexadecimal text with blanks.
func unhex(tb testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// What a request is made of, for the tables below.
const (
	hexHeader   = "1234 0100 0001 0000 0000 0000" // RD, one question
	hexHeaderAR = "1234 0100 0001 0000 0000 0001" // RD, one question, one additional record
	hexQuestion = "0377 7777 0745 5861 6d70 6c65 036f 7267 00 001c 0001"
	hexOPT      = "00 0029 04d0 0000 8000 0000" // 1232 octets, DO
)

func TestQueryParse(t *testing.T) {
	// dig +cookie +nsid +tcp-keepalive www.EXample.org AAAA, with padding and an EDE.
	packet := unhex(t, hexHeaderAR+hexQuestion+"00 0029 04d0 0000 8000 0032"+
		"000a 0018 0102030405060708 a1a2a3a4a5a6a7a8b1b2b3b4b5b6b7b8"+
		"0003 0000  000b 0000  000c 0004 00000000  000f 0002 0000")
	var q Query
	if err := q.Parse(packet); err != nil {
		t.Fatal(err)
	}
	clear(packet) // Parse keeps nothing of it
	if q.ID != 0x1234 || q.Flags != FlagRD || q.Type != TypeAAAA || q.Class != ClassIN {
		t.Errorf("header and question: %+v", q)
	}
	if Name(q.Name()) != MustName("www.example.org") || Name(q.RawName()) != MustName("www.EXample.org") {
		t.Errorf("name %q, raw %q", q.Name(), q.RawName())
	}
	if !q.HasEDNS || q.UDPSize != 1232 || !q.DO || q.Version != 0 || q.MaxReply != 1232 {
		t.Errorf("EDNS: %+v", q)
	}
	if !q.HasCookie || hex.EncodeToString(q.ClientCookie[:]) != "0102030405060708" ||
		hex.EncodeToString(q.ServerCookie()) != "a1a2a3a4a5a6a7a8b1b2b3b4b5b6b7b8" {
		t.Errorf("cookie %x %x", q.ClientCookie, q.ServerCookie())
	}
	if !q.NSID || !q.Keepalive || !q.Padding || !q.StructuredError {
		t.Errorf("options: %+v", q)
	}

	if err := q.Parse(unhex(t, hexHeader+"00 0002 0001")); err != nil { // dig . NS
		t.Fatal(err)
	}
	if Name(q.Name()) != Root || q.HasEDNS || q.HasCookie || q.NSID || q.Keepalive || q.Padding ||
		q.StructuredError || q.DO || len(q.ServerCookie()) != 0 || q.UDPSize != 512 || q.MaxReply != 512 {
		t.Errorf("something of the last query is left: %+v", q)
	}
}

func TestQueryErrors(t *testing.T) {
	twoOPT := strings.Replace(hexHeaderAR, "0000 0001", "0000 0002", 1)
	for _, test := range []struct {
		what, packet string
		want         error
		question     bool // whether it is there for the error reply
	}{
		{"good", hexHeaderAR + hexQuestion + hexOPT, nil, true},
		{"nothing", "", ErrDrop, false},
		{"shorter than a header", "1234 0100 0001 0000 0000", ErrDrop, false},
		{"a reply", "1234 8100 0001 0000 0000 0000" + hexQuestion, ErrDrop, false},
		{"a reply with another opcode", "1234 a800 0000 0000 0000 0000", ErrDrop, false},
		{"NOTIFY", "1234 2000 0001 0000 0000 0000" + hexQuestion, ErrNotImplemented, true},
		{"UPDATE with rubbish", "1234 2800 0001 0007 0000 0000" + hexQuestion + "ffff", ErrNotImplemented, true},
		{"DSO", "1234 3000 0000 0000 0000 0000 0001 0004 00000000", ErrNotImplemented, false},
		{"no question", "1234 0100 0000 0000 0000 0000", ErrFormat, false},
		{"a cookie alone", "1234 0100 0000 0000 0000 0001" + hexOPT, ErrFormat, false},
		{"two questions", "1234 0100 0002 0000 0000 0000" + hexQuestion + hexQuestion, ErrFormat, false},
		{"an answer", "1234 0100 0001 0001 0000 0000" + hexQuestion + "c00c 0001 0001 0000 0000 0004 c0000201", ErrFormat, true},
		{"a count of answers", "1234 0100 0001 ffff 0000 0000" + hexQuestion, ErrFormat, true},
		{"a count of additional records", "1234 0100 0001 0000 0000 0001" + hexQuestion, ErrFormat, true},
		{"many additional records", "1234 0100 0001 0000 0000 ffff" + hexQuestion + hexOPT, ErrFormat, true},
		{"trailing octet", hexHeader + hexQuestion + "00", ErrFormat, true},
		{"OPT that is not counted", hexHeader + hexQuestion + hexOPT, ErrFormat, true},
		{"pointer to itself", hexHeader + "c00c 0001 0001", ErrFormat, false},
		{"pointer to the header", hexHeader + "0161 c000 0001 0001", ErrFormat, false},
		{"unknown label type", hexHeader + "4161 00 0001 0001", ErrFormat, false},
		{"label beyond the packet", hexHeader + "3f61 00 0001 0001", ErrFormat, false},
		{"no terminator", hexHeader + "0161", ErrFormat, false},
		{"no class", hexHeader + "0161 00 0001", ErrFormat, false},
		{"name of 256 octets", hexHeader + strings.Repeat("0161", 126) + "026161 00 0001 0001", ErrFormat, false},
		{"name of 255 octets", hexHeader + strings.Repeat("0161", 127) + "00 0001 0001", nil, true},
		{"two OPT", twoOPT + hexQuestion + hexOPT + hexOPT, ErrFormat, true},
		{"OPT with an owner", hexHeaderAR + hexQuestion + "0161" + hexOPT, ErrFormat, true},
		{"OPT owned by a pointer to the root", "1234 0100 0001 0000 0000 0001 00 0001 0001 c00c 0029 04d0 0000 8000 0000", ErrFormat, true},
		{"EDNS version 1", hexHeaderAR + hexQuestion + "00 0029 04d0 0001 0000 0000", ErrBadVersion, true},
		{"EDNS version 255, options that are none", hexHeaderAR + hexQuestion + "00 0029 04d0 00ff 0000 0001 00", ErrBadVersion, true},
		{"RDLENGTH beyond the packet", hexHeaderAR + hexQuestion + "00 0029 04d0 0000 8000 0001", ErrFormat, true},
		{"half an option", hexHeaderAR + hexQuestion + "00 0029 04d0 0000 8000 0003 0003 00", ErrFormat, true},
		{"option beyond OPT", hexHeaderAR + hexQuestion + "00 0029 04d0 0000 8000 0005 000c 0002 00", ErrFormat, true},
		{"cookie of 7 octets", hexHeaderAR + hexQuestion + "00 0029 04d0 0000 8000 000b 000a 0007 01020304050607", ErrFormat, true},
		{"cookie of 15 octets", hexHeaderAR + hexQuestion + "00 0029 04d0 0000 8000 0013 000a 000f" + strings.Repeat("01", 15), ErrFormat, true},
		{"cookie of 41 octets", hexHeaderAR + hexQuestion + "00 0029 04d0 0000 8000 002d 000a 0029" + strings.Repeat("01", 41), ErrFormat, true},
		{"cookie of 40 octets", hexHeaderAR + hexQuestion + "00 0029 04d0 0000 8000 002c 000a 0028" + strings.Repeat("01", 40), nil, true},
		{"32 options", hexHeaderAR + hexQuestion + "00 0029 04d0 0000 8000 0080" + strings.Repeat("fde9 0000", 32), nil, true},
		{"33 options", hexHeaderAR + hexQuestion + "00 0029 04d0 0000 8000 0084" + strings.Repeat("fde9 0000", 33), ErrFormat, true},
		{"SIG(0)", hexHeaderAR + hexQuestion + "00 0018 00ff 0000 0000 0002 ffff", nil, true},
		{"TSIG", hexHeaderAR + hexQuestion + "00 00fa 00ff 0000 0000 0002 ffff", ErrFormat, true},
	} {
		var q Query
		err := q.Parse(unhex(t, test.packet))
		if err != test.want || (len(q.Name()) > 0) != test.question {
			t.Errorf("%s: %v, name %q", test.what, err, q.Name())
		}
		if err != nil && err != ErrDrop && q.ID != 0x1234 {
			t.Errorf("%s: no ID", test.what)
		}
	}
}

func TestFirstCookieCounts(t *testing.T) {
	var q Query
	err := q.Parse(unhex(t, hexHeaderAR+hexQuestion+"00 0029 0000 0000 0000 0018"+
		"000a 0008 0101010101010101 000a 0008 0202020202020202"))
	if err != nil || q.ClientCookie[0] != 1 {
		t.Errorf("%v, %x", err, q.ClientCookie)
	}
	if q.UDPSize != 512 { // sent as 0
		t.Errorf("size %d", q.UDPSize)
	}
}

func TestAppendError(t *testing.T) {
	for _, test := range []struct {
		what, packet, reply string
	}{
		{"EDNS version", hexHeaderAR + hexQuestion + "00 0029 04d0 0001 8000 0000",
			"1234 8180 0001 0000 0000 0001" + hexQuestion + "00 0029 04d0 0100 8000 0000"},
		{"opcode", "1234 2110 0001 0000 0000 0000" + hexQuestion, "1234 a004 0001 0000 0000 0000" + hexQuestion},
		{"two questions", "1234 0110 0002 0000 0000 0000" + hexQuestion + hexQuestion, "1234 8191 0000 0000 0000 0000"},
		{"trailing octet after EDNS", hexHeaderAR + hexQuestion + hexOPT + "00",
			"1234 8181 0001 0000 0000 0001" + hexQuestion + "00 0029 04d0 0000 8000 0000"},
	} {
		var q Query
		var e Error
		if err := q.Parse(unhex(t, test.packet)); !errors.As(err, &e) {
			t.Fatalf("%s: %v", test.what, err)
		}
		if got, want := hex.EncodeToString(AppendError(nil, &q, e.RCode())), hex.EncodeToString(unhex(t, test.reply)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", test.what, got, want)
		}
	}
	var q Query
	if err := q.Parse(unhex(t, hexHeader+hexQuestion)); err != nil {
		t.Fatal(err)
	}
	if reply := AppendError([]byte("before"), &q, RCodeBadCookie); Flags(be16(reply[8:])).RCode() != RCodeServerFailure {
		t.Errorf("a code that needs EDNS, without: %x", reply)
	}
}

func TestErrorKinds(t *testing.T) {
	for e := ErrDrop; e <= ErrTrailing; e++ {
		if got, want := errors.Is(e, ErrFormat), e >= ErrFormat; got != want {
			t.Errorf("%v is a kind of ErrFormat: %v", e, got)
		}
		if e.Error() == "" || strings.HasSuffix(e.Error(), "malformed message") != (e == ErrFormat) {
			t.Errorf("%d: %v", e, e)
		}
	}
	if ErrNotImplemented.RCode() != RCodeNotImplemented || ErrTrailing.RCode() != RCodeFormatError {
		t.Error("response codes")
	}
}

func TestAllocations(t *testing.T) {
	packet := benchQuery(t)
	target := MustName("edge7.cdn.example.com")
	var q Query
	var b Builder
	out := make([]byte, 0, 1232)
	offsets := make([]uint16, 0, 16)
	for what, run := range map[string]func(){
		"Query.Parse": func() {
			if q.Parse(packet) != nil {
				t.Fatal("refused")
			}
		},
		"Query.Parse of rubbish": func() { _ = q.Parse(packet[:len(packet)-1]) },
		"Builder":                func() { out = buildReply(&b, &q, out[:0], target) },
		"options": func() {
			b.Reset(out[:0], 512)
			b.Header(q.ID, q.ReplyFlags())
			b.Question(q.RawName(), q.Type, q.Class)
			b.OPT(DefaultUDPSize, RCodeBadCookie, true, Option{OptionNSID, packet[:4]})
			b.Error(EDEBlocked, "listed")
			b.Cookie(q.ClientCookie, packet[:16])
			b.Keepalive(100)
			b.NSID("ns1")
			b.Pad(468)
			out = b.Bytes()
		},
		"AppendError": func() { out = AppendError(out[:0], &q, RCodeRefused) },
		"patching": func() {
			out = buildReply(&b, &q, out[:0], target)
			offsets, _ = TTLOffsets(offsets[:0], out)
			PutID(out, 7)
			PutFlags(out, FlagQR)
			AgeTTLs(out, offsets, 10, 1)
			if len(offsets) != 3 || !PutQuestionName(out, q.Name()) {
				t.Fatal("not patched")
			}
		},
	} {
		if err := q.Parse(packet); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}
