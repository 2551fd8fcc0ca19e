package filter

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/ledger"
)

// goldenDigest is what a fixed log compiles to, on every machine. Who changes the format of
// the list changes it; nothing else may.
const goldenDigest = "8a7862f6172b652a6359761c32dda089032977cc4bfd563d0abf806b44e72fb0"

// goldenState is what a fixed log of some 250 entries adds up to.
func goldenState(t *testing.T) *ledger.State {
	t.Helper()
	var all []ledger.Entry
	for i := range 250 {
		scope := []ledger.Scope{ledger.ScopeExact, ledger.ScopeSubtree}[i%2]
		all = append(all, list(fmt.Sprintf("host%d.zone%d.example", i*7919%1000, i%13), scope))
	}
	block := list("", ledger.ScopePrefix)
	block.Prefix = netip.MustParsePrefix("198.51.100.0/25")
	all = append(all, block)
	block.Prefix = netip.MustParsePrefix("2001:db8:1::/48")
	hidden := list("", ledger.ScopeSubtree)
	hidden.Salt = ledger.Salt{9}
	hidden.Commitment = ledger.Commit(hidden.Salt, ledger.ScopeSubtree, "hidden.example")
	gone := all[17]
	all = append(all, block, hidden, ledger.Entry{Kind: ledger.KindDelist, Scope: gone.Scope, Name: gone.Name, Cause: "appeal"})
	return newShortLog(t, all...).state(t)
}

// goldenChild has this test's binary print what it compiles.
const goldenChild = "SHOJI_TEST_GOLDEN"

// TestEveryMachineCompilesTheSame: the compiled list is a function of the log alone, and not
// of the processor, how many there are, the seeds of a process's maps, or the collector.
func TestEveryMachineCompilesTheSame(t *testing.T) {
	var out bytes.Buffer
	digest, err := Compile(&out, goldenState(t))
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv(goldenChild) != "" {
		fmt.Printf("golden %s\n", digest)
		return
	}
	if got := digest.String(); got != goldenDigest {
		t.Errorf("the list has digest %s, not %s", got, goldenDigest)
	}
	for _, environment := range []string{"GOMAXPROCS=1 GOGC=1", "GOMAXPROCS=7 GOGC=off", "GOMAXPROCS=2 GODEBUG=cpu.all=off TZ=Asia/Tokyo LANG=ja_JP.UTF-8"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestEveryMachineCompilesTheSame$")
		cmd.Env = append(os.Environ(), strings.Fields(environment+" "+goldenChild+"=1")...)
		got, err := cmd.CombinedOutput()
		if want := fmt.Sprintf("golden %s\n", digest); err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s: %v, %s, want %s", environment, err, got, want)
		}
	}
}
