package feed

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

func fuzz(f *testing.F, format Format) {
	files, _ := filepath.Glob("testdata/*.*")
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil && !strings.HasSuffix(name, ".golden") {
			f.Add(b)
		}
	}
	f.Add([]byte("a\\.b CNAME .\n\\300.x A 1\n( \"\n) x A ;\n"))
	f.Add([]byte("||*.*.a^$,=,domain=\n*.*.a\n..a\n[::1\n[::1]:\n:0\n://\n@@@\n"))
	f.Fuzz(func(t *testing.T, data []byte) { checkRead(t, data, format) })
}

// checkRead reads data and checks what is true of every list.
func checkRead(t *testing.T, data []byte, format Format) {
	line := 0
	claims := 0
	rep, err := Read(bytes.NewReader(data), Options{File: "f.txt", Format: format}, func(c Claim) error {
		claims++
		switch {
		case c.Prefix.IsValid():
			if c.Name != "" || c.Scope != Prefix || c.Prefix != c.Prefix.Masked() || c.Prefix.Addr().Is4In6() && c.Prefix.Bits() >= 96 {
				t.Errorf("claim %+v", c)
			}
		case c.Scope != Exact && c.Scope != Subtree:
			t.Errorf("scope %q", c.Scope)
		default:
			if n, err := dns.ParseName(c.Name.String()); err != nil || n != c.Name || c.Name.Canonical() != c.Name {
				t.Errorf("name %q: %q, %v", c.Name, n, err)
			}
		}
		if c.Line < line && c.Format != RPZ || c.Line < 1 || len(c.Reference) > MaxReference || len(c.Family) > MaxFamily {
			t.Errorf("claim %+v after line %d", c, line)
		}
		line = max(line, c.Line)
		return nil
	})
	if refused := (*Refused)(nil); err != nil && !errors.As(err, &refused) {
		t.Errorf("error %v", err)
	}
	if claims != rep.Claims || rep.Used > rep.Lines || len(rep.First) > MaxMalformed || line > rep.Lines || len(rep.First) > rep.Malformed {
		t.Errorf("%d claims, report %+v", claims, rep)
	}
	for _, m := range rep.First {
		if strings.IndexFunc(m.Text, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			t.Errorf("excerpt %q", m.Text)
		}
	}
}

func FuzzReadAuto(f *testing.F)     { fuzz(f, Auto) }
func FuzzReadPlain(f *testing.F)    { fuzz(f, Plain) }
func FuzzReadHosts(f *testing.F)    { fuzz(f, Hosts) }
func FuzzReadAdblock(f *testing.F)  { fuzz(f, Adblock) }
func FuzzReadRPZ(f *testing.F)      { fuzz(f, RPZ) }
func FuzzReadCSV(f *testing.F)      { fuzz(f, CSV) }
func FuzzReadMaltrail(f *testing.F) { fuzz(f, Maltrail) }
func FuzzReadJSON(f *testing.F)     { fuzz(f, JSON) }
func FuzzReadMISP(f *testing.F)     { fuzz(f, MISP) }
func FuzzReadSTIX(f *testing.F)     { fuzz(f, STIX) }

// FuzzZoneAgainstMiekg reads a policy zone with another parser. Where that one
// takes the whole zone, every name that we claim is an owner that it has, and if
// no line is malformed to us, every name with a CNAME to the root is claimed.
func FuzzZoneAgainstMiekg(f *testing.F) {
	for _, zone := range []string{
		"$ORIGIN rpz.test.\n$TTL 60\n@ SOA a. b. 1 2 3 4 5\n@ NS a.\nx CNAME .\n*.x CNAME .\ny 60 IN CNAME .\nz IN 60 CNAME .\n",
		"$ORIGIN rpz.test.\n$TTL 60\n@ SOA a. b. ( 1 2 ; c\n3 4 5 )\nx.y.rpz.test. A 192.0.2.1\n  TXT \"a;b\" ; \"\n24.0.2.0.192.rpz-ip CNAME .\n",
		"$ORIGIN rpz.test.\n$TTL 60\n@ SOA a. b. 1 2 3 4 5\na\\.b CNAME .\na\\046c CNAME .\nA CNAME .\n",
		"$ORIGIN rpz.test.\n$TTL 60\n@ SOA \x9f 0( 0 0 0\n0 0 0)\n TXT ",
	} {
		f.Add([]byte(zone))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		const origin = "rpz.test."
		if !bytes.HasPrefix(data, []byte("$ORIGIN rpz.test.\n$TTL 60\n@ SOA ")) || bytes.Count(data, []byte("$")) != 2 || bytes.IndexByte(data, 0) >= 0 {
			t.Skip("not of the form that is compared")
		}
		owners, withheld := map[string]bool{}, map[string]bool{}
		zp := mdns.NewZoneParser(bytes.NewReader(data), "", "")
		for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
			name, err := dns.ParseName(rr.Header().Name)
			if err != nil || !name.IsSubdomainOf(dns.MustName(origin)) {
				t.Skip("a name outside of the zone")
			}
			owner := strings.TrimSuffix(name.Canonical().String(), "."+origin)
			owners[owner] = true
			if c, ok := rr.(*mdns.CNAME); ok && c.Target == "." && !strings.Contains(owner, "rpz-") && owner != "*" && owner != origin {
				withheld[owner] = true
			}
		}
		if zp.Err() != nil {
			t.Skip("not a zone")
		}
		rep, _ := Read(bytes.NewReader(data), Options{Format: RPZ}, func(c Claim) error {
			if c.Name == "" {
				return nil
			}
			owner := strings.TrimSuffix(c.Name.String(), ".")
			if c.Scope == Subtree {
				owner = "*." + owner
			}
			if !owners[owner] {
				t.Errorf("we claim %s; the other parser has %v", owner, owners)
			}
			delete(withheld, owner)
			return nil
		})
		if rep.Malformed == 0 && len(withheld) > 0 {
			t.Errorf("not claimed: %v", withheld)
		}
	})
}
