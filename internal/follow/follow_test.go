package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/forger"
	"github.com/shoji-dns/shoji/internal/forks"
	"github.com/shoji-dns/shoji/ledger"
)

// direct fetches lists from a log without a network.
type direct struct {
	*forger.Log
	cut int64 // octets after which a transfer breaks off; 0: none does
}

func (d direct) Fetch(ctx context.Context, digest ledger.Digest, from, size int64, out io.Writer) error {
	b := d.List(digest)
	switch {
	case b == nil:
		return fs.ErrNotExist
	case d.cut > 0 && int64(len(b))-from > d.cut:
		out.Write(b[from : from+d.cut])
		return errors.New("the line broke")
	}
	_, err := out.Write(b[from:])
	return err
}

// large is a log with a list that is worth fetching.
func large() *forger.Log {
	l := forger.New(1)
	l.Add(forger.Hosts(600)...)
	l.Epoch()
	return l
}

func open(t *testing.T, dir string, l *forger.Log) *Follower {
	t.Helper()
	f, err := Open(Config{Dir: dir, Log: l, Lists: direct{Log: l}, Key: l.Key, VKey: l.VKey})
	if err != nil {
		t.Fatal(err)
	}
	f.pause = nil
	return f
}

// step is a step that succeeds.
func step(t *testing.T, f *Follower) *filter.List {
	t.Helper()
	list, err := f.Step(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// fails is a step that does not.
func fails(t *testing.T, f *Follower, kind Kind, with string) *Fault {
	t.Helper()
	list, err := f.Step(t.Context())
	e := (*Fault)(nil)
	if !errors.As(err, &e) || list != nil {
		t.Fatalf("%v, %v, want a fault", list, err)
	}
	if e.Kind != kind || !strings.Contains(e.Error(), with) {
		t.Errorf("%s: %v, want %s with %q", e.Kind, e, kind, with)
	}
	if s := f.Status(); s.Kind != kind || s.Err == nil {
		t.Errorf("the status is %+v", s)
	}
	return e
}

func has(l *filter.List, name string) bool {
	return l != nil && l.Has(dns.MustName(name).Canonical(), ledger.ScopeExact)
}

func asked(l *forger.Log) string { return strings.Join(l.Asked(), " ") }

// A node starts from nothing by the list that is published, goes on by what is new alone,
// and starts again from its folder without the log.
func TestFollows(t *testing.T) {
	l, dir := large(), t.TempDir()
	f := open(t, dir, l)
	if list, _ := f.List(); list != nil || f.Status().Kind != Waiting {
		t.Errorf("before the first step: %+v", f.Status())
	}
	l.Asked()
	if list := step(t, f); !has(list, "host-599.example") || list.Count() != 600 {
		t.Fatal("the list is not in force")
	}
	if got := asked(l); strings.Contains(got, "entries/000") {
		t.Errorf("for a list that is published the log was read: %s", got)
	}
	if list := step(t, f); list != nil || asked(l) != "checkpoint" {
		t.Error("nothing has changed, and more than the checkpoint was asked for")
	}
	l.Add(forger.Delisting("host-3.example"), forger.Listing("new.example"))
	l.Epoch()
	list := step(t, f)
	if !has(list, "new.example") || has(list, "host-3.example") || !has(list, "host-4.example") {
		t.Error("the change is not in force")
	}
	s := f.Status()
	if s.Kind != Current || s.Epoch.Count != 600 || s.Size != uint64(l.Size()) || s.Seen.IsZero() || s.Alarmed() {
		t.Errorf("%+v", s)
	}
	l.Add(forger.Listing("not-yet.example")) // without an epoch it is not in force
	if step(t, f) != nil {
		t.Error("a list without an epoch entry")
	}

	l.SetDown(true)
	g := open(t, dir, l)
	if list, epoch := g.List(); !has(list, "new.example") || epoch.Entry != s.Epoch.Entry {
		t.Error("after a restart the list is not there")
	}
	fails(t, g, Unreachable, "down")
	l.SetDown(false)
	l.Epoch()
	if list := step(t, g); !has(list, "not-yet.example") {
		t.Error("after a restart the log is not followed")
	}
	files, _ := os.ReadDir(filepath.Join(dir, listFolder))
	if len(files) != 1 {
		t.Errorf("lists that are in force no longer lie about: %v", files)
	}
}

// The first entries of a log come before its first list.
func TestLogWithoutList(t *testing.T) {
	l := forger.New(1)
	f := open(t, t.TempDir(), l)
	for range 2 {
		if step(t, f) != nil || f.Status().Kind != Waiting {
			t.Errorf("%+v", f.Status())
		}
		l.Add(forger.Hosts(3)...)
	}
	l.Epoch()
	if !has(step(t, f), "host-1.example") {
		t.Error("the first list is not in force")
	}
}

// A list that is not published, or not what its digest says, is built from the log.
func TestListIsBuiltFromTheLog(t *testing.T) {
	l := large()
	digest := l.EpochEntry().Digest
	whole := l.List(digest)
	l.Epoch()
	for what, b := range map[string][]byte{"none": nil, "another": append([]byte{0}, whole[1:]...), "short": whole[:100], "long": append(whole, 0), "empty": {}} {
		l.SetList(digest, b)
		dir := t.TempDir()
		f := open(t, dir, l)
		list, err := f.Step(t.Context())
		if err != nil || list.Count() != 600 {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if got, err := os.ReadFile(f.listPath(digest)); err != nil || !bytes.Equal(got, whole) {
			t.Errorf("%s: another list was built: %v", what, err)
		}
	}
	f, err := Open(Config{Dir: t.TempDir(), Log: l, Key: l.Key, VKey: l.VKey})
	if err != nil {
		t.Fatal(err)
	}
	if list := step(t, f); list.Count() != 600 {
		t.Error("from a log without lists")
	}
}

// A transfer that is cut off goes on where it ended, also after a restart.
func TestTransferGoesOn(t *testing.T) {
	l, dir := large(), t.TempDir()
	got := 0
	for ; got < 100; got++ {
		f := open(t, dir, l)
		f.cfg.Lists = direct{l, 1000}
		if list, err := f.Step(t.Context()); err == nil {
			if list.Count() != 600 {
				t.Error("another list")
			}
			break
		}
	}
	if got < 3 || got == 100 {
		t.Errorf("after %d broken transfers", got)
	}
}

// What is on disk and damaged is fetched again; what this node knows a log by is not forgotten.
func TestDamageOnDisk(t *testing.T) {
	l, dir := large(), t.TempDir()
	f := open(t, dir, l)
	step(t, f)
	path := f.listPath(f.epoch.Digest)
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	g := open(t, dir, l)
	if list, _ := g.List(); list != nil {
		t.Error("a damaged list is in force")
	}
	if list := step(t, g); list.Count() != 600 {
		t.Error("the list was not fetched again")
	}
	if err := os.WriteFile(filepath.Join(dir, currentFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if list := step(t, open(t, dir, l)); list.Count() != 600 {
		t.Error("without the note of what is in force, the log was not asked")
	}
}

// A node whose checkpoint is damaged starts with its list, says so until a person has looked,
// keeps the evidence, and takes no log that does not continue the list.
func TestDamagedCheckpoint(t *testing.T) {
	for _, damage := range []string{"", "x", "log.test\n5\nAAAA\n\n— log.test AAAA\n"} {
		l, dir := large(), t.TempDir()
		step(t, open(t, dir, l))
		path := filepath.Join(dir, checkpointFile)
		if err := os.WriteFile(path, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		read, err := Read(Config{Dir: dir, Log: l, Key: l.Key, VKey: l.VKey})
		if err != nil || read.Status().Damaged != 1 {
			t.Errorf("who only reads: %v", err)
		}
		var f *Follower
		for range 2 { // also over a restart
			f = open(t, dir, l)
			if list, _ := f.List(); !has(list, "host-7.example") {
				t.Fatal("the list in force is not")
			}
			if s := f.Status(); s.Damaged != 1 || !s.Alarmed() {
				t.Errorf("nobody is told: %+v", s)
			}
		}
		kept, err := filepath.Glob(filepath.Join(dir, damagedFolder, "*"))
		if err != nil || len(kept) != 1 {
			t.Fatal(kept, err)
		}
		if b, err := os.ReadFile(kept[0]); string(b) != damage || err != nil {
			t.Errorf("%q was kept of %q, %v", b, damage, err)
		}
		fork := l.Twin(300)
		fork.Add(forger.Hosts(700)...)
		fork.Epoch()
		f.cfg.Log, f.cfg.Lists = fork, direct{Log: fork}
		fails(t, f, Forked, "forked")
		if list, _ := f.List(); !has(list, "host-7.example") {
			t.Error("the last good list did not stay")
		}
		old := l.Twin(100)
		old.Epoch()
		f.cfg.Log, f.cfg.Lists = old, direct{Log: old}
		fails(t, f, RolledBack, "rolled back")
		l.Add(forger.Listing("new.example"))
		l.Epoch()
		f.cfg.Log, f.cfg.Lists = l, direct{Log: l}
		if list := step(t, f); !has(list, "new.example") || !f.Status().Alarmed() {
			t.Errorf("it does not go on, or is silent: %+v", f.Status())
		}
		if err := os.RemoveAll(filepath.Join(dir, damagedFolder)); err != nil {
			t.Fatal(err)
		}
		if f = open(t, dir, l); f.Status().Alarmed() || f.tip.Size != uint64(l.Size()) {
			t.Errorf("after a person has looked: %+v", f.Status())
		}
	}
}

// attacks are what an operator, or who keeps a copy of his log, can show a node that has
// followed l so far.
var attacks = []struct {
	name string
	kind Kind
	with string
	show func(l *forger.Log) *forger.Log
}{
	{"an old log", RolledBack, "rolled back", func(l *forger.Log) *forger.Log { return l.Twin(l.Size() - 1) }},
	{"an old log with other entries", RolledBack, "rolled back", func(l *forger.Log) *forger.Log {
		o := l.Twin(l.Size() - 2)
		o.Add(forger.Listing("other.example"))
		return o
	}},
	{"another log of the same size", Forked, "forked", func(l *forger.Log) *forger.Log {
		o := l.Twin(l.Size() - 1)
		o.Add(forger.Listing("other.example"))
		return o
	}},
	{"another log that has grown", Forked, "forked", func(l *forger.Log) *forger.Log {
		o := l.Twin(l.Size() - 2)
		o.Add(forger.Hosts(500)...)
		o.Epoch()
		return o
	}},
	{"another key", Unsigned, "", func(l *forger.Log) *forger.Log { return forger.New(2) }},
	{"no note at all", Unsigned, "", func(l *forger.Log) *forger.Log {
		o := l.Twin(l.Size())
		o.SetFile(ledger.CheckpointPath, []byte("<html>"))
		return o
	}},
	{"an entry that was rewritten", Altered, "", func(l *forger.Log) *forger.Log {
		o := l.Twin(l.Size())
		o.Add(forger.Listing("new.example"))
		o.Epoch()
		p := l.Twin(l.Size())
		p.Add(forger.Listing("old.example"))
		p.Epoch()
		at := uint64(o.Size() - 1)
		path := ledger.BundlePath(at/256, int(at%256)+1)
		b, err := p.Read(context.Background(), path, 1<<30)
		if err != nil {
			panic(err)
		}
		o.SetFile(path, b)
		return o
	}},
	{"tiles of another log", Altered, "", func(l *forger.Log) *forger.Log {
		o := l.Twin(l.Size())
		o.Add(forger.Listing("new.example"))
		at := uint64(o.Size())
		o.SetFile(ledger.TilePath(0, at/256, int(at%256)), make([]byte, 32*(at%256)))
		return o
	}},
	{"a list that is not what the log adds up to", Altered, "adds up to", func(l *forger.Log) *forger.Log {
		o := l.Twin(l.Size())
		o.Add(forger.Listing("new.example"))
		p := o.Twin(o.Size())
		p.Add(forger.Listing("secret.example")) // in the list, and not in the log
		e := p.EpochEntry()
		o.SetList(e.Digest, p.List(e.Digest))
		e.Size--
		o.Add(e)
		return o
	}},
	{"an epoch of entries to come", Altered, "claims to be of", func(l *forger.Log) *forger.Log {
		o := l.Twin(l.Size())
		e := o.EpochEntry()
		e.Size += 10
		o.Add(e)
		return o
	}},
	{"an epoch that brings an old list back", RolledBack, "brings the list", func(l *forger.Log) *forger.Log {
		o := l.Twin(l.Size())
		e := l.Twin(100).EpochEntry()
		o.Add(e)
		return o
	}},
	{"a list in another format than is said", Altered, "version", func(l *forger.Log) *forger.Log {
		o := l.Twin(l.Size())
		o.Add(forger.Hosts(600)...) // so many that it is fetched
		e := o.InFormat(filter.Version + 1)
		e.Layout = filter.Version
		o.Add(e)
		return o
	}},
	{"a list in the format that is not said", Altered, "in format", func(l *forger.Log) *forger.Log {
		o := l.Twin(l.Size())
		e := o.EpochEntry()
		e.Layout++
		o.Add(e)
		return o
	}},
	{"another count of a list in another format", Altered, "its epoch entry says", func(l *forger.Log) *forger.Log {
		o := l.Twin(l.Size())
		e := o.InFormat(filter.Version + 1)
		e.Count++
		o.Add(e)
		return o
	}},
	{"a list without end", Altered, "the most that is taken", func(l *forger.Log) *forger.Log {
		o := l.Twin(l.Size())
		e := o.EpochEntry()
		e.Bytes = MaxList + 1
		o.Add(e)
		return o
	}},
	{"an entry that is none", Altered, "", func(l *forger.Log) *forger.Log {
		o := l.Twin(l.Size())
		o.AddRaw([]byte(`{"kind":"list"}`))
		return o
	}},
}

// A node that is shown such a log keeps its list, also over a restart, says so, and goes on
// once the log is right again.
func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			l, dir := large(), t.TempDir()
			l.Add(forger.Listing("last.example"), forger.Listing("mine.example"))
			l.Epoch()
			f := open(t, dir, l)
			step(t, f)
			shown := a.show(l)
			f.cfg.Log, f.cfg.Lists = shown, direct{Log: shown}
			e := fails(t, f, a.kind, a.with)
			if !f.Status().Alarmed() {
				t.Error("nobody is told")
			}
			if again := fails(t, f, a.kind, a.with); again.Error() != e.Error() {
				t.Errorf("the second time: %v", again)
			}
			if list, epoch := f.List(); !has(list, "last.example") || epoch.Entry != uint64(l.Size()-1) {
				t.Error("the list in force did not stay")
			}
			g := open(t, dir, l)
			g.cfg.Log, g.cfg.Lists = shown, direct{Log: shown}
			if list, _ := g.List(); !has(list, "last.example") {
				t.Error("the list in force did not stay over a restart")
			}
			fails(t, g, a.kind, a.with)
			kept, err := forks.Kept(filepath.Join(dir, forkFolder))
			if err != nil || (len(kept) == 1) != (a.kind == Forked) {
				t.Fatalf("%d forks are kept: %v", len(kept), err)
			}
			for _, folder := range kept {
				if err := forks.Check(folder, l.Key); err != nil {
					t.Error(err)
				}
			}
			if a.kind == Altered { // the checkpoint was honest: the log is held to it
				return
			}
			l.Add(forger.Listing("later.example"))
			l.Epoch()
			g.cfg.Log, g.cfg.Lists = l, direct{Log: l}
			if a.with == "brings the list" {
				return // and here it was accepted already
			}
			if !has(step(t, g), "later.example") {
				t.Error("the log that is right again is not followed")
			}
			if s := g.Status(); s.Kind != Current || s.Alarmed() != (a.kind == Forked) {
				t.Errorf("afterwards: %+v", s)
			}
		})
	}
}

// Whom a list was fetched from is not believed about the log that it is of.
func TestListOfAnotherLog(t *testing.T) {
	l, other := large(), forger.New(1)
	other.Add(forger.Hosts(300)...)
	other.Add(forger.Hosts(300)...)
	e := other.EpochEntry()
	l.SetList(e.Digest, other.List(e.Digest))
	l.Add(e)
	fails(t, open(t, t.TempDir(), l), Altered, "another root")
}

// Without its cosignatures a checkpoint is not accepted.
func TestWitnesses(t *testing.T) {
	l := large()
	f := open(t, t.TempDir(), l)
	policy := func(text string) *ledger.WitnessPolicy {
		p, err := ledger.ParseWitnessPolicy([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	f.cfg.Witnesses = policy("log " + forger.New(2).VKey + "\nquorum none\n")
	fails(t, f, Unwitnessed, "witness policy")
	f.cfg.Witnesses = policy("log " + l.VKey + "\nquorum none\n")
	if step(t, f) == nil {
		t.Error("with what the policy asks for it is not accepted")
	}
}

// A rollback is kept with both notes.
func TestRollbackIsKept(t *testing.T) {
	l, dir := large(), t.TempDir()
	f := open(t, dir, l)
	step(t, f)
	f.cfg.Log = l.Twin(300)
	e := fails(t, f, RolledBack, "")
	for _, name := range []string{"older", "newer"} {
		if b, err := os.ReadFile(filepath.Join(e.Kept, name)); err != nil || !strings.HasPrefix(string(b), forger.Origin+"\n") {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

// Who only reads leaves the folder as it is, whatever a node is doing there.
func TestRead(t *testing.T) {
	l, dir := large(), t.TempDir()
	step(t, open(t, dir, l))
	half := filepath.Join(dir, listFolder, ".x.1.partial")
	if err := os.WriteFile(half, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Read(Config{Dir: dir, Log: l, Key: l.Key, VKey: l.VKey})
	if err != nil {
		t.Fatal(err)
	}
	if list, _ := f.List(); list == nil || f.Status().Epoch.Count != 600 {
		t.Errorf("%+v", f.Status())
	}
	if _, err := os.Stat(half); err != nil {
		t.Error(err)
	}
	if f, err := Read(Config{Dir: filepath.Join(dir, "absent"), Log: l, Key: l.Key}); err != nil || f.Status().Kind != Waiting {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// Two logs have folders of their own.
func TestFolder(t *testing.T) {
	if a, b := Folder("state", forger.New(1).VKey), Folder("state", forger.New(2).VKey); a == b || filepath.Dir(a) != filepath.Join("state", "follow") {
		t.Error(a, b)
	}
}

// Walk reads the log as far as it was accepted.
func TestWalk(t *testing.T) {
	l, dir := large(), t.TempDir()
	step(t, open(t, dir, l))
	accepted := uint64(l.Size())
	l.Add(forger.Hosts(3)...)
	n := uint64(0)
	err := Walk(t.Context(), l, dir, l.Key, 0, accepted, func(at uint64, e *ledger.Entry) error {
		if n++; at != n-1 {
			return fmt.Errorf("entry %d after %d others", at, n)
		}
		return nil
	})
	if err != nil || n != accepted {
		t.Error(n, err)
	}
}

func FuzzCurrent(f *testing.F) {
	text, err := currentText(ledger.Epoch{Entry: 3, Time: forger.Morning, Size: 3, Bytes: 5, Count: 2})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseCurrent(b)
		if err != nil {
			return
		}
		text, err := currentText(e)
		if err != nil {
			return // a year that RFC 3339 does not write
		}
		again, err := parseCurrent(text)
		if err != nil || !again.Time.Equal(e.Time) {
			t.Fatalf("%v, %v", again, err)
		}
		if again.Time = e.Time; again != e {
			t.Errorf("%+v is read back as %+v", e, again)
		}
	})
}
