package dns

import "testing"

// These benchmarks measure parsing and building alone: no socket, no cache, no filter.

// benchQuery is what a stub resolver with EDNS and a cookie sends.
func benchQuery(tb testing.TB) []byte {
	m := Message{ID: 0x1234, Flags: FlagRD | FlagAD, Question: []Question{{MustName("www.Example.com"), TypeA, ClassIN}}}
	m.EDNS = &EDNS{UDPSize: 1232, Options: []Option{{OptionCookie, []byte("12345678")}}}
	b, err := m.Append(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func BenchmarkQueryParse(b *testing.B) {
	packet := benchQuery(b)
	var q Query
	b.ReportAllocs()
	for b.Loop() {
		if err := q.Parse(packet); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkQueryParsePlain(b *testing.B) {
	m := Message{ID: 0x1234, Flags: FlagRD, Question: []Question{{MustName("www.example.com"), TypeA, ClassIN}}}
	packet, err := m.Append(nil)
	if err != nil {
		b.Fatal(err)
	}
	var q Query
	b.ReportAllocs()
	for b.Loop() {
		if err := q.Parse(packet); err != nil {
			b.Fatal(err)
		}
	}
}

// buildReply is an answer of two addresses behind a CNAME, with EDNS.
func buildReply(b *Builder, q *Query, out []byte, target Name) []byte {
	b.Reset(out, 1232)
	b.Header(q.ID, q.ReplyFlags())
	b.Question(q.RawName(), q.Type, q.Class)
	b.RawRR(SectionAnswer, q.Name(), TypeCNAME, ClassIN, 300, []byte(target))
	b.RR(SectionAnswer, target, TypeA, ClassIN, 300, []byte{192, 0, 2, 1})
	b.RR(SectionAnswer, target, TypeA, ClassIN, 300, []byte{192, 0, 2, 2})
	b.OPT(DefaultUDPSize, RCodeSuccess, false)
	return b.Bytes()
}

func BenchmarkBuilder(b *testing.B) {
	var q Query
	if err := q.Parse(benchQuery(b)); err != nil {
		b.Fatal(err)
	}
	target := MustName("edge7.cdn.example.com")
	out := make([]byte, 0, 1232)
	var builder Builder
	b.ReportAllocs()
	for b.Loop() {
		out = buildReply(&builder, &q, out[:0], target)
	}
}

func BenchmarkPatch(b *testing.B) {
	var q Query
	if err := q.Parse(benchQuery(b)); err != nil {
		b.Fatal(err)
	}
	var builder Builder
	msg := buildReply(&builder, &q, nil, MustName("edge7.cdn.example.com"))
	offsets, err := TTLOffsets(nil, msg)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		PutID(msg, q.ID)
		PutFlags(msg, q.ReplyFlags())
		PutQuestionName(msg, q.RawName())
		PutTTLs(msg, offsets, 17)
	}
}

func BenchmarkUnpack(b *testing.B) {
	var q Query
	if err := q.Parse(benchQuery(b)); err != nil {
		b.Fatal(err)
	}
	var builder Builder
	msg := buildReply(&builder, &q, nil, MustName("edge7.cdn.example.com"))
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Unpack(msg); err != nil {
			b.Fatal(err)
		}
	}
}
