package feed

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

// What a zone lets pass is not claimed by it, nor does it count of a later zone; what either lists beside that does.
func TestPrecedence(t *testing.T) {
	for _, c := range []struct{ what, earlier, zone, want string }{
		{"an exact name before its subtree", "", "*.a CNAME .\ngood.a CNAME rpz-passthru.\nb CNAME .", "[b]"},
		{"an exception before what it is one to", "", "good.a CNAME rpz-passthru.\n*.a CNAME .\nb CNAME .", "[b]"},
		{"the subtree's own name", "", "*.a CNAME .\na CNAME rpz-passthru.\nb CNAME .", "[b]"},
		{"a listed name below what passes", "", "*.a CNAME rpz-passthru.\nbad.a CNAME .", "[bad.a]"},
		{"a listed subtree below what passes", "", "*.a CNAME rpz-passthru.\n*.bad.a CNAME .", "[*.bad.a]"},
		{"the oldest form of PASSTHRU", "", "*.a CNAME .\ngood.a CNAME good.a.\nb CNAME .", "[b]"},
		{"TCP-ONLY does not withhold", "", "*.a CNAME .\nx.a CNAME rpz-tcp-only.\nb CNAME .", "[b]"},
		{"a longer prefix before a shorter one", "", "24.0.2.0.192.rpz-ip CNAME .\n32.1.2.0.192.rpz-ip CNAME rpz-passthru.\n24.0.100.51.198.rpz-ip CNAME .", "[198.51.100.0/24]"},
		{"a listed address in what passes", "", "24.0.2.0.192.rpz-ip CNAME rpz-passthru.\n32.1.2.0.192.rpz-ip CNAME .", "[192.0.2.1/32]"},
		{"an earlier zone's name", "a CNAME rpz-passthru.", "a CNAME .\nb CNAME .\nx.a CNAME .", "[b x.a]"},
		{"an earlier zone's name, within a subtree", "x.a CNAME rpz-passthru.", "*.a CNAME .\nb CNAME .", "[b]"},
		{"an earlier zone's subtree", "*.a CNAME rpz-passthru.", "x.a CNAME .\n*.y.a CNAME .\na CNAME .\nb CNAME .", "[a b]"},
		{"an earlier zone's prefix", "24.0.2.0.192.rpz-ip CNAME rpz-passthru.", "32.1.2.0.192.rpz-ip CNAME .\nb CNAME .", "[b]"},
		{"what an earlier zone lists is no exception", "a CNAME .", "a CNAME .", "[a]"},
		{"every way to withhold", "", "a CNAME .\nb CNAME *.\nc CNAME rpz-drop.\nd A 192.0.2.1\ne CNAME garden.example.\nf TXT \"a;b\"", "[a b c d e f]"},
	} {
		earlier := NewExceptions()
		_, err := Read(strings.NewReader(c.earlier), Options{Format: RPZ, Passes: true}, func(c Claim) error {
			if c.Pass {
				earlier.Add(c)
			}
			return nil
		})
		if err != nil && c.earlier != "" {
			t.Fatal(err)
		}
		var got []string
		rep, err := Read(strings.NewReader(c.zone), Options{Format: RPZ}, func(c Claim) error {
			if !earlier.Against(c) {
				got = append(got, c.subject())
			}
			return nil
		})
		slices.Sort(got)
		if fmt.Sprint(got) != c.want || err != nil || min(rep.Overruled, MaxMalformed) != len(rep.FirstOverruled) {
			t.Errorf("%s: %s, want %s; %+v, %v", c.what, got, c.want, rep, err)
		}
	}
}

// Triggers of kinds that are not taken are counted and named.
func TestTriggersThatAreNotTaken(t *testing.T) {
	zone := "a CNAME .\n32.1.2.0.192.rpz-client-ip CNAME .\n32.1.2.0.192.rpz-nsip CNAME .\nns.b.rpz-nsdname CNAME .\np CNAME rpz-passthru.\n"
	rep, err := Read(strings.NewReader(zone), Options{Format: RPZ}, func(Claim) error { return nil })
	if err != nil || rep.Claims != 1 || rep.Skipped[SkipTrigger] != 3 || rep.Skipped[SkipPassthru] != 1 || rep.Malformed != 0 ||
		!slices.Equal(rep.NotTaken, []string{"32.1.2.0.192.rpz-client-ip", "32.1.2.0.192.rpz-nsip", "ns.b.rpz-nsdname"}) {
		t.Errorf("%+v, %v", rep, err)
	}
}

