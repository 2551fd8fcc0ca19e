//go:build unix

package curate

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

var kills = flag.Int("kills", 12, "how many imports TestKilledImport kills")

// Environment of the child processes: the folder and the number of the import.
const (
	childDir    = "SHOJI_TEST_CHILD_DIR"
	childNumber = "SHOJI_TEST_CHILD_NUMBER"
	childLimit  = "SHOJI_TEST_CHILD_LIMIT"
)

// namesPerImport is how many names each killed import lists.
const namesPerImport = 3000

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir, os.Getenv(childNumber), os.Getenv(childLimit)))
	}
	os.Exit(m.Run())
}

// child imports names of its number, and says so at each stage that it begins.
func child(dir, number, limit string) int {
	if limit != "" {
		var n uint64
		fmt.Sscan(limit, &n)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 3
		}
	}
	var list strings.Builder
	for i := range namesPerImport {
		fmt.Fprintf(&list, "n%d.import%s.example\n", i, number)
	}
	last := ""
	w, err := Open(context.Background(), Config{Dir: dir, Progress: func(stage string, _, _ uint64) {
		if stage != last {
			last = stage
			fmt.Println(stage)
		}
	}})
	if err == nil {
		fmt.Println("importing")
		_, err = w.Import(context.Background(), []File{text("list.txt", list.String())}, claim, false)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("done")
	return 0
}

func start(t *testing.T, dir string, number int, limit string) (*exec.Cmd, *bufio.Reader, *strings.Builder) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprint(childNumber, "=", number), childLimit+"="+limit)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out), &stderr
}

// TestKilledImport kills imports with SIGKILL at random moments. After each the
// log opens and verifies, and the list in force is the one before or after that
// import, never half of it.
func TestKilledImport(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	canary, _ := ParseSubject("c2.canary.example")
	if _, err := w.Seed(t.Context(), []Subject{canary}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	outcomes := map[bool]int{}
	for i := range *kills {
		before := inForce(t, dir).Count()
		cmd, out, _ := start(t, dir, i, "")
		awaitStage(t, out, dice)
		cmd.Process.Kill()
		io.Copy(io.Discard, out)
		cmd.Wait()
		after := inForce(t, dir)
		if n := after.Count(); n != before && n < before+namesPerImport {
			t.Fatalf("kill %d: %d listings in force where %d were, and an import has %d", i, n, before, namesPerImport)
		}
		outcomes[after.Count() != before]++
		w := open(t, dir) // the log opens, replays and verifies
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		checkWhole(t, dir, i)
	}
	t.Logf("in force after the kill: %d times the old list, %d times the new one", outcomes[false], outcomes[true])
	importText(t, dir, text("last.txt", "last.example\n"))
	if !listed(inForce(t, dir), "last.example") {
		t.Error("an import after the kills does not come into force")
	}
}

// awaitStage returns at a random stage of the child, a random moment into it.
func awaitStage(t *testing.T, out *bufio.Reader, dice *rand.Rand) {
	t.Helper()
	for range dice.IntN(12) {
		if line, err := out.ReadString('\n'); err != nil || line == "done\n" {
			return
		}
	}
	// Not waiting for anything: the moment is to be a random one.
	spin := time.Now().Add(time.Duration(dice.Int64N(int64(30 * time.Millisecond))))
	for time.Now().Before(spin) {
	}
}

// checkWhole holds that of an import that is in force every name is listed.
func checkWhole(t *testing.T, dir string, number int) {
	t.Helper()
	l := inForce(t, dir)
	first := listed(l, fmt.Sprintf("n0.import%d.example", number))
	for i := range namesPerImport {
		if name := fmt.Sprintf("n%d.import%d.example", i, number); listed(l, name) != first {
			t.Fatalf("half of import %d is in force: n0 is listed: %t, %s: %t", number, first, name, !first)
		}
	}
}

// TestFullDisk lets every write beyond a size fail, as on a full disk: the import
// says so, and the list in force stays until there is room again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	importText(t, dir, text("a.txt", "evil.example\n"))
	before := inForce(t, dir)
	for _, limit := range []string{"0", "4096", "20000", "60000"} {
		cmd, out, stderr := start(t, dir, 1, limit)
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err == nil {
			t.Errorf("limit %s: the import succeeded", limit)
		}
		if !strings.Contains(stderr.String(), "file too large") {
			t.Errorf("limit %s: the error does not tell: %s", limit, stderr)
		}
		if l := inForce(t, dir); l.Epoch() != before.Epoch() {
			t.Errorf("limit %s: the list in force changed", limit)
		}
	}
	if rep := importText(t, dir, text("b.txt", "later.example\n")); rep.Epoch.Entry == 0 {
		t.Error("no epoch after there was room again")
	}
	if l := inForce(t, dir); !listed(l, "later.example") || !listed(l, "evil.example") {
		t.Error("the import after there was room again is not in force")
	}
}
