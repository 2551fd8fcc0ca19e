//go:build unix

package sequence

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/ledger"
)

var kills = flag.Int("kills", 10, "how many writers TestKill kills")

// childRole and childDir tell this test's binary to be a writer.
const (
	childRole = "SHOJI_SEQUENCE_TEST_ROLE"
	childDir  = "SHOJI_SEQUENCE_TEST_DIR"
)

func TestMain(m *testing.M) {
	switch role := os.Getenv(childRole); role {
	case "":
		os.Exit(m.Run())
	case "append":
		appendForever(os.Getenv(childDir))
	case "full":
		fillDisk(os.Getenv(childDir))
	default:
		fmt.Println("unknown role", role)
		os.Exit(2)
	}
}

// child is this test's binary as a writer of the log in dir.
func child(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+dir)
	return cmd
}

// appendForever appends windows of random sizes and says what was acknowledged.
func appendForever(dir string) {
	l, err := Open(context.Background(), withWait(settings(dir))) // a database takes a moment to notice that a writer died
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for {
		fmt.Println("acknowledged", l.Size())
		size := uint64(1)
		if rand.IntN(3) > 0 {
			size = rand.Uint64N(3000)
		}
		if _, _, err := l.Append(context.Background(), listEntries(l.Size(), l.Size()+size), nil); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
}

// TestKill kills a writer with SIGKILL at random moments, again and again on one
// log. Each time the log verifies as it lies there, opens, holds all that was
// acknowledged and a beginning of what was not, and continues what a reader saw.
func TestKill(t *testing.T) { everywhere(t, kill) }

func kill(t *testing.T, dir string) {
	mustOpen(t, dir).Close()
	reader, err := ledger.OpenFolder(Folder(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	v, err := ReadVerifier(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := ledger.Replay(context.Background(), reader, v, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range *kills {
		acknowledged := killWriter(t, dir)
		if err := seen.Advance(context.Background(), reader, v, nil); err != nil {
			t.Fatalf("kill %d: the log as it was left: %v", i, err)
		}
		if seen.Size() < acknowledged {
			t.Fatalf("kill %d: %d entries were acknowledged, %d are there", i, acknowledged, seen.Size())
		}
		l, err := Open(context.Background(), withWait(settings(dir)))
		if err != nil {
			t.Fatalf("kill %d: %v", i, err)
		}
		if err := seen.Advance(context.Background(), reader, v, nil); err != nil {
			t.Fatalf("kill %d: the log as it was opened: %v", i, err)
		}
		if left := temporaries(l.dir); len(left) > 0 {
			t.Fatalf("kill %d: temporary files were left: %q", i, left)
		}
		if seen.Size() != l.Size() {
			t.Fatalf("kill %d: %d entries are published, %d are stored", i, seen.Size(), l.Size())
		}
		l.Close()
	}
	l := mustOpen(t, dir)
	wantLog(t, l, l.Size())
	t.Logf("%d kills, %d entries", *kills, l.Size())
}

// killWriter starts a writer, kills it at a random moment, and returns what it
// had acknowledged.
func killWriter(t *testing.T, dir string) (acknowledged uint64) {
	t.Helper()
	cmd := child(t, "append", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { cmd.Process.Kill() }
	if rand.IntN(4) == 0 { // at its start, too
		time.AfterFunc(rand.N(50*time.Millisecond), kill)
	}
	first := true
	for lines := bufio.NewScanner(out); lines.Scan(); first = false {
		if strings.HasPrefix(lines.Text(), "error") {
			t.Error(lines.Text())
		}
		fmt.Sscanf(lines.Text(), "acknowledged %d", &acknowledged)
		if first {
			time.AfterFunc(rand.N(400*time.Millisecond), kill)
		}
	}
	cmd.Wait() // it was killed: its status says nothing
	return acknowledged
}

// fileLimit is what stands for a full disk: no file may grow beyond it. One
// entry's files are shorter, a full bundle is not.
const fileLimit = 20_000

// fillDisk writes until the disk refuses, and goes on when there is room again.
func fillDisk(dir string) {
	fail := func(format string, args ...any) {
		fmt.Printf(format+"\n", args...)
		os.Exit(1)
	}
	l, err := Open(context.Background(), Config{Dir: dir})
	if err != nil {
		fail("open: %v", err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fail("getrlimit: %v", err)
	}
	whole := limit.Cur
	limit.Cur = fileLimit
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fail("setrlimit: %v", err)
	}
	first, next, err := l.Append(context.Background(), listEntries(10, 1000), nil)
	if !errors.Is(err, syscall.EFBIG) || first != 10 || next != 10 {
		fail("on a full disk: Append = %d, %d, %v", first, next, err)
	}
	if left := temporaries(l.dir); len(left) > 0 {
		fail("temporary files were left: %q", left)
	}
	limit.Cur = whole
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fail("setrlimit: %v", err)
	}
	if _, next, err = l.Append(context.Background(), listEntries(10, 20), nil); err != nil || next != 20 {
		fail("with room again: to %d, %v", next, err)
	}
	fmt.Println("ok")
}

// temporaries are the temporary files in a log's folder.
func temporaries(dir string) (found []string) {
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if rel, e := filepath.Rel(dir, path); err == nil && e == nil && !d.IsDir() && isTemporary(rel) {
			found = append(found, rel)
		}
		return err
	})
	return found
}

func TestTemporaryNames(t *testing.T) {
	for _, path := range []string{
		"checkpoint", ".state/treeState", ".state/version", ".state/treeState.lock", ".state/publish.lock", ".state/probe",
		"tile/0/000", "tile/0/999", "tile/entries/x001/234", "tile/0/000.p/1", "tile/entries/x001/234.p/255", "index.html", "tile/README",
	} {
		if isTemporary(path) {
			t.Errorf("%s would be removed", path)
		}
	}
	for _, path := range []string{
		"checkpoint17", ".state/treeState1684136047", ".state/version0", "tile/0/0001684136047",
		"tile/entries/x001/2341", "tile/0/000.p/11684136047", "tile/0/000.p/256", "tile/0/000.p/0",
	} {
		if !isTemporary(path) {
			t.Errorf("%s would be left", path)
		}
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	mustAppend(t, l, 0, 10)
	l.Close()
	out, err := child(t, "full", dir).CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "ok\n") {
		t.Fatalf("%v: %s", err, out)
	}
	l = mustOpen(t, dir)
	mustAppend(t, l, 20, 600)
	wantLog(t, l, 600)
}

// The folders that are swept after a crash are all that a window writes to.
func TestEdgeFolders(t *testing.T) {
	for _, size := range []uint64{0, 1, 255, 256, 65_535, 250_000, 255_999, 256_000, 16_777_215, 255_990_000} {
		folders := edgeFolders(size)
		for n := size; n <= size+windowEntries; n += 64 {
			files := []string{ledger.BundlePath(n/bundleWidth, 0)}
			for level, at := 0, n/bundleWidth; at > 0 || level == 0; level, at = level+1, at/bundleWidth {
				files = append(files, ledger.TilePath(level, at, 0))
			}
			for _, f := range files {
				if !folders[filepath.ToSlash(filepath.Dir(f))] {
					t.Fatalf("%d entries: %s is not swept", size, f)
				}
			}
		}
	}
}
