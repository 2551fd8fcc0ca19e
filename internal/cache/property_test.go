package cache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

// drawName draws names that share labels, so that there is something to compress.
func drawName(t *rapid.T) dns.Name {
	labels := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "bb", "Example", "example", "x\x00y", strings.Repeat("l", 63)}), 0, 3).Draw(t, "labels")
	n := dns.Root
	for _, l := range labels {
		n, _ = n.Child(l)
	}
	return n
}

func drawRR(t *rapid.T) dns.RR {
	r := dns.RR{Name: drawName(t), Class: dns.ClassIN, TTL: rapid.Uint32Range(0, 1<<31-1).Draw(t, "ttl")}
	r.Type = rapid.SampledFrom([]dns.Type{dns.TypeA, dns.TypeAAAA, dns.TypeCNAME, dns.TypeDNAME, dns.TypeMX, dns.TypeTXT,
		dns.TypeSOA, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeHTTPS, dns.TypeSRV, 65280}).Draw(t, "type")
	octets := func(n int) []byte { return rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "octets") }
	name := func() []byte { return []byte(drawName(t)) }
	switch r.Type {
	case dns.TypeA:
		r.Data = octets(4)
	case dns.TypeAAAA:
		r.Data = octets(16)
	case dns.TypeCNAME, dns.TypeDNAME:
		r.Data = name()
	case dns.TypeMX:
		r.Data = append(octets(2), name()...)
	case dns.TypeSRV:
		r.Data = append(octets(6), name()...)
	case dns.TypeTXT:
		r.Data = append([]byte{5}, octets(5)...)
	case dns.TypeSOA:
		r.Data = append(append(name(), name()...), octets(20)...)
	case dns.TypeRRSIG:
		r.Data = append(append(octets(18), name()...), octets(rapid.IntRange(0, 100).Draw(t, "signature"))...)
	case dns.TypeNSEC:
		r.Data = append(name(), 0, 1, 0x40)
	case dns.TypeNSEC3:
		r.Data = append([]byte{1, 0, 0, 1, 2, 0xAB, 0xCD, 4}, append(octets(4), 0, 1, 0x40)...)
	case dns.TypeHTTPS:
		r.Data = append(append([]byte{0, 1}, name()...), 0, 4, 0, 4, 192, 0, 2, 1)
	default:
		r.Data = octets(rapid.IntRange(0, 300).Draw(t, "length"))
	}
	return r
}

func drawAnswer(t *rapid.T) *answer.Answer {
	p := answer.Parts{
		Name: drawName(t), Born: start, TTL: time.Duration(rapid.IntRange(1, 1e6).Draw(t, "answer ttl")) * time.Millisecond,
		Type:      rapid.SampledFrom([]dns.Type{dns.TypeA, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeTXT}).Draw(t, "question type"),
		RCode:     rapid.SampledFrom([]dns.RCode{0, 0, 0, dns.RCodeNameError, dns.RCodeServerFailure}).Draw(t, "rcode"),
		Answer:    rapid.SliceOfN(rapid.Custom(drawRR), 0, 6).Draw(t, "answer"),
		Authority: rapid.SliceOfN(rapid.Custom(drawRR), 0, 5).Draw(t, "authority"),
	}
	if p.HasError = rapid.Bool().Draw(t, "error"); p.HasError {
		p.ErrorCode, p.ErrorText = dns.EDENetworkError, rapid.StringN(0, 40, 200).Draw(t, "text")
	}
	return answer.New(p)
}

// What is put in is what comes out, and what a client gets is what it says.
func TestPutThenGetAnything(t *testing.T) {
	c := newCache(t, 0)
	rapid.Check(t, func(rt *rapid.T) {
		a := drawAnswer(rt)
		c.Put(a, start)
		var e Entry
		if !findKind(c, &e, a) {
			rt.Fatal("not found")
		}
		got, ok := e.Answer()
		if !ok {
			rt.Fatal("no answer in the entry")
		}
		if d := diff(a, got); d != "" {
			rt.Fatal(d)
		}
		for _, do := range []bool{false, true} {
			checkRendering(rt, c, a, do)
		}
		var x Encoded
		var again Entry
		if !x.Entry(a, &again) {
			rt.Fatal("does not fit")
		}
		q := query(rt, a.Name().String(), a.Type(), true)
		one, _ := e.AppendMessage(nil, q, 0, start, 0)
		two, _ := again.AppendMessage(nil, q, 0, start, 0)
		if !bytes.Equal(one, two) {
			rt.Fatalf("remembered\n%x\nnew\n%x", one, two)
		}
		checkLeads(rt, a, &e)
	})
}

