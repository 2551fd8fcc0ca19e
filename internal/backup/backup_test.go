package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

var made = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// grow appends n entries to the log of a state folder, and returns its tip.
func grow(t *testing.T, dir string, n int) ledger.Checkpoint {
	t.Helper()
	l, err := sequence.Open(t.Context(), sequence.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var entries []*ledger.Entry
	for i := range n {
		entries = append(entries, &ledger.Entry{Kind: ledger.KindCase, Time: made, Case: fmt.Sprintf("case-%d-%d", l.Size(), i), Status: ledger.CaseReceived})
	}
	if _, _, err := l.Append(t.Context(), slices.Values(entries), nil); err != nil {
		t.Fatal(err)
	}
	tip, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tip
}

// state is a state folder with a log of n entries, anchors, and what a backup leaves out.
func state(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	grow(t, dir, n)
	for name, text := range map[string]string{"anchors/rollover": "anchors", "anchors/.x.1.partial": "left over", "list/current": "1 0\n", "log/other": "no"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func backUp(t *testing.T, dir string, key bool) []byte {
	t.Helper()
	var b bytes.Buffer
	db := Database{"evidence.db", func(_ context.Context, path string) error { return os.WriteFile(path, []byte("evidence"), 0o600) }}
	m, err := Write(t.Context(), &b, Config{Dir: dir, Key: key, Databases: []Database{db}, Now: made})
	if err != nil {
		t.Fatal(err)
	}
	if m.HasKey != key || m.Files[manifestName] != "" || m.Files["log/other"] != "" || m.Files["list/current"] != "" || m.Files["anchors/.x.1.partial"] != "" {
		t.Errorf("%+v", m)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "backup-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return b.Bytes()
}

func TestWhatIsBackedUpComesBack(t *testing.T) {
	from := state(t, 300)
	b := backUp(t, from, true)
	to := filepath.Join(t.TempDir(), "below", "state")
	r, err := Restore(t.Context(), bytes.NewReader(b), RestoreConfig{Dir: to, NothingNewer: true})
	if err != nil || r.Entries != 300 || r.LogSize != 300 || !r.HasKey {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, name := range []string{"key", "key.pub", "anchors/rollover", "log/checkpoint", "log/tile/entries/000", "log/tile/entries/001.p/44", "log/tile/0/000"} {
		want, err1 := os.ReadFile(filepath.Join(from, name))
		got, err2 := os.ReadFile(filepath.Join(to, name))
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(want, got) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(to, "evidence.db")); string(b) != "evidence" {
		t.Errorf("%q, %v", b, err)
	}
	for name, perm := range map[string]os.FileMode{"key": 0o600, "evidence.db": 0o600, "log/checkpoint": 0o644} {
		if info, err := os.Stat(filepath.Join(to, name)); err != nil || info.Mode().Perm() != perm {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if tip := grow(t, to, 5); tip.Size != 305 {
		t.Errorf("the log goes on with %d entries", tip.Size)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(to), ".shoji-restore-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// An empty folder that is there, as where a file system is mounted, is filled and keeps its mode; where that fails
// it is empty again.
func TestAFolderThatIsThereIsFilled(t *testing.T) {
	from := state(t, 300)
	b := backUp(t, from, true)
	to := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(to, lostAndFound), 0o700), os.Chmod(to, 0o750)); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), bytes.NewReader(b[:len(b)/2]), RestoreConfig{Dir: to, NothingNewer: true}); err == nil || !strings.Contains(err.Error(), "cut short or damaged") {
		t.Errorf("%v", err)
	}
	r, err := Restore(t.Context(), bytes.NewReader(b), RestoreConfig{Dir: to, NothingNewer: true})
	if err != nil || r.Entries != 300 {
		t.Fatalf("%+v, %v", r, err)
	}
	there, err := os.ReadDir(to)
	var names []string
	for _, e := range there {
		names = append(names, e.Name())
	}
	if err != nil || !slices.Equal(names, []string{"anchors", "evidence.db", "key", "key.pub", "log", lostAndFound}) {
		t.Errorf("%v, %v", names, err)
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if tip := grow(t, to, 5); tip.Size != 305 {
		t.Errorf("the log goes on with %d entries", tip.Size)
	}
}

// A log that went on after the backup is taken up where its newest copy ends, and goes on without a fork.
func TestARestoredLogDoesNotFork(t *testing.T) {
	from := state(t, 300)
	b := backUp(t, from, true)
	seen := grow(t, from, 700)
	newest, err := ledger.OpenFolder(sequence.Folder(from))
	if err != nil {
		t.Fatal(err)
	}
	defer newest.Close()
	to := filepath.Join(t.TempDir(), "state")
	r, err := Restore(t.Context(), bytes.NewReader(b), RestoreConfig{Dir: to, Newest: newest})
	if err != nil || r.Entries != 1000 || r.LogSize != 300 {
		t.Fatalf("%+v, %v", r, err)
	}
	now := grow(t, to, 3)
	log, err := ledger.OpenFolder(sequence.Folder(to))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := ledger.VerifyConsistency(t.Context(), log, seen, now); err != nil || now.Size != 1003 {
		t.Errorf("%d entries: %v", now.Size, err)
	}
}

func TestWhatIsNotRestored(t *testing.T) {
	from := state(t, 300)
	b := backUp(t, from, false)
	if bytes.Contains(b, []byte("PRIVATE+KEY")) {
		t.Error("the signing key is in it")
	}
	folder := func(dir string) *ledger.Folder {
		f, err := ledger.OpenFolder(sequence.Folder(dir))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	older := filepath.Join(t.TempDir(), "older")
	if _, err := Restore(t.Context(), bytes.NewReader(b), RestoreConfig{Dir: older, NothingNewer: true}); err != nil {
		t.Fatal(err)
	}
	grow(t, from, 10)
	later := backUp(t, from, false)
	for _, tc := range []struct {
		name string
		b    []byte
		c    RestoreConfig
		want string
	}{
		{"without a word about what came after", b, RestoreConfig{}, "would be a fork"},
		{"into a folder with something in it", b, RestoreConfig{Dir: full, NothingNewer: true}, "move it away first"},
		{"with another log as the newest", b, RestoreConfig{Newest: folder(state(t, 400))}, "newest copy"},
		{"with an older copy as the newest", later, RestoreConfig{Newest: folder(older)}, "not the newest"},
		{"an empty file", nil, RestoreConfig{NothingNewer: true}, "no backup"},
		{"half of it", b[:len(b)/2], RestoreConfig{NothingNewer: true}, "unexpected EOF"},
	} {
		if tc.c.Dir == "" {
			tc.c.Dir = filepath.Join(t.TempDir(), "state")
		}
		_, err := Restore(t.Context(), bytes.NewReader(tc.b), tc.c)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if tc.c.Dir != full {
			if there, _ := os.ReadDir(filepath.Dir(tc.c.Dir)); len(there) > 0 {
				t.Errorf("%s: left behind: %v", tc.name, there)
			}
		}
	}
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "absent")} {
		if _, err := Write(t.Context(), &bytes.Buffer{}, Config{Dir: dir, Now: made}); err == nil || !strings.Contains(err.Error(), "no log yet") {
			t.Errorf("%v", err)
		}
		if there, _ := os.ReadDir(dir); len(there) > 0 {
			t.Errorf("a backup made %v", there)
		}
	}
}

// edited is a backup whose files went through edit, which may rename, change or add them.
func edited(t testing.TB, b []byte, edit func(h *tar.Header, body []byte) (*tar.Header, []byte)) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	to := tar.NewWriter(zip)
	for from := tar.NewReader(z); ; {
		h, err := from.Next()
		if err != nil {
			break
		}
		var body bytes.Buffer
		if _, err := body.ReadFrom(from); err != nil {
			t.Fatal(err)
		}
		h, changed := edit(h, body.Bytes())
		h.Size = int64(len(changed))
		if err := to.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write(changed); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(to.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestABackupThatSomebodyElseMade(t *testing.T) {
	b := backUp(t, state(t, 20), true)
	rename := func(to string) func(*tar.Header, []byte) (*tar.Header, []byte) {
		return func(h *tar.Header, body []byte) (*tar.Header, []byte) {
			if h.Name == "evidence.db" {
				h.Name = to
			}
			return h, body
		}
	}
	for name, edit := range map[string]func(*tar.Header, []byte) (*tar.Header, []byte){
		"a path out of the folder": rename("log/../../../etc/cron.d/x"),
		"an absolute path":         rename("/etc/passwd"),
		"a hidden file":            rename("log/.state/x"),
		"a name twice":             rename("key.pub"),
		"an unknown file":          rename("other.db"),
		"a link": func(h *tar.Header, body []byte) (*tar.Header, []byte) {
			if h.Name == "evidence.db" {
				h.Typeflag, h.Linkname, body = tar.TypeSymlink, "/etc/passwd", nil
			}
			return h, body
		},
		"a changed file": func(h *tar.Header, body []byte) (*tar.Header, []byte) {
			if h.Name == "evidence.db" {
				body = []byte("edidence")
			}
			return h, body
		},
		"another format": func(h *tar.Header, body []byte) (*tar.Header, []byte) {
			return h, bytes.Replace(body, []byte(`"format":1`), []byte(`"format":2`), 1)
		},
		"another size": func(h *tar.Header, body []byte) (*tar.Header, []byte) {
			return h, bytes.Replace(body, []byte(`"log_size":20`), []byte(`"log_size":10`), 1)
		},
	} {
		to := filepath.Join(t.TempDir(), "state")
		if _, err := Restore(t.Context(), bytes.NewReader(edited(t, b, edit)), RestoreConfig{Dir: to, NothingNewer: true}); err == nil {
			t.Errorf("%s was restored", name)
		}
		if there, _ := os.ReadDir(filepath.Dir(to)); len(there) > 0 {
			t.Errorf("%s: left behind: %v", name, there)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range []string{"key.pub", "log/tile/0/000", manifestName} {
		text := `{"format":1,"files":{}}`
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o600})
		w.Write([]byte(text))
	}
	w.Close()
	z.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		above := t.TempDir()
		dir := filepath.Join(above, "in")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_, _ = unpack(t.Context(), bytes.NewReader(b), dir)
		if there, _ := os.ReadDir(above); len(there) != 1 {
			t.Fatalf("outside of the folder: %v", there)
		}
	})
}
