package citation

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/forger"
	"github.com/shoji-dns/shoji/internal/sde"
)

// What is written is read, and what is written in any other way is none.
func TestParse(t *testing.T) {
	long := strings.Repeat("x", MaxLog)
	for text, want := range map[string][]Citation{
		"log entry 0":                                    {{0, "", true}},
		"log entry 18446744073709551615":                 {{1<<64 - 1, "", true}},
		"log entry 7 of log.isp.example":                 {{7, "log.isp.example", true}},
		"log entry 7 of shoji-log+0c3f7a51":              {{7, "shoji-log+0c3f7a51", true}},
		"log entry 7 of 障子":                              {{7, "障子", true}},
		"log entry 7 of " + long:                         {{7, long, true}},
		"log entry 7 of " + long + "x":                   nil,
		"log entry 7 of shoji-log+0C3F7A51":              nil,
		"log entry 7 of shoji-log+0c3f7a5":               nil,
		"log entry 7 of shoji-log+0c3f7a51+":             nil,
		"log entry 7 of +0c3f7a51":                       nil,
		"log entry 7 of two words":                       nil,
		"log entry 7 of ":                                nil,
		"log entry 7 of \xff":                            nil,
		"log entry 7; customer 4711":                     nil,
		"log entry 07":                                   nil,
		"log entry +7":                                   nil,
		"log entry 18446744073709551616":                 nil,
		"log entry ":                                     nil,
		"Log entry 7":                                    nil,
		"":                                               nil,
		`{"s":1,"fdbs":[{"db":"log.example","id":"7"}]}`: {{7, "log.example", false}},
		`{"s":1,"fdbs":[{"db":"other","id":"x7"},{"db":"a","id":"7"},{"db":"b","id":"8"}]}`: {{7, "a", false}, {8, "b", false}},
		`{"s":1,"j":"log entry 7"}`: nil,
	} {
		if got := Parse(dns.EDEBlocked, text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	if got := Parse(dns.EDEDNSSECBogus, "log entry 7"); got != nil {
		t.Errorf("of an answer that is not filtered: %+v", got)
	}
	if got := string(Append(nil, 7, long+"yz")); got != "log entry 7 of "+long || len(Append(nil, 1<<64-1, long)) != MaxText {
		t.Errorf("a name that is too long: %s", got)
	}
}

// A citation of any of several errors is found, that of the log in question first.
func TestChoose(t *testing.T) {
	one, two, namesake := forger.Named(1, "one.example"), forger.Named(2, "two.example"), forger.Named(3, "one.example")
	names := Names(one.VKey, two.VKey, namesake.VKey)
	if hash := fmt.Sprintf("one.example+%08x", one.Key.KeyHash()); names[0] != hash || names[1] != "two.example" || names[2] == hash {
		t.Errorf("%q", names)
	}
	ede := func(code dns.ErrorCode, entry uint64, log string) dns.Option {
		return dns.ErrorOption(code, string(Append(nil, entry, log)))
	}
	for _, c := range []struct {
		options []dns.Option
		want    string // with two's key
	}{
		{nil, "false <nil>"},
		{[]dns.Option{ede(dns.EDEStaleAnswer, 1, "")}, "false <nil>"},
		{[]dns.Option{dns.ErrorOption(dns.EDEBlocked, "our list")}, "true <nil>"},
		{[]dns.Option{ede(dns.EDEBlocked, 1, "")}, "true {1  true} true"},
		{[]dns.Option{ede(dns.EDEBlocked, 1, names[1])}, "true {1 two.example true} true"},
		{[]dns.Option{ede(dns.EDEBlocked, 1, names[2])}, "true {1 " + names[2] + " true} false"},
		{[]dns.Option{ede(dns.EDEBlocked, 1, names[2]), ede(dns.EDEForgedAnswer, 2, names[1])}, "true {2 two.example true} true"},
		{[]dns.Option{dns.ErrorOption(dns.EDEBlocked, `{"s":1,"fdbs":[{"db":"filters of ISP","id":"9"}]}`)}, "true {9 filters of ISP false} false"},
	} {
		filtered, all := Read(&dns.Message{EDNS: &dns.EDNS{Options: c.options}})
		got := fmt.Sprint(filtered, " <nil>")
		if cited := Choose(all, two.Key); cited != nil {
			got = fmt.Sprint(filtered, " ", *cited, " ", cited.Of(two.Key))
		}
		if got != c.want {
			t.Errorf("%+v: %s, want %s", c.options, got, c.want)
		}
	}
	if hashed := (Citation{1, names[0], true}); !hashed.Of(one.Key) || hashed.Of(namesake.Key) {
		t.Error("logs of one name are not told apart by their keys")
	}
	if filtered, all := Read(&dns.Message{}); filtered || all != nil {
		t.Error("a reply without EDNS cites")
	}
}

// FuzzParse: a plain text that is read is the one that is written, and a structured one is package sde's.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"log entry 7", "log entry 7 of log.example", "log entry 7 of shoji-log+0c3f7a51", `{"s":1,"fdbs":[{"db":"x","id":"1"}]}`} {
		f.Add(uint16(dns.EDEBlocked), text)
	}
	f.Fuzz(func(t *testing.T, code uint16, text string) {
		for _, c := range Parse(dns.ErrorCode(code), text) {
			if !c.Certain {
				if _, err := sde.Parse(dns.ErrorCode(code), text); err != nil {
					t.Errorf("%q: %+v", text, c)
				}
				continue
			}
			if got := string(Append(nil, c.Entry, c.Log)); got != text || len(got) > MaxText {
				t.Errorf("%q is read as %+v, which is written %q", text, c, got)
			}
		}
	})
}