// checkLeads compares an entry's leads with the answer's.
func checkLeads(t *rapid.T, a *answer.Answer, e *Entry) {
	var want, got []string
	for n := range a.Targets() {
		want = append(want, string(n.Canonical()))
	}
	for addr := range a.Addrs() {
		want = append(want, addr.String())
	}
	leads, ok := e.Leads(make([]byte, maxLeads))
	if !ok {
		t.Fatal("no leads")
	}
	for len(leads) > 0 {
		name, addr, rest := NextLead(leads)
		if name != nil {
			got = append(got, string(name))
		} else {
			got = append(got, addr.String())
		}
		leads = rest
	}
	if !slices.Equal(got, want) {
		t.Fatalf("leads %q, want %q", got, want)
	}
}

// Whatever is found is what was put last under that question. The cache is so small that
// most is evicted.
func TestFindsTheLastOrNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newCache(t, MinBytes)
		last := map[string]*answer.Answer{}
		sizes := rapid.SliceOfN(rapid.IntRange(0, 8000), 200, 600).Draw(rt, "sizes")
		for i, size := range sizes {
			name := fmt.Sprintf("n%d.example", (i*7919+size)%150)
			a := answer.New(answer.Parts{Name: dns.MustName(name), Type: dns.TypeNULL, Born: start, TTL: time.Hour,
				Answer: []dns.RR{{Name: dns.MustName(name), Type: dns.TypeNULL, Class: dns.ClassIN, TTL: uint32(i), Data: make([]byte, size)}}})
			c.Put(a, start)
			last[name] = a
			for k := range 3 {
				name := fmt.Sprintf("n%d.example", (i+k*31)%150)
				got, _ := c.Get(dns.MustName(name), dns.TypeNULL, start)
				if got == nil {
					continue
				}
				if want := last[name]; want == nil || diff(want, got) != "" {
					rt.Fatalf("%s: got TTL %d, want %v", name, got.Answer()[0].TTL, want)
				}
			}
		}
		for i := range c.shards {
			checkShard(rt, &c.shards[i])
		}
	})
}

// checkShard checks what must hold between calls: every slot leads to an entry with its
// hash, no two slots to one place, and each segment is in one list.
func checkShard(t *rapid.T, s *shard) {
	entries := uint64(0)
	for b := uint64(0); b < s.buckets; b++ {
		for i := range slotsPerBucket {
			i := slotAt(i, 0)
			w := slot(atomic.LoadUint64(&s.index[b*bucketWords+uint64(i)]))
			if w == 0 {
				continue
			}
			entries++
			var h header
			h.load(s.arena[w.word():])
			bucket, k, ok := s.slotOf(&h, w.word())
			if !ok || &bucket[k] != &s.index[b*bucketWords+uint64(i)] {
				t.Fatalf("slot %d of bucket %d leads to an entry of another slot", i, b)
			}
			if w.gen() != s.gens[w.word()>>s.segmentShift].Load()&genMask {
				t.Fatalf("slot %d of bucket %d is of another generation", i, b)
			}
		}
	}
	if entries != s.entries {
		t.Fatalf("%d slots in use, %d entries counted", entries, s.entries)
	}
	g := &s.segments
	seen := map[uint32]int{}
	for _, ids := range [][]uint32{g.free, g.open[:], g.full[small].ids[g.full[small].head:], g.full[main].ids[g.full[main].head:]} {
		for _, id := range ids {
			seen[id]++
		}
	}
	for id := range uint32(len(g.fill)) {
		if seen[id] != 1 {
			t.Fatalf("segment %d is in %d lists", id, seen[id])
		}
	}
}

