package ledger

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// WitnessPolicy says by which logs a checkpoint may be signed, and which witnesses have to
// have cosigned it (https://c2sp.org/tlog-policy). A cosignature says that its witness saw
// one log that only grows, and at what time (https://c2sp.org/tlog-cosignature): as long as
// enough witnesses are honest, nobody is shown another log.
//
// A WitnessPolicy does not change; any number of goroutines may use it.
type WitnessPolicy struct {
	logs      []PolicyLog
	witnesses []Witness
	parts     []Part // each after those that it is made of
	quorum    int    // index into parts; -1: none is asked for
}

// PolicyLog is a log that a policy names.
type PolicyLog struct {
	Key note.Verifier
	URL string // "": none is given; what it is for is up to the reader
}

// Witness is a witness that a policy names.
type Witness struct {
	Name string // in the policy; the key has one of its own
	Key  note.Verifier
	URL  string // where it takes checkpoints (https://c2sp.org/tlog-witness); "": none is given

	public string // its public key
}

// Own is the policy's witness whose key is that of the log with a verifier key, and which so
// vouches for nothing that the log's signature does not say; "" where there is none.
func (p *WitnessPolicy) Own(vkey string) string {
	_, key, err := splitKey(vkey)
	if err != nil {
		return ""
	}
	for _, w := range p.witnesses {
		if w.public == string(key[1:]) {
			return w.Name
		}
	}
	return ""
}

// Part is a witness or a group of a policy, as Parts tells of it.
type Part struct {
	Name    string
	Witness int   // index into Witnesses; -1 for a group
	Need    int   // of a group: how many of Members it takes
	Members []int // of a group: indexes of earlier parts
}

// Logs are the logs that the policy names; none if any log is meant.
func (p *WitnessPolicy) Logs() []PolicyLog { return slices.Clone(p.logs) }

// Witnesses are the witnesses that the policy names, in its order. Not all of them need
// count for the quorum.
func (p *WitnessPolicy) Witnesses() []Witness { return slices.Clone(p.witnesses) }

// Parts are the policy's witnesses and groups, each after what it is made of, and which of
// them is the quorum: -1 where no cosignature is asked for.
func (p *WitnessPolicy) Parts() (parts []Part, quorum int) {
	return slices.Clone(p.parts), p.quorum
}

// Cosignature is a valid cosignature of a checkpoint.
type Cosignature struct {
	Witness string    // its name in the policy
	Time    time.Time // when the witness says it had seen no larger tree; zero: it does not say
}

// Cosigned is who cosigned a checkpoint, as a policy sees it. Lists are in the policy's order.
type Cosigned struct {
	Satisfied    bool // the policy's quorum is met, and the log is one that it names
	Cosignatures []Cosignature
	Invalid      []string // witnesses in whose name something else stands there
	Missing      []string // witnesses of which there is nothing

	why string
}

// Err is nil where the policy is satisfied; else it says what is missing.
func (c Cosigned) Err() error {
	if c.Satisfied {
		return nil
	}
	return &UncosignedError{c}
}

// UncosignedError says that a checkpoint does not satisfy a witness policy.
type UncosignedError struct{ Cosigned Cosigned }

func (e *UncosignedError) Error() string {
	return "the checkpoint does not satisfy the witness policy: " + e.Cosigned.why
}

// Check says which of the policy's witnesses cosigned a checkpoint, and whether that is
// enough. That the log signed it is OpenCheckpoint's to verify; where the policy names logs,
// Check also wants a valid signature of one of them. Times are not judged: what is in the
// future is for the caller to refuse, who has a clock.
func (p *WitnessPolicy) Check(c Checkpoint) Cosigned {
	var out Cosigned
	met := make([]bool, len(p.witnesses))
	for i, w := range p.witnesses {
		at, err := cosignature(c.Raw, w.Key)
		switch {
		case err == nil:
			met[i] = true
			out.Cosignatures = append(out.Cosignatures, Cosignature{w.Name, at})
		case errors.Is(err, errNoCosignature):
			out.Missing = append(out.Missing, w.Name)
		default:
			out.Invalid = append(out.Invalid, w.Name)
		}
	}
	switch {
	case !p.names(c):
		out.why = fmt.Sprintf("it is signed by none of the %d logs that the policy names", len(p.logs))
	case !p.met(met):
		out.why = p.whyNot(out)
	default:
		out.Satisfied = true
	}
	return out
}

// names reports whether one of the policy's logs signed a checkpoint.
func (p *WitnessPolicy) names(c Checkpoint) bool {
	return len(p.logs) == 0 || slices.ContainsFunc(p.logs, func(l PolicyLog) bool {
		_, err := OpenCheckpoint(c.Raw, l.Key)
		return err == nil
	})
}

// met reports whether the witnesses that are set make the quorum.
func (p *WitnessPolicy) met(witnesses []bool) bool {
	if p.quorum < 0 {
		return true
	}
	met := make([]bool, len(p.parts))
	for i, part := range p.parts {
		if part.Witness >= 0 {
			met[i] = witnesses[part.Witness]
			continue
		}
		n := 0
		for _, m := range part.Members {
			if met[m] {
				n++
			}
		}
		met[i] = n >= part.Need
	}
	return met[p.quorum]
}

// whyNot says what a checkpoint lacks.
func (p *WitnessPolicy) whyNot(c Cosigned) string {
	var by []string
	for _, s := range c.Cosignatures {
		by = append(by, s.Witness)
	}
	q := p.parts[p.quorum]
	text := fmt.Sprintf("it asks for %q", q.Name)
	if q.Witness < 0 {
		text += fmt.Sprintf(" (%d of %d)", q.Need, len(q.Members))
	}
	for _, g := range []struct {
		says  string
		names []string
	}{{"cosigned by", by}, {"invalid of", c.Invalid}, {"nothing of", c.Missing}} {
		if len(g.names) > 0 {
			text += "; " + g.says + " " + strings.Join(g.names, ", ")
		}
	}
	return text
}

var (
	errNoCosignature  = errors.New("no cosignature of this witness")
	errBadCosignature = errors.New("no valid cosignature of this witness")
)

// maxCosignatureTime is the last second of the year 9999. Later times cannot be written as
// RFC 3339 has it, and are no witness's clock.
const maxCosignatureTime = 253402300799

// cosignature verifies a witness's cosignature of a note and reads its time.
func cosignature(raw []byte, witness note.Verifier) (time.Time, error) {
	n, err := note.Open(raw, note.VerifierList(witness))
	if unverified := (*note.UnverifiedNoteError)(nil); errors.As(err, &unverified) {
		return time.Time{}, errNoCosignature
	}
	if err != nil || len(n.Sigs) == 0 {
		return time.Time{}, errBadCosignature
	}
	// The key's hash, the time in seconds since 1970, the signature.
	b, err := base64.StdEncoding.DecodeString(n.Sigs[0].Base64)
	if err != nil || len(b) < 4+8 {
		return time.Time{}, errBadCosignature
	}
	seconds := binary.BigEndian.Uint64(b[4:])
	switch {
	case seconds == 0:
		return time.Time{}, nil
	case seconds > maxCosignatureTime:
		return time.Time{}, errBadCosignature
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}
