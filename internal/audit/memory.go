package audit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// Where things lie in the folder of memories and in that of one log.
const (
	addressFolder = "addresses"
	seenFolder    = "seen"
	forkFolder    = "forks"
	verifiedFile  = "verified.json"
	listPrefix    = "list-"
)

// digits are enough of a SHA-256 to tell what one machine remembers apart.
func digits(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// PinnedKey is the verifier key that the log at an address had when it was first met; ""
// where it never was. What is damaged is an error, so that no other key takes its place unseen.
func PinnedKey(dir, address string) (string, error) {
	path := filepath.Join(dir, addressFolder, digits([]byte(address)))
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	at, vkey, _ := strings.Cut(string(b), "\n")
	vkey = strings.TrimSuffix(vkey, "\n")
	if _, err := note.NewVerifier(vkey); at != address || err != nil {
		return "", fmt.Errorf("%s, which holds the key that the log at %s had when it was first met, is damaged: give the key with --key, or remove the file to trust the key that the log has now", path, address)
	}
	return vkey, nil
}

// PinKey remembers the verifier key of the log at an address.
func PinKey(dir, address, vkey string) error {
	folder := filepath.Join(dir, addressFolder)
	if err := durable.MakeFolder(folder, 0o700); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(folder, digits([]byte(address))), []byte(address+"\n"+vkey+"\n"), 0o600)
}

// Memory is what this machine knows of one log.
type Memory struct{ dir string }

// leftoverAge is when a list that was being rebuilt is no running audit's any more.
const leftoverAge = 24 * time.Hour

// OpenMemory opens the memory of the log with a verifier key, in the folder of memories dir.
func OpenMemory(dir, vkey string) (*Memory, error) {
	m := &Memory{filepath.Join(dir, "log-"+digits([]byte(vkey)))}
	for _, folder := range []string{m.dir, filepath.Join(m.dir, seenFolder)} {
		if err := durable.MakeFolder(folder, 0o700); err != nil {
			return nil, err
		}
	}
	if left, err := filepath.Glob(filepath.Join(m.dir, "rebuilt-*")); err == nil {
		for _, path := range left { // of runs that were killed, and not of one beside this one
			if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > leftoverAge {
				os.Remove(path)
			}
		}
	}
	return m, durable.WriteFile(filepath.Join(m.dir, "key"), []byte(vkey+"\n"), 0o600)
}

// seen is a checkpoint that was seen from first to at.
type seen struct {
	ledger.Checkpoint
	first, at time.Time
	path      string
}

// seenName is the file of a checkpoint: its size, root, and when it was seen first and last.
func seenName(c ledger.Checkpoint, first, at time.Time) string {
	return fmt.Sprintf("%020d-%s-%d-%d", c.Size, hex.EncodeToString(c.Root[:8]), first.Unix(), at.Unix())
}

// seen reads the checkpoints that were seen, in ascending size.
func (m *Memory) seen(key note.Verifier) ([]seen, error) {
	folder := filepath.Join(m.dir, seenFolder)
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var out []seen
	for _, f := range files {
		parts := strings.Split(f.Name(), "-")
		if len(parts) != 4 {
			continue // a write that was cut short
		}
		s := seen{path: filepath.Join(folder, f.Name())}
		first, err1 := strconv.ParseInt(parts[2], 10, 64)
		at, err2 := strconv.ParseInt(parts[3], 10, 64)
		raw, err3 := os.ReadFile(s.path)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("%s: %w", s.path, err)
		}
		if s.Checkpoint, err = ledger.OpenCheckpoint(raw, key); err != nil {
			return nil, fmt.Errorf("%s is damaged: %w; remove it, and what was seen then is forgotten", s.path, err)
		}
		s.first, s.at = time.Unix(first, 0), time.Unix(at, 0)
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b seen) int { return cmp.Compare(a.Size, b.Size) })
	return out, nil
}

// record remembers a checkpoint that continues those seen before.
func (m *Memory) record(c ledger.Checkpoint, known []seen, now time.Time) error {
	folder := filepath.Join(m.dir, seenFolder)
	for i := range known {
		if s := &known[i]; s.Size == c.Size && s.Root == c.Root {
			if !now.After(s.at) {
				return nil
			}
			if err := os.Rename(s.path, filepath.Join(folder, seenName(c, s.first, now))); err != nil {
				return err
			}
			return durable.SyncFolder(folder)
		}
	}
	return durable.WriteFile(filepath.Join(folder, seenName(c, now, now)), c.Raw, 0o600)
}

