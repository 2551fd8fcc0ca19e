package follow

import (
	"errors"
	"io/fs"
	"time"

	"github.com/shoji-dns/shoji/internal/forks"
	"github.com/shoji-dns/shoji/ledger"
)

// Kind says how a node stands to the log that it follows.
type Kind string

// The kinds. Those from Unsigned on are faults of who keeps the log or its copy, and loud.
const (
	Current     Kind = "current"     // the list in force is the log's last one
	Waiting     Kind = "waiting"     // the log was not read yet, or has no list yet
	Unreachable Kind = "unreachable" // it cannot be read
	Local       Kind = "local"       // something of this machine failed
	Unsigned    Kind = "unsigned"    // the checkpoint does not bear the log's signature
	Unwitnessed Kind = "unwitnessed" // it lacks cosignatures
	RolledBack  Kind = "rolled-back" // it is of fewer entries than one that was accepted, or its last list of less of them
	Forked      Kind = "forked"      // it does not continue one that was accepted
	Altered     Kind = "altered"     // files do not hash to the checkpoint, or it has an entry or list that is not what it says
)

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{Current, Waiting, Unreachable, Local, Unsigned, Unwitnessed, RolledBack, Forked, Altered}
}

// Loud reports whether a person should look.
func (k Kind) Loud() bool {
	switch k {
	case Current, Waiting, Unreachable, Local:
		return false
	}
	return true
}

// Status is how a Follower stands.
type Status struct {
	Kind    Kind
	Err     error        // why it is not Current; nil: it is, or was never read
	Epoch   ledger.Epoch // in force; the zero Epoch: none is
	Size    uint64       // entries of the newest checkpoint that was accepted
	Seen    time.Time    // when the log was last read and found right; zero: never since the start
	Damaged int          // checkpoints that were damaged on this machine and are kept, until a person removes them
	Forks   int          // proofs of a fork that are kept, whenever it was. They stay until a person removes them
	Fails   uint64       // steps that failed since the start
}

// Alarmed reports whether a person should look: there is a fault of the log, or there was
// one and its proof is kept, or what was known of it was damaged.
func (s Status) Alarmed() bool { return s.Kind.Loud() || s.Forks > 0 || s.Damaged > 0 }

// Status is how things stand.
func (f *Follower) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// setEpoch takes the list in force into the status.
func (f *Follower) setEpoch() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.list != nil {
		f.status.Epoch = f.epoch
	}
}

// Fault is why a step did not succeed.
type Fault struct {
	Kind Kind
	Err  error
	Kept string // folder with the evidence; "": there is none
}

func (e *Fault) Error() string {
	if e.Kept != "" {
		return e.Err.Error() + " (kept in " + e.Kept + ")"
	}
	return e.Err.Error()
}

func (e *Fault) Unwrap() error { return e.Err }

// fault says what kind of fault an error in reading the log is.
func fault(err error) *Fault {
	known, fork, damage, entry := (*Fault)(nil), (*ledger.ForkError)(nil), (*ledger.DamageError)(nil), (*ledger.EntryError)(nil)
	kind, file := Unreachable, (*fs.PathError)(nil)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &fork):
		kind = Forked
	case errors.Is(err, ledger.ErrRollback):
		kind = RolledBack
	case errors.As(err, &damage), errors.As(err, &entry), errors.Is(err, ledger.ErrOtherRoot):
		kind = Altered
	case errors.As(err, &file) && !errors.Is(err, fs.ErrNotExist):
		kind = Local
	}
	return &Fault{Kind: kind, Err: err}
}

// keep keeps the evidence of a fault, where it is any.
func (f *Follower) keep(e *Fault, shown ledger.Checkpoint) *Fault {
	var err error
	fork := (*ledger.ForkError)(nil)
	switch {
	case errors.As(e.Err, &fork) && len(fork.Old.Raw) > 0:
		e.Kept, err = forks.Keep(f.path(forkFolder), fork)
	case e.Kind == RolledBack && len(f.tip.Raw) > 0:
		e.Kept, err = forks.KeepRollback(f.path(rollbackFolder), f.tip, shown)
	}
	if err != nil {
		f.cfg.Logger.Error("the evidence cannot be kept", "cause", err)
	}
	return e
}

// note takes the outcome of a step into the status; e is nil where it succeeded.
func (f *Follower) note(e *Fault, now time.Time) {
	kept, _ := forks.Kept(f.path(forkFolder))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Size, f.status.Forks, f.status.Damaged = f.tip.Size, len(kept), f.damaged()
	if e != nil {
		f.status.Kind, f.status.Err = e.Kind, e
		f.status.Fails++
		return
	}
	f.status.Kind, f.status.Err, f.status.Seen = Current, nil, now
	if f.list == nil {
		f.status.Kind = Waiting
	} else {
		f.status.Epoch = f.epoch
	}
}
