package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	cosig "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// Limits of a witness policy. tlog-policy asks for 32 logs, witnesses and groups at least.
const (
	MaxWitnessPolicy = 256 << 10 // octets; the key of an ML-DSA-44 witness has some 1,800
	MaxPolicyLogs    = 32
	MaxWitnesses     = 32 // MaxCheckpoint has room for the cosignatures of all
	MaxWitnessGroups = 64
)

// The types of keys that cosign (https://c2sp.org/tlog-cosignature).
const (
	keyEd25519Cosignature = 0x04
	keyMLDSA44Cosignature = 0x06
)

// ParseWitnessPolicy reads a policy as https://c2sp.org/tlog-policy writes it:
//
//	log <key> [<url>]
//	witness <name> <key> [<url>]
//	group <name> all|any|<number> <name>...
//	quorum <name>|none
//
// with # before a comment line. Keys are verifier keys (https://c2sp.org/signed-note): a
// log's as note.NewVerifier takes them, a witness's of type 0x04 (Ed25519) or 0x06
// (ML-DSA-44). A line feed at the end may be missing. An error names the line.
func ParseWitnessPolicy(text []byte) (*WitnessPolicy, error) {
	if len(text) > MaxWitnessPolicy {
		return nil, fmt.Errorf("a witness policy of %d octets; the longest is %d", len(text), MaxWitnessPolicy)
	}
	r := policyReader{policy: WitnessPolicy{quorum: -1}, at: map[string]int{}, member: map[string]string{}, keys: map[string]string{}}
	for i, line := range bytes.Split(text, []byte("\n")) {
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("witness policy, line %d: %w", i+1, err)
		}
	}
	if !r.quorum {
		return nil, errors.New("witness policy: no quorum line: add quorum NAME, or quorum none")
	}
	return &r.policy, nil
}

// policyReader is a policy that is being read.
type policyReader struct {
	policy WitnessPolicy
	at     map[string]int    // parts by name
	member map[string]string // the group that a name is a member of
	keys   map[string]string // public keys: whether a log or a witness has one
	groups int
	quorum bool // there was a quorum line
}

func (r *policyReader) line(line []byte) error {
	for _, c := range line {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return fmt.Errorf("control character %#02x; lines end in a line feed alone", c)
		}
	}
	fields := strings.FieldsFunc(string(line), func(c rune) bool { return c == ' ' || c == '\t' })
	if len(fields) == 0 || fields[0][0] == '#' {
		return nil
	}
	args := fields[1:]
	switch fields[0] {
	case "log":
		return r.log(args)
	case "witness":
		return r.witness(args)
	case "group":
		return r.group(args)
	case "quorum":
		return r.setQuorum(args)
	}
	return fmt.Errorf("%q is none of log, witness, group, quorum", fields[0])
}

// optional is the n-th argument, which may be missing.
func optional(args []string, n int) string {
	if len(args) > n {
		return args[n]
	}
	return ""
}

func (r *policyReader) log(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("write it like: log KEY [URL]")
	}
	if len(r.policy.logs) == MaxPolicyLogs {
		return fmt.Errorf("more than %d logs", MaxPolicyLogs)
	}
	if _, err := r.key("log", args[0]); err != nil {
		return err
	}
	key, err := note.NewVerifier(args[0])
	if err != nil {
		return fmt.Errorf("%.80q is no verifier key of a log: %w", args[0], err)
	}
	r.policy.logs = append(r.policy.logs, PolicyLog{key, optional(args, 1)})
	return nil
}

func (r *policyReader) witness(args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return errors.New("write it like: witness NAME KEY [URL]")
	}
	if len(r.policy.witnesses) == MaxWitnesses {
		return fmt.Errorf("more than %d witnesses", MaxWitnesses)
	}
	kind, err := r.key("witness", args[1])
	if err != nil {
		return err
	}
	if kind != keyEd25519Cosignature && kind != keyMLDSA44Cosignature {
		return fmt.Errorf("%.80q is a key of type %#02x; a witness has one of type 0x04 or 0x06, for cosignatures", args[1], kind)
	}
	key, err := cosig.NewVerifierForCosignatureV1(args[1])
	if err != nil {
		return fmt.Errorf("%.80q is no verifier key of a witness: %w", args[1], err)
	}
	_, public, err := splitKey(args[1])
	if err != nil {
		return err
	}
	r.policy.witnesses = append(r.policy.witnesses, Witness{args[0], key, optional(args, 2), string(public[1:])})
	return r.define(Part{Name: args[0], Witness: len(r.policy.witnesses) - 1})
}

