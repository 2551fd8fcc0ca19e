package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/forger"
	"github.com/shoji-dns/shoji/internal/sequence"
)

// followed is an operator's log as a node follows it.
func (l *lab) followed(t *testing.T) logAt {
	t.Helper()
	key, err := sequence.ReadVerifierKey(l.state)
	if err != nil {
		t.Fatal(err)
	}
	return logAt{l.log, key}
}

// TestVerifyNodeOfTwoLogs holds a node against the first of its logs: what the second one filters is no
// fault, is not verified, and the report says what to do about it.
func TestVerifyNodeOfTwoLogs(t *testing.T) {
	t.Parallel()
	operator, two := startLab(t), logOf(2, "two.example", "listed.example")
	url, _ := shownLog(t, two)
	node := startNode(t, operator.followed(t), logAt{url, two.VKey})
	awaits(t, node.filtered[0], "c2.evil.test", "127.83.72.1")
	flags := append([]string{"--resolver", node.filtered[0], "--unfiltered", node.unfiltered[0], "--name", "www.shop.test", "--name", "c2.evil.test"}, customers...)
	if v := verifyLive(t, operator, flags...); v.Verdict != "verified" || len(v.Resolvers.OtherLogs) != 0 {
		t.Errorf("nothing is asked for that the second log lists: %s: %s", v.Verdict, v.details())
	}
	two.Add(forger.Listing("www.shop.test"))
	two.Epoch()
	awaits(t, node.filtered[0], "www.shop.test", "127.83.72.1")
	v := verifyLive(t, operator, flags...)
	if got := strings.Join(v.codes(), ", "); v.Verdict != "unchecked" || got != "answered other-log two.example" || v.Resolvers.OtherLogs["two.example"] < 12 {
		t.Errorf("%s: %s; %v: %s", v.Verdict, got, v.Resolvers.OtherLogs, v.details())
	}
	for _, lang := range []string{"en", "ja"} {
		w := verifyWords[lang]
		out, status := shoji(t, "", append([]string{"verify", operator.log, "--lang", lang, "--lab", "--memory", t.TempDir(), "--over", "0s", "--lag", "1s", "--questions", "200"}, flags...)...)
		before, _, _ := strings.Cut(w["other-log"], "%d")
		if status != exitUnchecked || !strings.Contains(out, before) || !strings.Contains(out, "two.example") || !strings.Contains(out, w["other-logs"]) ||
			!strings.Contains(out, "two.example: "+w["code-other-log"]) || strings.Contains(out, "%!") {
			t.Errorf("%s: status %d: %s", lang, status, out)
		}
	}
	first := startNode(t, logAt{url, two.VKey}, operator.followed(t)) // and where both list a name, the first is named
	two.Add(forger.Listing("c2.evil.test"))
	two.Epoch()
	awaits(t, first.filtered[0], "www.shop.test", "127.83.72.1")
	for range 20_000 {
		if reason(t, first.filtered[0], "c2.evil.test") == "log entry 4 of two.example" {
			break
		}
	}
	v = verifyLive(t, operator, "--resolver", first.filtered[0], "--unfiltered", first.unfiltered[0], "--name", "c2.evil.test")
	if got := strings.Join(v.codes(), ", "); v.Verdict != "unchecked" || !strings.Contains(got, "filtered other-log two.example") || strings.Contains(got, "wrong-citation") {
		t.Errorf("%s: %s: %s", v.Verdict, got, v.details())
	}
}