// A zone of deep names that it lets pass does not fill the memory: it is refused.
func TestTooManyExceptions(t *testing.T) {
	r, w := io.Pipe()
	go func() {
		deep := strings.Repeat(".a", 110)
		for i := 0; ; i++ { // none shares more than the last label with another
			if _, err := fmt.Fprintf(w, "x%s.%d.example CNAME rpz-passthru.\n", deep, i); err != nil {
				return
			}
		}
	}()
	x := NewExceptions()
	x.Add(Claim{Name: dns.MustName("a.b.example"), Scope: Exact})
	if x.size() != 4 { // itself, two above it and the root
		t.Errorf("size %d", x.size())
	}
	_, err := Read(r, Options{Format: RPZ}, func(Claim) error { return nil })
	r.Close()
	if refused := (*Refused)(nil); !errors.As(err, &refused) || !strings.Contains(refused.Why, "lets pass") {
		t.Errorf("%v", err)
	}
}

// Exceptions of address ranges against the plain definition.
func TestExceptionsOfPrefixes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	some := func() netip.Prefix {
		if r.IntN(4) == 0 {
			return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, byte(r.IntN(3)), byte(r.IntN(4) << 6)}), 4+r.IntN(20)).Masked()
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(r.IntN(4) << 6), byte(r.IntN(4) << 6)}), 14+r.IntN(19)).Masked()
	}
	for range 2000 {
		x := NewExceptions()
		var all []netip.Prefix
		for range r.IntN(6) {
			p := some()
			all = append(all, p)
			x.Add(Claim{Prefix: p, Scope: Prefix})
		}
		c := Claim{Prefix: some(), Scope: Prefix}
		within, against := false, false
		for _, p := range all {
			within = within || p.Bits() > c.Prefix.Bits() && c.Prefix.Overlaps(p)
			against = against || c.Prefix.Overlaps(p)
		}
		if x.Within(c) != within || x.Against(c) != against {
			t.Fatalf("%v in %v: within %t, against %t", c.Prefix, all, !within, !against)
		}
	}
}

func TestParseTransfer(t *testing.T) {
	for text, want := range map[string]string{
		"axfr://192.0.2.1/rpz.vendor.example":                           "[192.0.2.1:53] rpz.vendor.example. key ",
		"axfr://key.example@192.0.2.1:5355,[2001:db8::1]:53/rpz.vendor": "[192.0.2.1:5355 [2001:db8::1]:53] rpz.vendor. key key.example",
		"axfr://[2001:db8::1]/rpz.vendor":                               "[[2001:db8::1]:53] rpz.vendor. key ",
		"axfr://192.0.2.1":                                              "", "axfr://192.0.2.1/": "", "axfr://primary.example/rpz": "", "axfr://@192.0.2.1/rpz": "", "axfr:///rpz": "",
		"axfr://192.0.2.1/a..b": "", "https://192.0.2.1/rpz": "", "axfr://192.0.2.1:99999/rpz": "", "axfr://" + strings.Repeat("192.0.2.1,", 9) + "192.0.2.1/rpz": "",
	} {
		got, err := ParseTransfer(text)
		if (err == nil) != (want != "") || err == nil && fmt.Sprintf("%v %s key %s", got.From, got.Zone, got.Key) != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func FuzzParseTransfer(f *testing.F) {
	f.Add("axfr://key@192.0.2.1:53,[::1]:9/rpz.test")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := ParseTransfer(text); err == nil && (len(got.From) == 0 || len(got.From) > maxPrimaries || got.Zone == "") {
			t.Errorf("%q: %+v", text, got)
		}
	})
}