// key reads a verifier key and returns its type. No public key may be there twice.
func (r *policyReader) key(who, text string) (kind byte, err error) {
	_, key, err := splitKey(text)
	if err != nil {
		return 0, err
	}
	public := string(key[1:])
	switch before := r.keys[public]; before {
	case "":
	case who:
		return 0, fmt.Errorf("%.80q: a second %s with this public key", text, who)
	default:
		return 0, fmt.Errorf("%.80q: the public key of a %s above: no log is its own witness", text, before)
	}
	r.keys[public] = who
	return key[0], nil
}

// splitKey reads a verifier key, NAME+HASH+KEY, whose HASH must be the name's and the key's. The key
// begins with its type.
func splitKey(text string) (name string, key []byte, err error) {
	name, rest, _ := strings.Cut(text, "+")
	hash, encoded, _ := strings.Cut(rest, "+")
	if key, err = base64.StdEncoding.Strict().DecodeString(encoded); err != nil || len(key) < 2 || name == "" {
		return "", nil, fmt.Errorf("%.80q is no verifier key: it is written NAME+HASH+KEY", text)
	}
	if want := keyHash(name, key); !strings.EqualFold(hash, want) {
		return "", nil, fmt.Errorf("%.80q: its hash is %.8q, the name and the key have %s: a letter of it is wrong", text, hash, want)
	}
	return name, key, nil
}

func keyHash(name string, key []byte) string {
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return fmt.Sprintf("%08x", binary.BigEndian.Uint32(sum[:]))
}

// VerifierKey is a log's verifier key (https://c2sp.org/signed-note) as it is written in one way, so
// that whoever remembers logs by it knows one by each writing; and what verifies by it.
func VerifierKey(text string) (string, note.Verifier, error) {
	text = strings.TrimSpace(text)
	key, err := note.NewVerifier(text)
	if err != nil {
		return "", nil, err
	}
	name, public, err := splitKey(strings.NewReplacer("\n", "", "\r", "").Replace(text))
	if err != nil {
		return "", nil, err
	}
	return name + "+" + keyHash(name, public) + "+" + base64.StdEncoding.EncodeToString(public), key, nil
}

// define adds a part under its name.
func (r *policyReader) define(p Part) error {
	if p.Name == "none" {
		return errors.New(`the name "none" is taken: it stands for no quorum`)
	}
	if _, taken := r.at[p.Name]; taken {
		return fmt.Errorf("the name %q is taken by an earlier line", p.Name)
	}
	r.at[p.Name] = len(r.policy.parts)
	r.policy.parts = append(r.policy.parts, p)
	return nil
}

func (r *policyReader) group(args []string) error {
	if len(args) < 3 {
		return errors.New("write it like: group NAME all|any|NUMBER NAME NAME")
	}
	if r.groups++; r.groups > MaxWitnessGroups {
		return fmt.Errorf("more than %d groups", MaxWitnessGroups)
	}
	g := Part{Name: args[0], Witness: -1}
	for _, name := range args[2:] {
		at, known := r.at[name]
		if !known {
			return fmt.Errorf("%q is no witness or group of an earlier line", name)
		}
		if other, taken := r.member[name]; taken {
			return fmt.Errorf("%q is a member of group %q already: each counts once", name, other)
		}
		r.member[name] = g.Name
		g.Members = append(g.Members, at)
	}
	switch args[1] {
	case "all":
		g.Need = len(g.Members)
	case "any":
		g.Need = 1
	default:
		n, err := strconv.ParseUint(args[1], 10, 16)
		if err != nil || n < 1 || n > uint64(len(g.Members)) {
			return fmt.Errorf("%q is neither all, any, nor a number from 1 to the group's %d members", args[1], len(g.Members))
		}
		g.Need = int(n)
	}
	return r.define(g)
}

func (r *policyReader) setQuorum(args []string) error {
	if len(args) != 1 {
		return errors.New("write it like: quorum NAME, or quorum none")
	}
	if r.quorum {
		return errors.New("a second quorum line")
	}
	r.quorum = true
	if args[0] == "none" {
		return nil
	}
	at, known := r.at[args[0]]
	if !known {
		return fmt.Errorf("%q is no witness or group of an earlier line", args[0])
	}
	r.policy.quorum = at
	return nil
}