// TestVerifyTwoLogs holds a node against both of its logs, which list the same names: each is verified, and an
// answer that names the other one too. What no log lists is a fault, whichever is named.
func TestVerifyTwoLogs(t *testing.T) {
	t.Parallel()
	one, two := startLab(t), startLab(t)
	list(t, "www.bank.test\n", "import", "-", "--source", "test", "--kind", "c2", "--config", two.conf)
	node := startNode(t, one.followed(t), two.followed(t))
	awaits(t, node.filtered[0], "www.bank.test", "127.83.72.1")
	liar := newCrook(t, func(_ asker, q *dns.Message) (*dns.Message, string) {
		m := passOn(t, node.filtered[0], q)
		if !asks(q, "www.shop.test") || q.EDNS == nil || m == nil {
			return nil, node.filtered[0]
		}
		text := strings.Replace(reason(t, node.filtered[0], "www.bank.test"), "log entry ", "log entry 1", 1)
		return forged(q, dns.RCodeSuccess, "127.83.72.1", dns.EDEBlocked, text), ""
	})
	verify := func(resolver string, logs ...string) (all []verdict, status int) {
		t.Helper()
		args := append([]string{"verify"}, logs...)
		args = append(args, "--json", "--lab", "--memory", t.TempDir(), "--over", "0s", "--lag", "1s", "--questions", "200",
			"--resolver", resolver, "--unfiltered", node.unfiltered[0], "--name", "www.bank.test", "--name", "www.shop.test")
		out, status := shoji(t, "", args...)
		if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 2 {
			t.Fatalf("%v: %s", err, out)
		}
		return all, status
	}
	all, status := verify(node.filtered[0], one.log, two.log)
	for i := range all {
		if v := &all[i]; status != exitOK || v.Verdict != "verified" || v.Resolvers == nil || v.Resolvers.Listed < 3 || len(v.Resolvers.OtherLogs) != 0 {
			t.Errorf("status %d: log %d: %s: %s", status, i, v.Verdict, v.details())
		}
	}
	if all, status = verify(liar.addr.String(), two.log, one.log); status != exitFailure || !all[0].has("answered filtered-unlisted www.shop.test") || !all[1].has("answered filtered-unlisted www.shop.test") {
		t.Errorf("status %d: %s%s", status, all[0].details(), all[1].details())
	}
	if v := verifyLive(t, two, "--resolver", node.filtered[0], "--unfiltered", node.unfiltered[0]); v.Verdict != "unchecked" || !strings.Contains(v.details(), "filtered other-log shoji-log+") {
		t.Errorf("the second log alone: %s: %s", v.Verdict, v.details())
	}
	for _, flags := range [][]string{{one.log}, {two.log, "--key", one.followed(t).key}} {
		if out, status := wrong(t, append([]string{"verify", one.log}, flags...)...); status != exitUsage {
			t.Errorf("%v: status %d: %s", flags, status, out)
		}
	}
}

// Who filters a name of no log, and says that one does which nobody knows, is not verified. What he
// leads elsewhere, and what is no citation, is a fault.
func TestCrookBehindAnotherLog(t *testing.T) {
	l := startLab(t)
	for name, tc := range map[string]struct{ address, text, verdict, code string }{
		"plain":                       {"127.83.72.1", "log entry 3 of hidden.example", "unchecked", "answered other-log hidden.example"},
		"structured":                  {"127.83.72.1", `{"s":1,"fdbs":[{"db":"hidden.example","id":"3"}]}`, "unchecked", "answered other-log hidden.example"},
		"leads to a place of his own": {"198.51.100.66", "log entry 3 of hidden.example", "fault", "answered other-sinkhole www.shop.test"},
		"names no log":                {"127.83.72.1", "log entry 3 of ", "fault", "answered filtered-unlisted www.shop.test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrook(t, func(_ asker, q *dns.Message) (*dns.Message, string) {
				if asks(q, "www.shop.test") {
					return forged(q, dns.RCodeSuccess, tc.address, dns.EDEBlocked, tc.text), ""
				}
				return nil, l.filtered[0]
			})
			v := verifyLive(t, l, append([]string{"--resolver", c.addr.String(), "--unfiltered", l.unfiltered[0], "--name", "www.shop.test", "--name", "c2.evil.test"}, customers...)...)
			if got := strings.Join(v.codes(), "\n"); v.Verdict != tc.verdict || !strings.Contains(got, tc.code) {
				t.Errorf("%s, want %s and %s:\n%s", v.Verdict, tc.verdict, tc.code, v.details())
			}
		})
	}
}

// TestProveByAnotherLog holds one answer of a node with two logs against each of them, plain and structured.
func TestProveByAnotherLog(t *testing.T) {
	one, two := logOf(1, "one.example", "c2.evil.test"), logOf(2, "two.example", "www.bank.test")
	url1, _ := shownLog(t, one)
	url2, _ := shownLog(t, two)
	node := startNode(t, logAt{url1, one.VKey}, logAt{url2, two.VKey})
	awaits(t, node.filtered[0], "c2.evil.test", "127.83.72.1")
	for _, form := range [][]string{nil, {"--structured"}} {
		for url, want := range map[string]int{url1: exitUnchecked, url2: exitOK} {
			key := map[string]string{url1: one.VKey, url2: two.VKey}[url]
			for _, lang := range []string{"en", "ja"} {
				args := append([]string{"query", "www.bank.test", "--server", node.filtered[0], "--prove", "--log", url, "--key", key, "--memory", t.TempDir(), "--lang", lang}, form...)
				out, status := shoji(t, "", args...)
				if says := strings.Contains(out, strings.ReplaceAll(proveWords[lang]["other-log"], "{log}", "two.example")); status != want || says != (want == exitUnchecked) {
					t.Errorf("%v by %s: status %d: %s", form, url, status, out)
				}
			}
		}
		out, _ := shoji(t, "", append([]string{"query", "www.bank.test", "--server", node.filtered[0], "--prove", "--log", url1, "--key", one.VKey, "--json"}, form...)...)
		if !strings.Contains(out, fmt.Sprintf(`"cited_log": %q`, "two.example")) {
			t.Errorf("%s", out)
		}
	}
}
