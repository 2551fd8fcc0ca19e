package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/forger"
	"github.com/shoji-dns/shoji/ledger"
)

// proofOf is what query --prove --json says of the proof.
type proofOf struct {
	Proof struct {
		Verdict, Why, Error, Checkpoint string
		Cited                           *uint64 `json:"cited_entry"`
		Entry                           struct {
			Raw   string
			Proof []string
		}
		Lookups []struct {
			Asked  string
			Listed bool
		}
	}
}

// TestProve holds the lab's answers against its log, over UDP and TLS, in both views.
func TestProve(t *testing.T) {
	l := startLabWith(t, "encrypted: {dot: ['127.0.0.1:0']}\n")
	pin := l.banner[strings.Index(l.banner, "pin sha256/")+len("pin "):]
	pin = pin[:strings.IndexByte(pin, '\n')]
	secure := "tls://" + addresses(l.banner, "TLS")[0]
	memory := t.TempDir()
	for _, c := range []struct {
		server, name, verdict, why string
		status                     int
		flags                      []string
	}{
		{l.filtered[0], "c2.evil.test", "proved", "filtered", exitOK, nil},
		{l.filtered[0], "deep.c2.evil.test", "proved", "filtered", exitOK, []string{"--structured"}},
		{secure, "c2.evil.test", "proved", "filtered", exitOK, []string{"--pin", pin}},
		{l.filtered[0], "www.shop.test", "proved", "absent", exitOK, nil},
		{l.filtered[0], "nothing.shop.test", "proved", "absent", exitOK, nil},
		{l.unfiltered[0], "c2.evil.test", "listed", "passed", exitListed, nil},
		{l.unfiltered[0], "cdn.shop.test", "listed", "passed", exitListed, nil},
		{l.filtered[0], "cdn.shop.test", "unchecked", "leads", exitUnchecked, nil},
		{l.filtered[0], "cdn.shop.test", "proved", "filtered-for", exitOK, []string{"--unfiltered", l.unfiltered[0]}},
		{l.filtered[0], "bogus.test", "unchecked", "no-answer", exitUnchecked, nil},
	} {
		args := append([]string{"query", c.name, "--server", c.server, "--prove", "--log", l.log, "--memory", memory, "--timeout", "20s"}, c.flags...)
		out, status := shoji(t, "", append(args, "--json")...)
		var got proofOf
		if err := json.Unmarshal([]byte(out), &got); err != nil || status != c.status || got.Proof.Verdict != c.verdict || got.Proof.Why != c.why {
			t.Errorf("%s: status %d, %v, want %d, %s, %s: %s", c.name, status, err, c.status, c.verdict, c.why, out)
		}
		if len(got.Proof.Entry.Raw) > 0 != (len(got.Proof.Entry.Proof) > 0) || c.why == "filtered" && got.Proof.Entry.Raw == "" {
			t.Errorf("%s: the entry and its proof: %+v", c.name, got.Proof.Entry)
		}
		for _, lang := range []string{"en", "ja"} {
			out, status := shoji(t, "", append(args, "--lang", lang)...)
			if want := strings.ReplaceAll(proveWords[lang][c.why], "{name}", c.name); status != c.status || !strings.Contains(out, proveWords[lang][c.verdict]+" ") ||
				!strings.Contains(want, "{by}") && !strings.Contains(out, want) || strings.Contains(out, "%!") || strings.Contains(out, "{") {
				t.Errorf("%s, %s: status %d: %s", c.name, lang, status, out)
			}
		}
	}
	out, status := shoji(t, "", "query", "c2.evil.test", "--server", l.filtered[0], "--prove")
	if status != exitUnchecked || !strings.Contains(out, "RESINFO") {
		t.Errorf("a resolver that tells of no log: status %d: %s", status, out)
	}
}

