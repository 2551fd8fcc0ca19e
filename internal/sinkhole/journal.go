package sinkhole

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// segmentName is a segment's file name, by the nanosecond at which it was begun, so that
// names are in the order of time.
const (
	segmentName   = "%020d.captures"
	segmentSuffix = ".captures"
)

// journal writes segments: from a buffer of bounded size, so that no connection waits for
// the disk.
type journal struct {
	dir    string
	name   string   // of the folder, for people
	held   *os.File // the lock on it; nil where there is none
	disk   int64
	retain time.Duration
	log    *slog.Logger

	half chan struct{} // told that the buffer is half full

	mu      sync.Mutex
	pending []byte
	dropped uint64

	writing sync.Mutex // held while the disk is used; guards what follows
	spare   []byte
	file    *os.File
	begun   time.Time
	size    int64
	failing bool
}

// ErrInUse says that another sinkhole keeps its captures in the folder: both would remove the other's as too many.
var ErrInUse = errors.New("another sinkhole keeps its captures in this folder: give each a folder of its own")

// openJournal makes the folder and takes it for this process.
func openJournal(conf Config) (*journal, error) {
	if conf.Dir == "" {
		return nil, errors.New("sinkhole: captures: no folder is named")
	}
	j := &journal{
		dir: conf.Dir, name: cmp.Or(conf.Name, conf.Dir), disk: conf.Disk, retain: conf.Retain, log: conf.Log, half: make(chan struct{}, 1),
		pending: make([]byte, 0, maxPending), spare: make([]byte, 0, maxPending),
	}
	err := os.MkdirAll(j.dir, 0o700)
	if err == nil {
		j.held, err = lock(j.dir)
	}
	if err == nil {
		err = onlyCaptures(j.dir)
	}
	if err != nil {
		j.close()
		return nil, fmt.Errorf("sinkhole: captures: %s: %w", j.name, err)
	}
	return j, nil
}

// lostAndFound is in the root of a file system, which may be there for captures alone.
const lostAndFound = "lost+found"

// onlyCaptures refuses a folder with anything else in it: it is given to the user that the sinkhole goes on as, and
// is all that an intruder could write to.
func onlyCaptures(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if name := e.Name(); !isSegment(name) && !isProbe(name) && name != lostAndFound {
			return fmt.Errorf("there is something else in it (%s): give the sinkhole a folder of its own", name)
		}
	}
	return err
}

// probePrefix begins the name of a file that is made to see whether files can be.
const probePrefix = ".writable"

func isProbe(name string) bool {
	return len(name) > len(probePrefix) && name[:len(probePrefix)] == probePrefix
}

// check sees that the folder can be written to.
func (j *journal) check() error {
	probe, err := os.CreateTemp(j.dir, probePrefix)
	if err != nil {
		return fmt.Errorf("sinkhole: captures cannot be written to %s: %w", j.name, err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return fmt.Errorf("sinkhole: captures: %s: %w", j.name, err)
	}
	return nil
}

// add appends to what waits to be written, and reports whether there was room.
func (j *journal) add(frame func([]byte) []byte) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.pending)+frameHead+maxBody > cap(j.pending) {
		j.dropped++
		return false
	}
	j.pending = frame(j.pending)
	if len(j.pending) > cap(j.pending)/2 {
		select {
		case j.half <- struct{}{}:
		default: // it is told already
		}
	}
	return true
}

// takeDropped is how many captures were lost since it was last asked.
func (j *journal) takeDropped() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := j.dropped
	j.dropped = 0
	return n
}

// flush writes what waits, begins a new segment where it is time, and removes old ones.
func (j *journal) flush(now time.Time) {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	waiting := j.pending
	j.pending, j.spare = j.spare[:0], waiting
	j.mu.Unlock()
	err := j.write(waiting, now)
	if err != nil {
		j.mu.Lock()
		j.dropped += uint64(frames(waiting))
		j.mu.Unlock()
	}
	if failing := err != nil; failing != j.failing {
		j.failing = failing
		if failing {
			j.log.Error("captures cannot be written; connections are still answered", "folder", j.name, "error", err)
		} else {
			j.log.Info("captures are written again", "folder", j.dir)
		}
	}
}

func (j *journal) write(b []byte, now time.Time) error {
	if j.file != nil && (j.size+int64(len(b)) > segmentSize || now.Sub(j.begun) >= segmentAge) {
		j.finish()
	}
	if len(b) == 0 {
		return nil
	}
	if j.file == nil {
		if err := j.prune(now); err != nil {
			return err
		}
		if err := j.begin(now); err != nil {
			return err
		}
	}
	if _, err := j.file.Write(b); err != nil {
		if undo := j.file.Truncate(j.size); undo != nil { // a torn frame would hide what follows
			j.finish()
		}
		return err
	}
	j.size += int64(len(b))
	return nil
}

// begin starts a segment.
func (j *journal) begin(now time.Time) error {
	f, err := os.OpenFile(filepath.Join(j.dir, fmt.Sprintf(segmentName, now.UnixNano())), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.WriteString(magic); err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name())) // on a full disk, no empty files
	}
	j.file, j.begun, j.size = f, now, int64(len(magic))
	return nil
}

// finish ends the segment that is being written.
func (j *journal) finish() {
	if j.file == nil {
		return
	}
	if err := errors.Join(j.file.Sync(), j.file.Close()); err != nil {
		j.log.Error("a segment of captures may be incomplete", "file", j.file.Name(), "error", err)
	}
	j.file = nil
}

// prune removes segments that are too old, and the oldest ones while there are too many
// octets or files for another segment. Counts are written every minute, so a segment is
// begun, and the folder pruned, once a day at least.
func (j *journal) prune(now time.Time) error {
	all, err := segments(j.dir)
	if err != nil {
		return err
	}
	var octets int64
	for _, s := range all {
		octets += s.size
	}
	for i, s := range all {
		if now.Sub(s.begun) < j.retain && octets+segmentSize <= j.disk && len(all)-i < maxSegments {
			break
		}
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		octets -= s.size
	}
	return nil
}

// close ends the segment, and leaves the folder to others.
func (j *journal) close() {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.finish()
	if j.held != nil {
		j.held.Close()
		j.held = nil
	}
}

// segment is a file of captures.
type segment struct {
	path  string
	begun time.Time
	size  int64
}

// begun reads a segment's name: the nanosecond at which it was begun.
func begun(name string) (nano int64, ok bool) {
	_, err := fmt.Sscanf(name, segmentName, &nano)
	return nano, err == nil && name == fmt.Sprintf(segmentName, nano)
}

func isSegment(name string) bool { _, ok := begun(name); return ok }

// segments are those of a folder, oldest first.
func segments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []segment
	for _, e := range entries {
		nano, ok := begun(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		all = append(all, segment{path: filepath.Join(dir, e.Name()), begun: time.Unix(0, nano), size: info.Size()})
	}
	slices.SortFunc(all, func(a, b segment) int { return a.begun.Compare(b.begun) })
	return all, nil
}
