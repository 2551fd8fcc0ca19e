// Package durable writes files so that after a crash, of the program or of the
// machine, a file is as it was before or as it should be after, and never in
// between; and so that success means that the disk has it.
//
// A write goes to a new file in the same folder, which is synced, renamed over
// the old one, and the folder synced. Until the rename nothing has changed. If
// only the last step fails, the new file is there and may be gone after a power
// failure; the error names that step.
//
// Limits. Linux: fsync on the file and on the folder. Darwin: F_FULLFSYNC, which
// asks the drive to empty its cache, where the file system takes it. Windows:
// FlushFileBuffers on the file and MoveFileEx with write-through; a folder cannot
// be synced there, and NTFS's journal is what keeps the name. What a disk that
// lies about its cache loses, no program can hold.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Error says at which step a write failed.
type Error struct {
	Step string // "create", "write", "sync", "close", "rename", "sync folder", …
	Path string // the file that was to be written
	Err  error
}

func (e *Error) Error() string {
	return fmt.Sprintf("write %s: %s: %v", e.Path, e.Step, cause(e.Err))
}

func (e *Error) Unwrap() error { return e.Err }

// cause strips the path that the os package adds, which is of the temporary file.
func cause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	if l := (*os.LinkError)(nil); errors.As(err, &l) {
		return l.Err
	}
	return err
}

// The temporary file of name is .name.DIGITS.partial.
const (
	partialPrefix = "."
	partialSuffix = ".partial"
)

// WriteFile makes data the content of the file at path, in place of what was there.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return Write(path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Write makes what write writes the content of the file at path, in place of
// what was there. If write fails, nothing has changed.
func Write(path string, perm fs.FileMode, write func(io.Writer) error) error {
	return put(system{}, path, perm, write, replace)
}

// CreateFile is WriteFile for a file that must not be there yet. If it is, the
// error wraps fs.ErrExist and nothing has changed.
func CreateFile(path string, data []byte, perm fs.FileMode) error {
	return put(system{}, path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}, link)
}

// Remove removes the file at path; that it is not there is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return &Error{"remove", path, err}
	}
	return SyncFolder(filepath.Dir(path))
}

// MakeFolder makes the folder at path and those above it that are missing.
func MakeFolder(path string, perm fs.FileMode) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &Error{"make folder", path, errors.New("a file of that name is there")}
	case !errors.Is(err, fs.ErrNotExist):
		return &Error{"make folder", path, err}
	}
	above := filepath.Dir(path)
	if above != path {
		if err := MakeFolder(above, perm); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return &Error{"make folder", path, err}
	}
	return SyncFolder(above)
}

// SyncFolder makes sure that the names in a folder are on disk.
func SyncFolder(path string) error {
	if err := (system{}).syncFolder(path); err != nil {
		return &Error{"sync folder", path, err}
	}
	return nil
}

// RemoveLeftovers removes from a folder the temporary files of writes that a
// crash cut short. Only whoever is the folder's one writer may call it.
func RemoveLeftovers(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, partialPrefix) && strings.HasSuffix(name, partialSuffix) && e.Type().IsRegular() {
			if err := os.Remove(filepath.Join(folder, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// file is what a write needs of a temporary file.
type file interface {
	io.Writer
	Chmod(fs.FileMode) error
	Sync() error
	Close() error
	Name() string
}

// disk is the system as a write uses it; a test puts one in its place that fails.
type disk interface {
	createTemp(folder, pattern string) (file, error)
	rename(from, to string) error
	link(from, to string) error
	remove(path string) error
	syncFolder(path string) error
}

// system is the operating system.
type system struct{}

func (system) createTemp(folder, pattern string) (file, error) { return os.CreateTemp(folder, pattern) }
func (system) link(from, to string) error                      { return os.Link(from, to) }
func (system) remove(path string) error                        { return os.Remove(path) }

// replace gives the temporary file its name, in place of any that is there.
func replace(d disk, from, to string) (step string, err error) {
	return "rename", d.rename(from, to)
}

// link gives the temporary file its name if nothing has it.
func link(d disk, from, to string) (step string, err error) {
	if err := d.link(from, to); err != nil {
		return "link", err
	}
	return "remove temporary file", d.remove(from)
}

// put writes a temporary file, syncs it, has it named by name, and syncs the folder.
func put(d disk, path string, perm fs.FileMode, write func(io.Writer) error, name func(disk, string, string) (string, error)) error {
	folder, base := filepath.Split(path)
	if folder == "" {
		folder = "."
	}
	f, err := d.createTemp(folder, partialPrefix+base+".*"+partialSuffix)
	if err != nil {
		return &Error{"create", path, err}
	}
	if step, err := fill(f, perm, write); err != nil {
		d.remove(f.Name())
		return &Error{step, path, err}
	}
	if step, err := name(d, f.Name(), path); err != nil {
		d.remove(f.Name())
		return &Error{step, path, err}
	}
	if err := d.syncFolder(folder); err != nil {
		return &Error{"sync folder", path, err}
	}
	return nil
}

// fill writes, syncs and closes f.
func fill(f file, perm fs.FileMode, write func(io.Writer) error) (step string, err error) {
	steps := []struct {
		name string
		do   func() error
	}{
		{"set permissions", func() error { return f.Chmod(perm) }},
		{"write", func() error { return write(f) }},
		{"sync", f.Sync},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			f.Close()
			return s.name, err
		}
	}
	return "close", f.Close()
}
