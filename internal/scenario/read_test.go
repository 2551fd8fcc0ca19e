package scenario

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestParse(t *testing.T) {
	text, err := os.ReadFile("testdata/delegation.rpl")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(string(text), "")
	if err != nil {
		t.Fatal(err)
	}
	if s.Dialect != Unbound || s.Title != "From the root through two delegations to an address" {
		t.Errorf("dialect %s, title %q", s.Dialect, s.Title)
	}
	if len(s.Ranges) != 3 || len(s.Ranges[0].Entries) != 2 || s.Ranges[1].Addrs[0] != "198.18.0.2" || s.Ranges[2].To != 100 {
		t.Errorf("ranges: %+v", s.Ranges)
	}
	e := s.Ranges[0].Entries[1]
	if !e.Match["subdomain"] || !e.Adjust["copy_query"] || !e.first().Response || len(e.first().Ns) != 1 || len(e.first().Extra) != 1 {
		t.Errorf("entry: %+v", e)
	}
	if len(s.Steps) != 5 || s.Steps[2].Kind != "TIME_PASSES" || s.Steps[2].Elapse != 150*time.Second || s.Steps[4].ID != 5 {
		t.Errorf("steps: %+v", s.Steps)
	}
}

func TestParseWhatIsOdd(t *testing.T) {
	const text = `
server: do-ip6: no # a comment
  trust-anchor: "a. DS 1 13 2 00"  domain-insecure: b.
stub-zone: name: "." stub-addr: 192.0.2.1
TEMPFILE_NAME zone
TEMPFILE_CONTENTS zone
$ORIGIN a.
TEMPFILE_END
CONFIG_END
SCENARIO_BEGIN odd
$ORIGIN example.
RANGE_BEGIN 1 2 192.0.2.7
ENTRY_BEGIN
MATCH qname ede=15 serial=7
ADJUST copy_id sleep=2
REPLY QR NXDOMAIN DO
SECTION QUESTION
www IN TYPE65
SECTION ANSWER
@ TXT "a;b" ; comment
www 30 IN A
www 30 TYPE65300 \# 2 0102
EXTRA_PACKET
HEX_ANSWER_BEGIN
00 01 ; ID
HEX_ANSWER_END
ENTRY_END
RANGE_END
STEP 3 ANSWER
ENTRY_BEGIN
MATCH all
SECTION QUESTION
www A
SECTION ANSWER
www IN NONSENSE
ENTRY_END
STEP 4 TIME_PASSES EVAL ${x}
SCENARIO_END`
	s, err := Parse(text, "")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"do-ip6": "no", "trust-anchor": "a. DS 1 13 2 00", "domain-insecure": "b.", "stub-addr": "192.0.2.1"} {
		if got := s.last(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if s.Files["zone"] != "$ORIGIN a.\n" {
		t.Errorf("file: %q", s.Files["zone"])
	}
	e := s.Ranges[0].Entries[0]
	if e.Code != 15 || e.Serial != 7 || e.After != 2*time.Second || e.first().Rcode != dns.RcodeNameError || !e.first().IsEdns0().Do() {
		t.Errorf("entry: %+v", e)
	}
	if q := e.first().Question[0]; q.Name != "www.example." || q.Qtype != 65 {
		t.Errorf("question: %v", q)
	}
	if a := e.first().Answer; len(a) != 3 || a[0].(*dns.TXT).Txt[0] != "a;b" || a[0].Header().Name != "example." || a[2].Header().Rrtype != 65300 {
		t.Errorf("answer: %v", a)
	}
	if len(e.Messages) != 2 || string(e.Messages[1].Wire) != "\x00\x01" {
		t.Errorf("messages: %+v", e.Messages)
	}
	if s.Steps[0].Kind != "CHECK_ANSWER" || !strings.Contains(s.Steps[0].Entry.Fault, "line 35") || s.Steps[1].Macro != "${x}" {
		t.Errorf("steps: %+v, fault %q", s.Steps, s.Steps[0].Entry.Fault)
	}
}

func TestParseSaysWhere(t *testing.T) {
	const head = "CONFIG_END\nSCENARIO_BEGIN x\n"
	for text, want := range map[string]string{
		"":                                   "no CONFIG_END",
		"SCENARIO_BEGIN\n":                   "before CONFIG_END",
		head:                                 "no SCENARIO_END",
		head + "STEP one QUERY\n":            `line 3: step "one"`,
		head + "STEP 1 JUMP\n":               `"JUMP" is no kind of step`,
		head + "RANGE_BEGIN 0\n":             "two numbers",
		head + "RANGE_BEGIN 0 9\nNONSENSE\n": "no part of a range",
		head + "STEP 1 QUERY\nENTRY_BEGIN\n": "no ENTRY_END",
		"ZONE_BEGIN example.\n":              "a name and an address",
		"ZONE_BEGIN example. signed\n":       "has no address",
		head + "STEP 1 REPLY\nENTRY_BEGIN\nHEX_ANSWER_BEGIN\nxy\nHEX_ANSWER_END\n": "octets before",
	} {
		if _, err := Parse(text, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// FuzzParse: nothing that a file holds makes the reader panic, and what it reads can be looked
// through, re-signed and compared.
func FuzzParse(f *testing.F) {
	for _, path := range []string{"testdata/delegation.rpl", "testdata/signed-chain.rpl"} {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("CONFIG_END\nSCENARIO_BEGIN x\nSTEP 1 QUERY\nENTRY_BEGIN\nMATCH all ede=any\nSECTION QUESTION\na. A\nSECTION ANSWER\na. DNSKEY 256 3 3 AA==\na. RRSIG A 3 1 1 20070101000000 20070101000000 1 a. AA==\nENTRY_END\nSCENARIO_END\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<14 {
			t.Skip()
		}
		s, err := Parse(text, "")
		if err != nil {
			return
		}
		s.serverAddrs()
		s.date()
		if s.needsNewKeys() {
			s.resign()
		}
		for _, e := range s.entries() {
			e.compare(e.first(), nil, s.Dialect)
			e.takes(e.first(), false, s.Dialect)
		}
	})
}
