package zonefile

import (
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

func TestRecords(t *testing.T) {
	const text = `
$TTL 60
@        IN SOA ns hostmaster 1 2 3 4 5
         IN NS  ns
ns       IN A   192.0.2.1
printer 30 A 192.0.2.9 ; on the first floor
text     TXT "two words" "and \"more\""
$ORIGIN other.example.
here     AAAA 2001:db8::1
odd      TYPE65280 \# 3 ABCDEF
`
	want := []string{
		"home.example.\t60\tIN\tSOA\tns.home.example. hostmaster.home.example. 1 2 3 4 5",
		"home.example.\t60\tIN\tNS\tns.home.example.",
		"ns.home.example.\t60\tIN\tA\t192.0.2.1",
		"printer.home.example.\t30\tIN\tA\t192.0.2.9",
		"text.home.example.\t60\tIN\tTXT\t\"two\\032words\" \"and\\032\\\"more\\\"\"",
		"here.other.example.\t60\tIN\tAAAA\t2001:db8::1",
		"odd.other.example.\t60\tIN\tTYPE65280\t\\# 3 ABCDEF",
	}
	var got []string
	for r, err := range Records(strings.NewReader(text), dns.MustName("home.example")) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.String())
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("read\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestErrorsSayTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"a A 192.0.2.1\nb A 192.0.2.300\n": "line: 2",
		"$INCLUDE other\n":                 "$INCLUDE",
		"a IN\n":                           "line: 1",
	} {
		var last error
		for _, err := range Records(strings.NewReader(text), dns.Root) {
			last = err
		}
		if last == nil || !strings.Contains(last.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, last, want)
		}
	}
}

func TestRecord(t *testing.T) {
	r, err := Record("printer A 192.0.2.9", dns.MustName("home.example"))
	if err != nil || r.String() != "printer.home.example.\t3600\tIN\tA\t192.0.2.9" {
		t.Errorf("read %v, %v", r, err)
	}
	for _, text := range []string{"", "; nothing", "a A 192.0.2.1\nb A 192.0.2.2", "printer"} {
		if r, err := Record(text, dns.Root); err == nil {
			t.Errorf("%q was read as %v", text, r)
		}
	}
}

// Whatever the text, a record that is read goes into a message and comes out the same.
func FuzzRecords(f *testing.F) {
	f.Add("a 60 IN A 192.0.2.1\n\tMX 10 mail")
	f.Add("$ORIGIN x.\n* TXT \"\\000\\255\"")
	f.Add("a HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1")
	f.Add("a TYPE1 \\# 4 C0000201")
	f.Add("$GENERATE 1-3 h$ A 192.0.2.$")
	f.Fuzz(func(t *testing.T, text string) {
		count := 0
		for r, err := range Records(strings.NewReader(text), dns.MustName("fuzz.example")) {
			if count++; err != nil || count > 100 {
				return
			}
			in := dns.Message{Question: []dns.Question{{Name: r.Name, Type: r.Type, Class: r.Class}}, Answer: []dns.RR{r}}
			wire, err := in.Append(nil)
			if err != nil {
				continue // longer than a message
			}
			var out dns.Message
			if err := out.Unpack(wire); err != nil {
				continue // RDATA that its type does not allow, or an OPT
			}
			if len(out.Answer) == 1 && !strings.EqualFold(out.Answer[0].String(), r.String()) {
				t.Errorf("%v came back as %v", r, out.Answer[0])
			}
		}
	})
}