// saved is how far a log was verified.
type saved struct {
	Size    uint64  `json:"size"`
	Root    string  `json:"root"`
	Policy  string  `json:"policy"`
	List    string  `json:"list"`
	Map     string  `json:"map,omitempty"` // root of the map over it
	Kept    kept    `json:"kept"`
	Tallies []tally `json:"checks"`
}

// tally is what a check has counted up to there.
type tally struct {
	Checked   uint64    `json:"checked"`
	Unchecked uint64    `json:"unchecked"`
	Left      uint64    `json:"left"`
	Findings  []Finding `json:"findings,omitempty"`
}

func (t tally) check(name string) Check {
	return Check{Name: name, Checked: t.Checked, Unchecked: t.Unchecked, Left: t.Left, Findings: slices.Clone(t.Findings)}
}

// base is where a run begins: the zero base is the log's beginning.
type base struct {
	ledger.Base
	digest  ledger.Digest // of list
	list    *filter.List  // compiled there
	root    ledger.Digest // of the map over it; zero: it had none
	policy  *ledger.Entry // in force there
	kept    kept
	tallies []tally
}

func (b *base) count() uint64 {
	if b.list == nil {
		return 0
	}
	return b.list.Count()
}

// load is the base that was remembered, or the zero base where none is or it is not whole:
// that costs the time of a first run and nothing else.
func (m *Memory) load(ctx context.Context, src ledger.Source, tip ledger.Checkpoint) *base {
	var s saved
	b, err := os.ReadFile(filepath.Join(m.dir, verifiedFile))
	if err != nil || json.Unmarshal(b, &s) != nil || s.Size > tip.Size {
		return &base{}
	}
	out := &base{kept: s.Kept, tallies: s.Tallies}
	root, err1 := ledger.ParseDigest(s.Root)
	digest, err2 := ledger.ParseDigest(s.List)
	if errors.Join(err1, err2) != nil {
		return &base{}
	}
	out.Size, out.Root, out.digest = s.Size, root, digest
	if s.Policy != "" {
		if out.Policy, err = ledger.ParseDigest(s.Policy); err != nil {
			return &base{}
		}
		out.policy, err = ledger.ReadEntry(ctx, src, tip, s.Kept.PolicyEntry)
		if err != nil || out.policy.Policy != out.Policy {
			return &base{}
		}
	}
	if s.Map != "" {
		if out.root, err = ledger.ParseDigest(s.Map); err != nil {
			return &base{}
		}
	}
	path := filepath.Join(m.dir, listPrefix+s.List)
	if sum, err := filter.Sum(path, nil); err != nil || ledger.Digest(sum) != digest {
		return &base{}
	}
	if out.list, err = filter.Open(path); err != nil || out.list.Epoch() != out.Size || out.list.RootHash() != out.Root {
		return &base{}
	}
	return out
}

// remember is what is to be saved of a run that comes to its end without a fault.
func (v *visitor) remember(before *ledger.Tail) *saved {
	root := ledger.Digest(before.RootHash())
	s := &saved{Size: before.Size(), Root: root.String(), Kept: v.kept.clone()}
	if p := before.Policy(); !p.IsZero() {
		s.Policy = p.String()
	}
	for _, c := range v.replayed {
		s.Tallies = append(s.Tallies, tally{c.Checked, c.Unchecked, c.Left, slices.Clone(c.Findings)})
	}
	return s
}

// save remembers how far the log is verified, and the list there.
func (v *visitor) save() error {
	if v.snapshot == nil || v.listPath == "" {
		return nil
	}
	dir := v.cfg.Memory.dir
	if v.snapshot.List = v.rebuilt.digest.String(); !v.rebuilt.root.IsZero() {
		v.snapshot.Map = v.rebuilt.root.String()
	}
	name := listPrefix + v.snapshot.List
	if err := os.Rename(v.listPath, filepath.Join(dir, name)); err != nil {
		return err
	}
	if v.rebuilt.path != "" {
		if err := os.Rename(v.rebuilt.path, filepath.Join(dir, mapFile)); err != nil {
			return err
		}
	}
	b, err := json.Marshal(v.snapshot)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dir, verifiedFile), b, 0o600); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(dir, listPrefix+"*"))
	for _, path := range old {
		if filepath.Base(path) != name {
			os.Remove(path)
		}
	}
	return err
}