// TestProveFindsLies asks a resolver that filters as it likes, and cites what it likes.
func TestProveFindsLies(t *testing.T) {
	log := forger.New(1)
	log.Add(forger.Listing("listed.example"), forger.Listing("gone.example"), forger.Delisting("gone.example"), forger.Listing("target.example"))
	log.EpochWithMap()
	web := httptest.NewServer(log)
	defer web.Close()
	resinfo := func(q *dns.Message) *dns.Message {
		m := forged(q, 0, "", 0, "")
		text := "temp-log=" + web.URL + "/"
		m.Answer = []dns.RR{{Name: q.Question[0].Name, Type: dns.TypeRESINFO, Class: dns.ClassIN, Data: append([]byte{byte(len(text))}, text...)}}
		return m
	}
	cite := map[string]string{
		"listed.example.": "log entry 0", "gone.example.": "log entry 1", "spite.example.": "log entry 0", "delist.example.": "log entry 2", "beyond.example.": "log entry 99",
		"silent.example.": "", "led.example.": "log entry 3",
	}
	c := newCrook(t, func(_ asker, q *dns.Message) (*dns.Message, string) {
		name := q.Question[0].Name.String()
		if q.Question[0].Type == dns.TypeRESINFO {
			return resinfo(q), ""
		}
		if text, filtered := cite[name]; filtered {
			return forged(q, 0, "127.83.72.1", dns.EDEForgedAnswer, text), ""
		}
		return forged(q, 0, "192.0.2.1", 0, ""), ""
	})
	twin := newCrook(t, func(_ asker, q *dns.Message) (*dns.Message, string) {
		m := forged(q, 0, "192.0.2.1", 0, "")
		if name := q.Question[0].Name; name.String() == "led.example." {
			m.Answer[0] = dns.RR{Name: name, Type: dns.TypeCNAME, Class: dns.ClassIN, Data: []byte("\x06target\x07example\x00")}
		}
		return m, ""
	})
	prove := func(name string, flags ...string) (proofOf, int) {
		t.Helper()
		var got proofOf
		out, status := shoji(t, "", append([]string{"query", name, "--server", c.addr.String(), "--prove", "--json", "--key", log.VKey, "--memory", t.TempDir()}, flags...)...)
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("%s: %v in %s", name, err, out)
		}
		return got, status
	}
	for name, want := range map[string]string{
		"listed.example": "0 proved filtered", "plain.example": "0 proved absent", "gone.example": "1 not-proved not-in-force", "delist.example": "1 not-proved no-listing",
		"beyond.example": "1 not-proved no-entry", "spite.example": "1 not-proved leads-nowhere", "silent.example": "1 not-proved leads-nowhere",
		"led.example": "0 proved filtered-for", "target.example": "4 listed passed",
	} {
		got, status := prove(name, "--unfiltered", twin.addr.String())
		if text := fmt.Sprint(status, " ", got.Proof.Verdict, " ", got.Proof.Why); text != want {
			t.Errorf("%s: %s (%s), want %s", name, text, got.Proof.Error, want)
		}
	}
	// What the server shows must be what the log holds; and the log that the resolver tells of
	// is not believed by another key.
	bundle := ledger.BundlePath(0, log.Size())
	b := log.File(bundle)
	log.SetFile(bundle, []byte(strings.Replace(string(b), "listed.example", "1isted.example", 1)))
	if got, status := prove("listed.example"); status != exitFailure || got.Proof.Why != whyDamage {
		t.Errorf("an entry that was altered: status %d, %+v", status, got.Proof)
	}
	log.SetFile(bundle, b)
	if got, status := prove("listed.example", "--key", forger.New(2).VKey); status != exitUnchecked && status != exitFailure || got.Proof.Verdict == proved {
		t.Errorf("another key: status %d, %+v", status, got.Proof)
	}
	log.SetDown(true)
	if got, status := prove("listed.example"); status != exitUnchecked || got.Proof.Error == "" {
		t.Errorf("a log that is down: status %d, %+v", status, got.Proof)
	}
}

// A name in Unicode is asked for as it is sent, both forms are shown, and one that mixes
// scripts is pointed out.
func TestQueryTakesUnicode(t *testing.T) {
	l := startLab(t)
	for name, want := range map[string][]string{
		"例え.shop.test":    {"xn--r8jz45g.shop.test reads 例え.shop.test"},
		"例え。shop．test":    {"xn--r8jz45g.shop.test reads 例え.shop.test"},
		"аррle.shop.test": {"xn--le-6kc8da.shop.test reads аррle.shop.test", "it mixes scripts"},
		"_dns.例え.test":    {"_dns.xn--r8jz45g.test reads _dns.例え.test"},
	} {
		out, status := shoji(t, "", "query", name, "--server", l.filtered[0], "--lang", "en")
		if status != exitOK || slices.ContainsFunc(want, func(line string) bool { return !strings.Contains(out, line) }) || len(want) == 1 && strings.Contains(out, "mixes") {
			t.Errorf("%s: status %d: %s", name, status, out)
		}
	}
	for _, name := range []string{"é-.test", strings.Repeat("é", 80) + ".test", "a\u200db.test"} {
		if out, status := shoji(t, "", "query", name, "--server", l.filtered[0]); status != exitUsage {
			t.Errorf("%q: status %d: %s", name, status, out)
		}
	}
}

// Every text is there in both languages, with the same verbs.
func TestQueryWords(t *testing.T) {
	for name, all := range map[string]map[string]map[string]string{"queryWords": queryWords, "proveWords": proveWords} {
		for key, en := range all["en"] {
			ja := all["ja"][key]
			if ja == "" || strings.Count(en, "%") != strings.Count(ja, "%") || strings.Contains(ja, "{name}") != strings.Contains(en, "{name}") && key != "leads" {
				t.Errorf("%s, %s: %q and %q", name, key, en, ja)
			}
		}
		if len(all["en"]) != len(all["ja"]) {
			t.Errorf("%s: %d and %d texts", name, len(all["en"]), len(all["ja"]))
		}
	}
	for code := range errorWords["en"] {
		if errorWords["ja"][code] == "" {
			t.Errorf("no words in Japanese for %s", code)
		}
	}
}
