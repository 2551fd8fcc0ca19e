package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	for _, content := range []string{"one", "", "a longer one"} {
		if err := WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Fatalf("read %q %v, want %q", got, err, content)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 && os.PathSeparator == '/' {
		t.Errorf("mode %v %v, want 0640", info.Mode(), err)
	}
	wantNames(t, filepath.Dir(path), "a")
}

func wantNames(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("in the folder: %q, want %q", got, names)
	}
}

func TestCreateFileKeepsWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := CreateFile(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CreateFile(path, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating it twice: %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "first" {
		t.Errorf("it holds %q", got)
	}
	wantNames(t, filepath.Dir(path), "key")
}

func TestMakeFolder(t *testing.T) {
	dir := t.TempDir()
	if err := MakeFolder(filepath.Join(dir, "a", "b", "c"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := MakeFolder(filepath.Join(dir, "a", "b", "c"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := MakeFolder(filepath.Join(dir, "f"), 0o755); err == nil {
		t.Error("a folder was made where a file is")
	}
}

func TestRemoveLeftovers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".list.123.partial", "list", ".hidden", "x.partial"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveLeftovers(dir); err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir, ".hidden", "list", "x.partial")
}

// failing is a disk on which one step fails.
type failing struct {
	system
	step string
}

func (d failing) fail(step string) error {
	if d.step == step {
		return syscall.ENOSPC
	}
	return nil
}

type failingFile struct {
	*os.File
	d failing
}

func (d failing) createTemp(folder, pattern string) (file, error) {
	if err := d.fail("create"); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(folder, pattern)
	return failingFile{f, d}, err
}

func (d failing) rename(from, to string) error {
	if err := d.fail("rename"); err != nil {
		return err
	}
	return d.system.rename(from, to)
}

func (d failing) syncFolder(path string) error {
	if err := d.fail("sync folder"); err != nil {
		return err
	}
	return d.system.syncFolder(path)
}

func (f failingFile) Write(b []byte) (int, error) {
	if err := f.d.fail("write"); err != nil {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, err
	}
	return f.File.Write(b)
}

func (f failingFile) Sync() error {
	if err := f.d.fail("sync"); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f failingFile) Close() error {
	err := f.File.Close()
	if injected := f.d.fail("close"); injected != nil {
		return injected
	}
	return err
}

func TestFailureLeavesTheOldFile(t *testing.T) {
	for _, step := range []string{"create", "write", "sync", "close", "rename", "sync folder"} {
		path := filepath.Join(t.TempDir(), "a")
		if err := WriteFile(path, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
		write := func(w io.Writer) error { _, err := w.Write([]byte("a new one")); return err }
		err := put(failing{step: step}, path, 0o644, write, replace)
		if e := (*Error)(nil); !errors.As(err, &e) || e.Step != step || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s fails: error %v", step, err)
			continue
		}
		if want := "write " + path + ": " + step + ": no space left on device"; err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
		want := "old"
		if step == "sync folder" {
			want = "a new one" // renamed already
		}
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("%s fails: the file holds %q, want %q", step, got, want)
		}
		wantNames(t, filepath.Dir(path), "a")
	}
}

func TestWriterFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	wrong := errors.New("wrong")
	if err := Write(path, 0o644, func(io.Writer) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("error %v", err)
	}
	wantNames(t, filepath.Dir(path))
}
