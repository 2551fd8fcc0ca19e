package serve

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/sde"
)

// explained has both views explain what is filtered.
func explained(t testing.TB, v *views, d sde.Detail) {
	t.Helper()
	tm, err := sde.NewTemplate(d, "log.isp.example")
	if err != nil {
		t.Fatal(err)
	}
	v.filtered.cfg.Structured.Store(tm)
}

var ispDetail = sde.Detail{Contact: []string{"mailto:desk@isp.example"}, Justification: "controls malware", SubError: sde.Malware, Organisation: "ISP", Language: "en"}

// Who asks for structured errors gets no forged address: no data for any type, EDE 15, and
// JSON that names the entry.
func TestStructuredError(t *testing.T) {
	v := newViews(t, listings...)
	v.zone(world)
	explained(t, v, ispDetail)
	const text = `{"c":["mailto:desk@isp.example"],"j":"controls malware","s":1,"o":"ISP","l":"en","fdbs":[{"db":"log.isp.example","id":"%d"}]}`
	for question, entry := range map[string]int{
		"c2.evil.example A": 0, "c2.evil.example AAAA": 0, "c2.evil.example HTTPS": 0, "exact.shop.example TXT": 1,
		"cdn.shop.example A": 0, "far.shop.example A": 2, "far.shop.example AAAA": 3,
	} {
		name := strings.Fields(question)[0]
		expect(t, v.filtered, question+" sde", fmt.Sprintf(`
			NOERROR
			%s. 10 IN SOA %s. nobody.invalid. 1 3600 1200 604800 10
			EDNS 1232, Blocked: `+text, name, name, entry))
	}
	expect(t, v.filtered, "c2.evil.example ANY sde", "NOERROR\nc2.evil.example. 10 IN HINFO \"RFC8482\" \"\"\nEDNS 1232, Blocked: "+fmt.Sprintf(text, 0))
	expect(t, v.filtered, "c2.evil.example A edns", "NOERROR\nc2.evil.example. 10 IN A 198.51.100.1\nEDNS 1232, Forged Answer: log entry 0")
	expect(t, v.filtered, "www.shop.example A sde", "NOERROR\nwww.shop.example. 60 IN A 192.0.2.7\nEDNS 1232")
	expect(t, v.twin, "c2.evil.example A sde", "SERVFAIL\nEDNS 1232, No Reachable Authority: nobody at home")
}

// Before anything is configured, a client is told that it is malware.
func TestStructuredErrorByDefault(t *testing.T) {
	v := newViews(t, "evil.example")
	expect(t, v.filtered, "evil.example A sde", "NOERROR\nevil.example. 10 IN SOA evil.example. nobody.invalid. 1 3600 1200 604800 10\nEDNS 1232, Blocked: {\"s\":1}")
}

// Filtered answers are counted, in either form and from either way, and others are not.
func TestFilteredAreCounted(t *testing.T) {
	v := newViews(t, listings...)
	v.zone(world)
	q := parse(t, "c2.evil.example A sde")
	for id := range uint16(40) {
		q.ID = id
		v.filtered.Hit(q, nil)
	}
	v.filtered.Hit(parse(t, "c2.evil.example A"), nil)
	v.filtered.Miss(t.Context(), parse(t, "cdn.shop.example A"), nil)
	v.filtered.Miss(t.Context(), parse(t, "www.shop.example A"), nil)
	if n, twin := v.filtered.Filtered(), v.twin.Filtered(); n != 42 || twin != 0 {
		t.Errorf("%d were filtered, and by the twin %d", n, twin)
	}
}

// An earlier draft asked by an EDE in the query, and so may data in the option: both count.
func TestOtherWaysToAsk(t *testing.T) {
	v := newViews(t, "evil.example")
	want := ask(t, v.filtered, "evil.example A sde")
	for _, o := range []foreign.EDNS0{&foreign.EDNS0_EDE{}, &foreign.EDNS0_LOCAL{Code: dns.OptionStructuredError, Data: []byte("what?")}} {
		m := new(foreign.Msg)
		m.SetQuestion("evil.example.", foreign.TypeA)
		m.Id = 4711
		opt := m.SetEdns0(1232, false).IsEdns0()
		opt.Option = append(opt.Option, o)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		q := new(dns.Query)
		if err := q.Parse(b); err != nil {
			t.Fatal(err)
		}
		if reply, _ := v.filtered.Hit(q, nil); string(reply) != string(want) {
			t.Errorf("%v: %s", o, show(t, reply))
		}
	}
}

// Where there is no room, justification and organisation go first, then the text, and never TC.
func TestStructuredErrorInLittleRoom(t *testing.T) {
	d := ispDetail
	d.Organisation = strings.Repeat("long ", 60)
	long := strings.Repeat("a.", 100) + "evil.example"
	v := newViews(t, "*.evil.example")
	explained(t, v, d)
	for name, want := range map[string]string{
		"evil.example": `{"c":["mailto:desk@isp.example"],"s":1,"fdbs":[{"db":"log.isp.example","id":"0"}]}`,
		long:           `{"c":["mailto:desk@isp.example"],"s":1,"fdbs":[{"db":"log.isp.example","id":"0"}]}`,
	} {
		reply := ask(t, v.filtered, name+" A sde small")
		if got := show(t, reply); len(reply) > 512 || !strings.HasSuffix(got, "Blocked: "+want) || strings.Contains(got, " tc") {
			t.Errorf("%d octets: %s", len(reply), got)
		}
	}
	d.Contact = []string{"mailto:" + strings.Repeat("x", 200) + "@isp.example"}
	d.Organisation = ""
	explained(t, v, d)
	if got := show(t, ask(t, v.filtered, long+" A sde small")); !strings.HasSuffix(got, "Blocked:") && !strings.HasSuffix(got, "Blocked: ") {
		t.Error(got)
	}
}

// What the rebinding protection withholds says so in the same form.
func TestStructuredErrorOfRebinding(t *testing.T) {
	v := newViews(t)
	v.zone("rebind.example A\nrebind.example. 60 IN A 192.168.1.1")
	cfg := v.twin.cfg
	cfg.Rebinding = &Rebinding{}
	reply := show(t, ask(t, New(cfg), "rebind.example A sde"))
	at := strings.Index(reply, "{")
	if at < 0 {
		t.Fatal(reply)
	}
	if d, err := sde.Parse(dns.EDEBlocked, reply[at:]); err != nil || d.SubError != sde.OperatorPolicy || d.Justification != reboundText {
		t.Errorf("%+v, %v of %s", d, err, reply)
	}
}

// A filtered answer in either form allocates nothing.
func TestStructuredErrorAllocatesNothing(t *testing.T) {
	v := newViews(t, listings...)
	explained(t, v, ispDetail)
	q := parse(t, "c2.evil.example A sde")
	out := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { v.filtered.Hit(q, out) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	reply, _ := v.filtered.Hit(q, nil)
	if binary.BigEndian.Uint16(reply[answerCount:]) != 0 {
		t.Error("there is an answer")
	}
}