// Readers and writers at once, in a cache so small that segments are emptied all the time:
// no reader sees an entry that is made of two. Every octet of an answer follows from its name
// and its version.
func TestReadersAndWriters(t *testing.T) {
	c := newCache(t, MinBytes)
	const names, writers, readers = 400, 2, 2
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	make1 := func(i, version int) *answer.Answer {
		name := dns.MustName(fmt.Sprintf("n%d.example", i))
		data := bytes.Repeat(binary.BigEndian.AppendUint32(nil, uint32(i<<16|version)), 50+(i+version)%300)
		return answer.New(answer.Parts{Name: name, Type: dns.TypeNULL, Born: start, TTL: time.Hour, Answer: []dns.RR{
			{Name: name, Type: dns.TypeNULL, Class: dns.ClassIN, TTL: uint32(version), Data: data}}})
	}
	var group sync.WaitGroup
	var done atomic.Bool
	var found atomic.Int64
	for w := range writers {
		group.Go(func() {
			for v := range rounds {
				for i := w; i < names; i += writers {
					c.Put(make1(i, v), start)
				}
			}
			done.Store(true)
		})
	}
	for r := range readers {
		q := make([]*dns.Query, names)
		for i := range q {
			q[i] = query(t, fmt.Sprintf("n%d.example", i), dns.TypeNULL, false)
		}
		group.Go(func() {
			var e Entry
			out := make([]byte, 0, 4096)
			for i := r; !done.Load(); i = (i + 7) % names {
				if !c.Find(&e, q[i].Name(), dns.TypeNULL, start) {
					continue
				}
				e.Pass(1)
				msg, ok := e.AppendMessage(out, q[i], 0, start, 0)
				if !ok {
					continue
				}
				found.Add(1)
				var m dns.Message
				if err := m.Unpack(msg); err != nil {
					t.Errorf("torn: %v", err)
					return
				}
				version := int(m.Answer[0].TTL)
				if !bytes.Equal(m.Answer[0].Data, make1(i, version).Answer()[0].Data) {
					t.Errorf("n%d, version %d: %x", i, version, m.Answer[0].Data)
					return
				}
			}
		})
	}
	group.Wait()
	if found.Load() == 0 {
		t.Error("nothing was ever found")
	}
	t.Logf("%d found, %+v", found.Load(), c.Stats())
}

// Two questions of one hash are two entries.
func TestSameHash(t *testing.T) {
	c := newCache(t, MinBytes)
	s := &c.shards[0]
	for range 2 {
		for i := range 5 {
			a := address(fmt.Sprintf("n%d.example", i), 60, "192.0.2.1")
			var enc encoder
			if !enc.encode(a) {
				t.Fatal("does not fit")
			}
			enc.header.hash = 12345
			s.put(12345, enc.image(), start)
		}
	}
	for i := range 6 {
		var e Entry
		name := []byte(dns.MustName(fmt.Sprintf("n%d.example", i)))
		if found := s.find(&e, 12345, name, dns.TypeA); found != (i < 5) {
			t.Errorf("%s: found %t", name, found)
		}
		if s.find(&e, 12345, name, dns.TypeAAAA) {
			t.Errorf("%s: found for another type", name)
		}
	}
	if s.entries != 5 {
		t.Errorf("%d entries", s.entries)
	}
}

func TestMarks(t *testing.T) {
	c := newCache(t, MinBytes)
	a := address("www.example", 60, "192.0.2.1")
	c.Put(a, start)
	find := func() (e Entry) {
		if !c.Find(&e, []byte(a.Name()), a.Type(), start) {
			t.Fatal("not found")
		}
		return e
	}
	one := c.NewMark(0)
	other := c.NewMark(0)
	e := find()
	if e.Passed(one) || e.Passed(0) {
		t.Error("passed before it was judged")
	}
	e.Pass(one)
	if e := find(); !e.Passed(one) || e.Passed(other) || e.Passed(0) {
		t.Error("passed means nothing")
	}
	c.Put(a, start)
	if e := find(); e.Passed(one) {
		t.Error("what came in its place passes unjudged")
	}
	e.Pass(one) // late, of an entry that is gone
	if e := find(); e.Passed(one) {
		t.Error("a late memo counts for what came in its place")
	}
	e = find()
	e.Pass(one)
	for range maxMark + 10 {
		if other = c.NewMark(other); other == one || other == 0 {
			t.Fatal("a mark in use was given out")
		}
	}
	if e := find(); e.Passed(one) || e.Passed(other) {
		t.Error("memos outlive their marks")
	}
}

