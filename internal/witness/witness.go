// Package witness asks witnesses to cosign the log's checkpoints (https://c2sp.org/tlog-witness),
// with Tessera's client for them.
//
// A witness is sent the new checkpoint with a proof that it continues the one that it saw
// last, and answers with its cosignature. All witnesses that count for the policy's quorum are
// asked at once, and the first answers that satisfy it are enough.
//
// # Limits
//
// What a witness sends is read up to maxReply octets; redirects are not followed. All
// witnesses together have Config.Timeout for one checkpoint: one that answers later counts as
// away, and is asked again with the next checkpoint. A witness is told apart by its address,
// so no two of a policy can share one.
package witness

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/transparency-dev/tessera"
	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/ledger"
)

// DefaultTimeout is how long the witnesses of one checkpoint have.
const DefaultTimeout = 5 * time.Second

// Config is what a Client needs.
type Config struct {
	Policy    *ledger.WitnessPolicy
	Timeout   time.Duration     // for all witnesses of one checkpoint; 0: DefaultTimeout
	Transport http.RoundTripper // nil: the system's network, by way of the proxy that the environment names
}

// Client gets cosignatures.
type Client struct {
	cfg   Config
	group tessera.WitnessGroup
	names map[string]string // of witnesses, by where they take checkpoints
}

// New makes a Client. Every witness that counts for the policy's quorum needs an address.
func New(cfg Config) (*Client, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Transport == nil {
		cfg.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: maxHeaders, IdleConnTimeout: time.Minute,
		}
	}
	c := &Client{cfg: cfg, names: map[string]string{}}
	var err error
	if c.group, err = group(c, tessera.NewWitnessGroup); err != nil {
		return nil, fmt.Errorf("witness policy: %w", err)
	}
	return c, nil
}

// group makes Tessera's group of the policy's quorum. The type of a group's members has no
// name outside of Tessera: it is that of what make takes.
func group[Member any](c *Client, make func(int, ...Member) tessera.WitnessGroup) (tessera.WitnessGroup, error) {
	parts, quorum := c.cfg.Policy.Parts()
	if quorum < 0 {
		return make(0), nil
	}
	witnesses := c.cfg.Policy.Witnesses()
	var build func(int) (any, error)
	build = func(at int) (any, error) { // a part names earlier ones alone, each once: it ends
		part := parts[at]
		if part.Witness >= 0 {
			return c.witness(witnesses[part.Witness])
		}
		var members []Member
		for _, m := range part.Members {
			member, err := build(m)
			if err != nil {
				return nil, err
			}
			members = append(members, member.(Member))
		}
		return make(part.Need, members...), nil
	}
	whole, err := build(quorum)
	if err != nil {
		return tessera.WitnessGroup{}, err
	}
	if g, ok := whole.(tessera.WitnessGroup); ok {
		return g, nil
	}
	return make(1, whole.(Member)), nil
}

// witness is a witness of the policy as Tessera has it.
func (c *Client) witness(w ledger.Witness) (tessera.Witness, error) {
	u, err := url.Parse(w.URL)
	switch {
	case w.URL == "":
		return tessera.Witness{}, fmt.Errorf("witness %s has no address: write it behind its key", w.Name)
	case err != nil:
		return tessera.Witness{}, fmt.Errorf("witness %s: %w", w.Name, err)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.User != nil, u.RawQuery != "", u.Fragment != "":
		return tessera.Witness{}, fmt.Errorf("witness %s: %q is no address of a witness: write it like https://witness.example/", w.Name, u.Redacted())
	}
	at := u.JoinPath("/add-checkpoint").String()
	if other, taken := c.names[at]; taken {
		return tessera.Witness{}, fmt.Errorf("witnesses %s and %s have the same address", other, w.Name)
	}
	c.names[at] = w.Name
	return tessera.Witness{Key: w.Key, URL: at}, nil
}

// Enough is nil where a signed checkpoint satisfies the policy; else it says what is missing.
func (c *Client) Enough(signed []byte) error {
	return c.cfg.Policy.Check(ledger.Checkpoint{Raw: signed}).Err()
}

