package zonecopy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// A primary, or a file, may hold anything: owner names of NSEC3 records that are no hashes,
// longer or shorter than one, RDATA of no length, denials that lead nowhere.
func TestRecordsThatAreNone(t *testing.T) {
	long := strings.Repeat("v", 63)
	for what, lines := range map[string]string{
		"a label longer than a hash":  "test. NSEC3PARAM 1 0 0 -\n" + long + ".test. NSEC3 1 0 0 - 00000000000000000000000000000000 A\n",
		"one character more":          "test. NSEC3PARAM 1 0 0 -\n" + long[:33] + ".test. NSEC3 1 0 0 - 00000000000000000000000000000000 A\n",
		"a label shorter than a hash": "test. NSEC3PARAM 1 0 0 -\n0.test. NSEC3 1 0 0 - 00000000000000000000000000000000 A\n",
		"no characters of a hash":     "test. NSEC3PARAM 1 0 0 -\n\\000zz.test. NSEC3 1 0 0 - 00000000000000000000000000000000 A\n",
		"NSEC3 without parameters":    "00000000000000000000000000000000.test. NSEC3 1 0 0 - 00000000000000000000000000000000 A\n",
		"empty RDATA":                 "test. NSEC3PARAM \\# 0\ntest. ZONEMD \\# 0\nx.test. NSEC \\# 0\nx.test. RRSIG \\# 0\n",
		"one NSEC":                    "x.test. NSEC x.test. A\n",
	} {
		all := records(t, sample)
		for _, line := range strings.SplitAfter(lines, "\n") {
			if line != "" {
				all = append(all, hostile(t, line))
			}
		}
		z, err := newZone(dns.MustName("test"), all)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, name := range []string{"test", "no.test", "www.test", "a.b.c.test", "b.c.test", "x.w.test", "x.plain.test", "no.no.no.test"} {
			for _, typ := range []dns.Type{dns.TypeA, dns.TypeDS, dns.TypeANY, dns.TypeNSEC3} {
				if m := z.reply(dns.MustName(name), typ); m == nil || !m.Flags.Has(dns.FlagQR) {
					t.Errorf("%s: %s %s: no reply", what, name, typ)
				}
			}
		}
	}
}

// hostile is a record whose RDATA may be empty, which a zone file's reader may refuse.
func hostile(t *testing.T, line string) dns.RR {
	t.Helper()
	name, rest, _ := strings.Cut(line, " ")
	typ, _, _ := strings.Cut(rest, " ")
	if strings.HasSuffix(line, "\\# 0\n") {
		ty, err := dns.ParseType(typ)
		if err != nil {
			t.Fatal(err)
		}
		return dns.RR{Name: dns.MustName(name), Type: ty, Class: dns.ClassIN, TTL: 60}
	}
	return records(t, line)[0]
}

// A DNAME record at the top of a zone stands for all names below it (RFC 6672 §2.3).
func TestDNAMEAtTheTop(t *testing.T) {
	z, err := newZone(dns.MustName("test"), records(t, "test. 300 SOA ns.other. h.other. 7 1800 900 604800 60\ntest. NS ns.other.\ntest. DNAME other.\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]dns.Type{"a.test": dns.TypeDNAME, "b.a.test": dns.TypeDNAME} {
		m := z.reply(dns.MustName(name), dns.TypeA)
		if m.RCode != dns.RCodeSuccess || len(m.Answer) != 1 || m.Answer[0].Type != want {
			t.Errorf("%s: %s %v", name, m.RCode, m.Answer)
		}
	}
	if m := z.reply(dns.MustName("test"), dns.TypeNS); len(m.Answer) != 1 || m.Answer[0].Type != dns.TypeNS {
		t.Errorf("the top itself: %v", m.Answer)
	}
}

// What a wrong file holds is not shown at length in its error: it may be gigabytes.
func TestErrorOfAWrongFileIsShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zone")
	if err := os.WriteFile(path, []byte(strings.Repeat("x", 1<<20)), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Config{Zone: dns.MustName("test"), File: path})
	if err == nil || len(err.Error()) > 1000 || !strings.Contains(err.Error(), path) {
		t.Errorf("an error of %d octets", len(err.Error()))
	}
}

// A kept transfer that is cut, changed or not a transfer at all is left aside, and does not
// keep the process from its start.
func TestDamagedKeptTransfer(t *testing.T) {
	folder := t.TempDir()
	conf := Config{Zone: dns.Root, Folder: folder}
	for _, damage := range []string{"", "\x00", "\xff\xff", strings.Repeat("\x00", 1000), strings.Repeat("\xff", 70000)} {
		k := &Copy{conf: conf}
		if err := os.WriteFile(k.kept(), []byte(damage), 0o644); err != nil {
			t.Fatal(err)
		}
		k, err := Open(conf)
		if err != nil || k.Current(time.Now()) {
			t.Errorf("%d octets: %v", len(damage), err)
		}
	}
}