// What lies outside of the heap must hold no pointer.
func TestHeaderHasNoPointers(t *testing.T) {
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Struct:
			for i := range typ.NumField() {
				walk(typ.Field(i).Type)
			}
		case reflect.Array:
			walk(typ.Elem())
		case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Int64:
		default:
			t.Errorf("%v has pointers or no fixed size", typ)
		}
	}
	walk(reflect.TypeFor[header]())
}

func FuzzPut(f *testing.F) {
	var m dns.Message
	m.Flags, m.Question = dns.FlagQR, []dns.Question{{Name: dns.MustName("www.example"), Type: dns.TypeA, Class: dns.ClassIN}}
	m.Answer = address("www.example", 60, "192.0.2.1", "192.0.2.2").Answer()
	seed, _ := m.Append(nil)
	f.Add(seed)
	m.Answer = []dns.RR{rr("www.example", dns.TypeCNAME, 5, "Other.example"), signature("www.example", dns.TypeCNAME, 5)}
	m.Authority = []dns.RR{rr("example", dns.TypeSOA, 5, "a.example", "b.example", make([]byte, 20)), signature("example", dns.TypeSOA, 5)}
	seed, _ = m.Append(nil)
	f.Add(seed)
	c := newCache(f, MinBytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m dns.Message
		if m.Unpack(b) != nil || len(m.Question) != 1 {
			return
		}
		a := answer.New(answer.Parts{Name: m.Question[0].Name, Type: m.Question[0].Type, RCode: m.RCode & 0xF,
			Answer: m.Answer, Authority: m.Authority, Born: start, TTL: time.Minute})
		c.Put(a, start)
		got, _ := c.Get(a.Name(), a.Type(), start)
		if got == nil {
			t.Fatal("not found")
		}
		if isFailure(a) == isFailure(got) {
			if d := diff(a, got); d != "" {
				t.Fatal(d)
			}
		}
	})
}

// An entry that was evicted after it was found says so, and its slot and memo are left alone.
func TestEvictedUnderTheReader(t *testing.T) {
	c := newCache(t, MinBytes)
	a := answer.New(answer.Parts{Name: dns.MustName("www.example"), Type: dns.TypeA, Born: start, TTL: time.Hour,
		Answer: []dns.RR{rr("www.example", dns.TypeCNAME, 60, "other.example")}, HasError: true, ErrorText: "text"})
	c.Put(a, start)
	var e Entry
	if !c.Find(&e, []byte(a.Name()), a.Type(), start) {
		t.Fatal("not found")
	}
	q := query(t, "www.example", dns.TypeA, false)
	room := make([]byte, 1000)
	check := func(want bool) {
		t.Helper()
		_, message := e.AppendMessage(nil, q, 0, start, 0)
		_, leads := e.Leads(room)
		_, _, _, err := e.Error(nil)
		_, whole := e.Answer()
		for what, ok := range map[string]bool{"message": message, "leads": leads, "error": err, "answer": whole} {
			if ok != want {
				t.Errorf("%s: %t, want %t", what, ok, want)
			}
		}
	}
	check(true)
	for i := range 20_000 {
		c.Put(address(fmt.Sprintf("n%d.example", i), 60, "192.0.2.1"), start)
	}
	check(false)
	if c.Find(new(Entry), []byte(a.Name()), a.Type(), start) {
		t.Error("found after a flood")
	}
	// What the reader still notes is of a place that is gone.
	before := slices.Clone(c.shards[0].index)
	mark := c.NewMark(0)
	e.Pass(mark)
	e.touch(makeSlot(c.hash([]byte(a.Name()), a.Type()), e.gen, 0, 0))
	for i, w := range c.shards[0].index {
		if w != before[i] && (!isMemo(i) || &c.shards[0].index[i] != e.memo) {
			t.Errorf("word %d of the index was changed", i)
		}
	}
	for i := range c.shards[0].index {
		if &c.shards[0].index[i] == e.slot {
			e.place = slot(before[i]).place()
		}
	}
	if e.Passed(mark) {
		t.Error("a late memo counts for what came in its place")
	}
}