// Cosign has a checkpoint cosigned that the log's key signed, and whose tree's tiles are in
// log. It returns the note with what cosignatures came. Where they are too few, it returns an
// *Error as well.
func (c *Client) Cosign(ctx context.Context, signed []byte, key note.Verifier, log ledger.Source) ([]byte, error) {
	cp, err := ledger.OpenCheckpoint(signed, key)
	if err != nil {
		return signed, err
	}
	again, err := signedBefore(signed, key)
	if err != nil {
		return signed, err
	}
	asked := &asked{transport: c.cfg.Transport, size: cp.Size, names: c.names, said: map[string]string{}, replies: map[string][]byte{}}
	client := &http.Client{Transport: asked, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	publisher := tessera.NewAppendOptions().
		WithCheckpointSigner(again).
		WithWitnesses(c.group, &tessera.WitnessOptions{Timeout: c.cfg.Timeout}).
		CheckpointPublisher(reader{log}, client)
	out, failed := publisher(ctx, cp.Size, cp.Root[:])
	if failed == nil {
		return out, c.Enough(out)
	}
	if err := ctx.Err(); err != nil {
		return signed, err
	}
	out = asked.collect(signed, c.cfg.Policy.Witnesses())
	missing := (*ledger.UncosignedError)(nil)
	if !errors.As(c.Enough(out), &missing) {
		return signed, failed
	}
	return out, asked.error(missing.Cosigned, c.cfg.Timeout)
}

// Error says why too few witnesses cosigned a checkpoint.
type Error struct {
	Cosigned ledger.Cosigned
	Said     []string // what became of each witness that did not cosign, in the order of their names

	conflict bool
}

func (e *Error) Error() string {
	return fmt.Sprintf("%v (%s)", e.Cosigned.Err(), strings.Join(e.Said, "; "))
}

// Conflict reports whether a witness says that it has seen another log under this key: the
// log was forked or rolled back, such as by a backup that is older than what was published.
func (e *Error) Conflict() bool { return e.conflict }

// signer signs one checkpoint as it was signed before.
type signer struct {
	note.Verifier
	text string
	sig  []byte
}

// signedBefore takes the log's signature from a note.
func signedBefore(signed []byte, key note.Verifier) (signer, error) {
	n, err := note.Open(signed, note.VerifierList(key))
	if err != nil {
		return signer{}, err
	}
	b, err := base64.StdEncoding.DecodeString(n.Sigs[0].Base64)
	if err != nil || len(b) < 4 {
		return signer{}, fmt.Errorf("a signature of %d octets", len(b))
	}
	return signer{key, n.Text, b[4:]}, nil // behind the key's hash
}

// Sign implements note.Signer.
func (s signer) Sign(text []byte) ([]byte, error) {
	if string(text) != s.text {
		return nil, errors.New("another checkpoint than the one that was signed")
	}
	return s.sig, nil
}

// reader is the log as Tessera reads it.
type reader struct{ log ledger.Source }

func (r reader) ReadCheckpoint(ctx context.Context) ([]byte, error) {
	return r.log.Read(ctx, ledger.CheckpointPath, ledger.MaxCheckpoint)
}

func (r reader) ReadTile(ctx context.Context, level, index uint64, width uint8) ([]byte, error) {
	return r.read(ctx, width, maxTile, func(width int) string { return ledger.TilePath(int(level), index, width) })
}

func (r reader) ReadEntryBundle(ctx context.Context, index uint64, width uint8) ([]byte, error) {
	return nil, errors.ErrUnsupported // proofs need none
}

func (r reader) NextIndex(context.Context) (uint64, error)      { return 0, errors.ErrUnsupported }
func (r reader) IntegratedSize(context.Context) (uint64, error) { return 0, errors.ErrUnsupported }

// maxTile is the length of a full tile (https://c2sp.org/tlog-tiles).
const maxTile = 256 * 32

// read reads a file that may have grown full since.
func (r reader) read(ctx context.Context, width uint8, limit int64, path func(int) string) ([]byte, error) {
	b, err := r.log.Read(ctx, path(int(width)), limit)
	if width > 0 && errors.Is(err, fs.ErrNotExist) {
		if full, fullErr := r.log.Read(ctx, path(0), limit); fullErr == nil {
			return full[:min(len(full), 32*int(width))], nil
		}
	}
	return b, err
}

// sorted are the values of a map, in the order of its keys.
func sorted(m map[string]string) (out []string) {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		out = append(out, k+": "+m[k])
	}
	return out
}
