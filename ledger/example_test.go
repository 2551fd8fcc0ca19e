package ledger_test

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/ledger"
)

func print(e ledger.Entry) {
	e.Time = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b, err := e.Marshal()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(b))
}

// A name with all names below it comes onto the list.
func ExampleEntry_list() {
	print(ledger.Entry{
		Kind: ledger.KindList, Scope: ledger.ScopeSubtree, Name: "c2.evil.test",
		Clause: "c2.two-sources", Policy: sha256.Sum256([]byte("clauses: []\n")),
		Evidence: []ledger.Evidence{
			{Source: "blackbook", Kind: "c2", Family: "Emotet", Reference: "blackbook.csv:17"},
			{Source: "maltrail", Kind: "c2", Last: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		},
	})
	// Output:
	// {"clause":"c2.two-sources","evidence":[{"family":"Emotet","kind":"c2","reference":"blackbook.csv:17","source":"blackbook"},{"kind":"c2","last":"2026-01-01T00:00:00Z","source":"maltrail"}],"kind":"list","name":"c2.evil.test","policy":"e340284152ace21051e677d2353fcb6aa0796c10e7c4193590e330148df050fb","scope":"subtree","time":"2026-01-02T03:04:05Z"}
}

// It leaves the list; so does a prefix, by "prefix" in place of "name".
func ExampleEntry_delist() {
	print(ledger.Entry{
		Kind: ledger.KindDelist, Scope: ledger.ScopeSubtree, Name: "c2.evil.test",
		Cause: "appeal", Case: "case-7",
	})
	print(ledger.Entry{
		Kind: ledger.KindDelist, Scope: ledger.ScopePrefix, Prefix: netip.MustParsePrefix("192.0.2.0/24"),
		Cause: "evidence-stale",
	})
	// Output:
	// {"case":"case-7","cause":"appeal","kind":"delist","name":"c2.evil.test","scope":"subtree","time":"2026-01-02T03:04:05Z"}
	// {"cause":"evidence-stale","kind":"delist","prefix":"192.0.2.0/24","scope":"prefix","time":"2026-01-02T03:04:05Z"}
}

// A policy comes into force, a source is declared.
func ExampleEntry_policy() {
	print(ledger.Entry{
		Kind: ledger.KindPolicy, Version: "1.0", Policy: sha256.Sum256([]byte("clauses: []\n")),
		Document: "clauses: []\n", Bytes: 12,
	})
	print(ledger.Entry{
		Kind: ledger.KindSource, Source: "maltrail", Group: "stamparm", Claims: []string{"c2", "malware-host"},
		Status: "active", License: "MIT", Format: "maltrail", Interval: 86400,
	})
	// Output:
	// {"bytes":12,"document":"clauses: []\n","kind":"policy","policy":"e340284152ace21051e677d2353fcb6aa0796c10e7c4193590e330148df050fb","time":"2026-01-02T03:04:05Z","version":"1.0"}
	// {"claims":["c2","malware-host"],"format":"maltrail","group":"stamparm","interval":86400,"kind":"source","license":"MIT","source":"maltrail","status":"active","time":"2026-01-02T03:04:05Z"}
}

// A case opens about entry 17.
func ExampleEntry_case() {
	listing := uint64(17)
	print(ledger.Entry{
		Kind: ledger.KindCase, Case: "case-7", Status: "received", Cause: "false-positive", Listing: &listing,
		Note: "The owner says that the host was cleaned.",
	})
	// Output:
	// {"case":"case-7","cause":"false-positive","kind":"case","listing":17,"note":"The owner says that the host was cleaned.","status":"received","time":"2026-01-02T03:04:05Z"}
}

// The list of the first 18 entries is published and comes into force.
func ExampleEntry_epoch() {
	print(ledger.Entry{
		Kind: ledger.KindEpoch, Size: 18, Count: 16, Bytes: 4096, Layout: 3,
		Digest: sha256.Sum256([]byte("a compiled list")),
	})
	// Output:
	// {"bytes":4096,"count":16,"digest":"bf19bc2ec3b87062b1b2e94816beabc70f941546a0afeaa79914fa9ba4d0d6c9","kind":"epoch","layout":3,"size":18,"time":"2026-01-02T03:04:05Z"}
}

// What is not an entry's only encoding is refused, and the error says where.
func ExampleParse() {
	for _, s := range []string{
		`{"count":0,"bytes":0,"kind":"epoch"}`,
		`{"colour":"red","kind":"epoch"}`,
		`{"kind":"epoch", "size":1}`,
		`{"kind":"ban"}`,
	} {
		_, err := ledger.Parse([]byte(s))
		fmt.Println(err)
	}
	// Output:
	// octet 11: member "bytes" is out of order: not canonical JSON (RFC 8785)
	// octet 1: unknown member "colour"
	// octet 16: ' ' where '"' should be: not canonical JSON (RFC 8785)
	// unknown kind "ban"
}

// What a checkpoint has to bear, by a policy that takes two of three witnesses.
func ExampleParseWitnessPolicy() {
	const raw = `log.shoji.test
1
9HBN4DjhkC8m9hLP+RMKajnkJhR9RPRWVkpHs5MMk+Y=

— log.shoji.test Hrkc/cY4K81HP105x+htEwkORyHqbqMzoR6PrObx2MfMnEeiRPMZ/IK3YEgIFHnoYvvXxlmiT2nCwUpbwTK+5Lj8aAI=
— w1.example 5YjUtAAAAABpVzWl1EqBkkXBP36akwXsbDbCweGR5+S0Htm138yVpcUG6xlIpmBu4n4ZljSVw1P2YlMhfPnrNqLxkLETM3PTwo3SBA==
— w3.example 8dgLuAAAAABpVzWlIqy3371U0CE00hkV4rVw0OnyXlR9EWVDhueGTJBcLc1U4mK2/WEQpTivill+xw5FQvU7kfioVTcUVfPqq9ufCw==
`
	policy, err := ledger.ParseWitnessPolicy([]byte(`
witness one   w1.example+e588d4b4+BJf/yIPIC+5yN++V2bm3A9StY+YKIeYFhnaCt1uLP0MD https://w1.example/
witness two   w2.example+0ee5fc33+BLo7YR4ogsG2qksq4+x46gc2462ZI4NTRQFxUHpLnxW1 https://w2.example/
witness three w3.example+f1d80bb8+BEZmJ9Unc8nVzabI/SjqMex7lOaKqNQuKtMaddyNJO0H https://w3.example/
group most 2 one two three
quorum most
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := note.NewVerifier("log.shoji.test+1eb91cfd+AS2t66Y8jqA6iglM+/cf9SK9to/kWF5ZOKQuzBizIkt0")
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := ledger.OpenCheckpoint([]byte(raw), key)
	if err != nil {
		fmt.Println(err)
		return
	}
	who := policy.Check(c)
	for _, s := range who.Cosignatures {
		fmt.Println(s.Witness, s.Time)
	}
	fmt.Println("missing", who.Missing, "satisfied", who.Satisfied)
	// Output:
	// one 2026-01-02 03:04:05 +0000 UTC
	// three 2026-01-02 03:04:05 +0000 UTC
	// missing [two] satisfied true
}
