package sde

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

var desk = Detail{
	Contact: []string{"mailto:desk@isp.example", "tel:+81-3-0000-0000"}, Justification: "malware's <control> name",
	SubError: Malware, Organisation: "例のISP", Language: "ja",
}

// The whole text, then the one that lacks what the draft leaves out first, then none.
func TestTemplate(t *testing.T) {
	tm, err := NewTemplate(desk, "log.isp.example")
	if err != nil {
		t.Fatal(err)
	}
	whole := `{"c":["mailto:desk@isp.example","tel:+81-3-0000-0000"],"j":"malware's <control> name","s":1,"o":"例のISP","l":"ja","fdbs":[{"db":"log.isp.example","id":"4711"}]}`
	short := `{"c":["mailto:desk@isp.example","tel:+81-3-0000-0000"],"s":1,"fdbs":[{"db":"log.isp.example","id":"4711"}]}`
	for room, want := range map[int]string{MaxText: whole, len(whole): whole, len(whole) - 1: short, len(short): short, len(short) - 1: "", 0: "", -5: ""} {
		if got := string(tm.Append([]byte("x"), 0, 4711, room)); got != "x"+want {
			t.Errorf("room for %d: %s", room, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { tm.Append(make([]byte, 0, MaxText), 0, 1<<63, MaxText) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	d, err := Parse(dns.EDEBlocked, whole)
	if err != nil || d.Justification != desk.Justification || d.SubError != Malware || !slices.Equal(d.Contact, desk.Contact) ||
		len(d.Incidents) != 1 || d.Incidents[0] != (Incident{"log.isp.example", "4711"}) {
		t.Errorf("%+v, %v", d, err)
	}
	tm, err = NewTemplate(Detail{SubError: OperatorPolicy}, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(tm.Append(nil, 0, 7, 100)); got != `{"s":6}` {
		t.Error(got)
	}
}

// Of several databases each incident names its own, and none another's.
func TestTemplateOfSeveral(t *testing.T) {
	tm, err := NewTemplate(Detail{SubError: Malware}, "one.example", "two.example")
	if err != nil {
		t.Fatal(err)
	}
	for place, want := range []string{`{"s":1,"fdbs":[{"db":"one.example","id":"7"}]}`, `{"s":1,"fdbs":[{"db":"two.example","id":"7"}]}`, ""} {
		if got := string(tm.Append(nil, place, 7, MaxText)); got != want {
			t.Errorf("%d: %s", place, got)
		}
	}
	if _, err := NewTemplate(Detail{SubError: Malware}, "one.example", strings.Repeat("x", MaxText)); err == nil {
		t.Error("a text that is too long for one of them is taken")
	}
}

// What cannot be sent is refused with the field that is wrong.
func TestWhatCannotBeSent(t *testing.T) {
	for want, change := range map[string]func(*Detail){
		"contact":  func(d *Detail) { d.Contact = []string{"https://isp.example/"} },
		"mailto":   func(d *Detail) { d.Contact = []string{"mailto:nobody"} },
		"tel":      func(d *Detail) { d.Contact = []string{"tel:"} },
		"language": func(d *Detail) { d.Language = "" },
		"tag":      func(d *Detail) { d.Language = "日本語" },
		"control":  func(d *Detail) { d.Justification = "a\x00b" },
		"UTF-8":    func(d *Detail) { d.Organisation = "\xff" },
		"shorten":  func(d *Detail) { d.Organisation = strings.Repeat("x", 500) },
	} {
		d := desk
		change(&d)
		if _, err := NewTemplate(d, "log"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// A client takes what it knows and drops what it must.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		code dns.ErrorCode
		text string
		want Detail // the zero one: plain text
	}{
		{dns.EDEBlocked, `{"s":1}`, Detail{SubError: 1}},
		{dns.EDEFiltered, `{"s":1,"new":{"a":[1]}}`, Detail{SubError: 1}},
		{dns.EDEFiltered, `{"s":6,"j":"x","l":"en"}`, Detail{Justification: "x", Language: "en"}},
		{dns.EDECensored, `{"s":1,"c":["tel:1"]}`, Detail{Contact: []string{"tel:1"}}},
		{dns.EDEBlocked, `{"c":["https://evil.example/","mailto:a@b.example"]}`, Detail{Contact: []string{"mailto:a@b.example"}}},
		{dns.EDEBlocked, `{"c":["https://evil.example/"],"o":"x","l":"en"}`, Detail{}},
		{dns.EDEBlocked, `{"s":0}`, Detail{}},
		{dns.EDEBlocked, `{"s":"1"}`, Detail{}},
		{dns.EDEBlocked, `log entry 4`, Detail{}},
		{dns.EDEBlocked, ``, Detail{}},
		{dns.EDEBlocked, `{"s":1} trailing`, Detail{}},
		{dns.EDEBlocked, `[{"s":1}]`, Detail{}},
		{dns.EDEBlocked, `{"s":1,"j":"` + strings.Repeat("x", MaxText) + `"}`, Detail{}},
		{dns.EDEBlocked, "{\"s\":1,\"j\":\"\xff\"}", Detail{}},
		{dns.EDEForgedAnswer, `{"s":1}`, Detail{}},
		{dns.EDENotReady, `{"s":1}`, Detail{}},
	} {
		d, err := Parse(c.code, c.text)
		got, _ := json.Marshal(d)
		want, _ := json.Marshal(c.want)
		if string(got) != string(want) || errors.Is(err, ErrPlain) != (string(want) == "{}") {
			t.Errorf("%d %s: %s, %v", c.code, c.text, got, err)
		}
	}
}

// What is said about a sub-error is said of each, and of no other.
func TestSubErrors(t *testing.T) {
	for s := -1; s < 10; s++ {
		if known := s >= Malware && s <= OperatorPolicy; (SubErrorText(s) != "") != known || Applies(s, dns.EDEBlocked) != known || Applies(s, dns.EDECensored) {
			t.Error(s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(uint16(15), `{"c":["mailto:a@b.example"],"j":"x","s":1,"o":"y","l":"en","fdbs":[{"db":"a","id":"1"}]}`)
	f.Add(uint16(17), `{"s":2}`)
	f.Add(uint16(15), "log entry 1")
	f.Fuzz(func(t *testing.T, code uint16, text string) {
		d, err := Parse(dns.ErrorCode(code), text)
		if err != nil {
			return
		}
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(dns.ErrorCode(code), string(b)); err != nil && len(b) <= MaxText {
			t.Errorf("%s is read and %s is not", text, b)
		}
	})
}
