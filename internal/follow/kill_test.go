//go:build unix

package follow

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/forger"
	"github.com/shoji-dns/shoji/ledger"
)

var kills = flag.Int("kills", 15, "how many times TestKilledNode kills a node")

// Environment of the child processes.
const (
	childDir  = "SHOJI_TEST_CHILD_DIR"
	childLog  = "SHOJI_TEST_CHILD_LOG"
	childVKey = "SHOJI_TEST_CHILD_KEY"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir, os.Getenv(childLog), os.Getenv(childVKey)))
	}
	os.Exit(m.Run())
}

// child is a node that takes one step, and says before what it has.
func child(dir, log, vkey string) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return fail(err)
	}
	w, err := OpenWeb(log, nil, "shoji/test")
	if err != nil {
		return fail(err)
	}
	f, err := Open(Config{Dir: dir, Log: w, Lists: w, Key: key, VKey: vkey})
	if err != nil {
		return fail(err)
	}
	list, _ := f.List()
	fmt.Println(count(list))
	if _, err := f.Step(context.Background()); err != nil {
		return fail(err)
	}
	return 0
}

func count(l *filter.List) int {
	if l == nil {
		return 0
	}
	return int(l.Count())
}

// TestKilledNode kills nodes with SIGKILL at random moments of their updates, by lists that
// are fetched and such that are built. What a node has then is the list of one of the log's
// epochs, never an older one than before, and never half of one; and it goes on from there.
func TestKilledNode(t *testing.T) {
	l := forger.New(1)
	s := httptest.NewServer(l)
	defer s.Close()
	dir := t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	known, before, moved := map[int]bool{0: true}, 0, 0
	for i := range *kills {
		entries := make([]*ledger.Entry, 1+dice.IntN(2)*1500) // one, which is built, or many, which are fetched
		for n := range entries {
			entries[n] = forger.Listing(fmt.Sprintf("n%d.update%d.example", n, i))
		}
		l.Add(entries...)
		known[int(l.Epoch().Count)] = true
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, childLog+"="+s.URL, childVKey+"="+l.VKey)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != fmt.Sprintln(before) {
			t.Fatalf("kill %d: the node begins with %q listings: %v; it had %d", i, line, err, before)
		}
		// Not waiting for anything: the moment is to be a random one.
		for spin := time.Now().Add(time.Duration(dice.Int64N(int64(150 * time.Millisecond)))); time.Now().Before(spin); {
		}
		cmd.Process.Kill()
		io.Copy(io.Discard, out)
		cmd.Wait()
		f := open(t, dir, l) // sums the list's file
		list, _ := f.List()
		after := count(list)
		if !known[after] || after < before {
			t.Fatalf("kill %d: %d listings are in force, %d were, and no epoch has that many", i, after, before)
		}
		if after != before {
			moved++
		}
		before = after
	}
	t.Logf("in force after the kill: %d times another list than before, %d times the same", moved, *kills-moved)
	list := step(t, onWeb(t, dir, l, l))
	if list == nil && before != int(l.EpochEntry().Count) || list != nil && list.Count() != l.EpochEntry().Count {
		t.Error("after the kills the log is not followed to its end")
	}
}
