package credential

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/internal/ech"
)

const (
	// MaxECHKeys bounds the keys that a server has. A ClientHello is tried with each, some 80 µs of
	// CPU a key, and whoever can reach the server can send one that fits none.
	MaxECHKeys = 8
	// lookECH is how often it is seen whether the newest key is old enough.
	lookECH = time.Minute
	// maxECHFile is the longest key file that is read, in octets; one has some 300.
	maxECHFile = 64 << 10
)

// The types of the blocks of a key file (RFC 9934 §3).
const (
	blockKey  = "PRIVATE KEY"
	blockECHC = "ECHCONFIG"
)

// ECHConfig is what OpenECH needs.
type ECHConfig struct {
	Folder     string        // of the keys, each in a file of mode 0600
	PublicName string        // what the outer ClientHello of all clients asks for
	Longest    int           // octets of the longest name that clients ask for
	Every      time.Duration // how old a key becomes before there is a newer one; 0: they come from elsewhere
	Old        int           // how many keys before the newest are taken: 1 to MaxECHKeys-1
	Log        *slog.Logger  // nil: slog.Default()
}

// ECH holds a server's keys of Encrypted Client Hello. Its methods may be called from any
// goroutine.
type ECH struct {
	cfg   ECHConfig
	alarm time.Time // when a fault was last logged

	mu   sync.Mutex
	held []echKey // the newest first

	current atomic.Pointer[published]
}

// published is what servers and clients see of the keys.
type published struct {
	list []byte
	keys []tls.EncryptedClientHelloKey
}

// echKey is one key and its file.
type echKey struct {
	number uint64
	made   time.Time
	config ech.Config
	secret []byte
}

// echFile is how key files are called: by a number, by which they are ordered, and the time at which
// the key was made.
var echFile = regexp.MustCompile(`^([0-9]{8})-([0-9]{8}T[0-9]{6}Z)\.pem$`)

const echTime = "20060102T150405Z"

// OpenECH reads the keys, and makes one where none is there, the newest is too old or has another
// public name. A file that cannot be used is an error that names it. Where a new key cannot be
// written and there are older ones, those are in force.
func OpenECH(cfg ECHConfig) (*ECH, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Old < 1 || cfg.Old >= MaxECHKeys || cfg.Every < 0 {
		return nil, fmt.Errorf("ECH: keys that are replaced after %s, with %d old ones: give a time, and 1 to %d", cfg.Every, cfg.Old, MaxECHKeys-1)
	}
	e := &ECH{cfg: cfg}
	if err := durable.MakeFolder(cfg.Folder, 0o700); err != nil {
		return nil, err
	}
	if err := durable.RemoveLeftovers(cfg.Folder); err != nil {
		return nil, err
	}
	var err error
	if e.held, err = readECH(cfg.Folder); err != nil {
		return nil, err
	}
	if err := e.begin(time.Now()); err != nil {
		return nil, err
	}
	return e, nil
}

// begin puts the keys in force, with a new one where it is time. As while the server runs, a full disk
// is no reason to answer nobody.
func (e *ECH) begin(now time.Time) error {
	if e.due(now) {
		err := e.renew(now)
		if unwritten := (*durable.Error)(nil); err != nil && (len(e.held) == 0 || !errors.As(err, &unwritten)) {
			return err
		}
		if err != nil {
			e.alarmAt(now, err)
		}
	}
	e.publish()
	return nil
}

// PublishedECH is the list of configurations that a server with this folder tells; nil where it
// has not made a key yet.
func PublishedECH(folder string) ([]byte, error) {
	held, err := readECH(folder)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(held) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ech.List(held[0].config.Bytes()), nil
}

// echFiles are the names of a folder's key files.
func echFiles(folder string) (out []string, err error) {
	files, err := os.ReadDir(folder)
	for _, f := range files {
		if echFile.MatchString(f.Name()) {
			out = append(out, f.Name())
		}
	}
	return out, err
}

// readECH reads the keys of a folder, the newest first, as many as are taken at most.
func readECH(folder string) ([]echKey, error) {
	files, err := echFiles(folder)
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	slices.Reverse(files)
	var out []echKey
	for _, name := range files[:min(len(files), MaxECHKeys)] {
		m := echFile.FindStringSubmatch(name)
		path := filepath.Join(folder, name)
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		k, err := parseECH(text)
		if err != nil {
			return nil, fmt.Errorf("ECH key %s: %w. Remove the file, and a new key is made; clients that have its configuration are told the new one", path, err)
		}
		if k.number, err = strconv.ParseUint(m[1], 10, 64); err != nil {
			return nil, err
		}
		if k.made, err = time.Parse(echTime, m[2]); err != nil {
			return nil, fmt.Errorf("ECH key %s: its name has no time: %w", path, err)
		}
		out = append(out, k)
	}
	return out, nil
}

// parseECH reads a key file: a private key in PKCS #8, and a list of the configuration that is
// its own (RFC 9934 §3).
func parseECH(text []byte) (k echKey, err error) {
	if len(text) > maxECHFile {
		return k, fmt.Errorf("%d octets are more than %d", len(text), maxECHFile)
	}
	first, rest := pem.Decode(text)
	if first == nil || first.Type != blockKey {
		return k, errors.New("it does not begin with a private key in PEM")
	}
	second, _ := pem.Decode(rest)
	if second == nil || second.Type != blockECHC {
		return k, errors.New("no ECHCONFIG in PEM stands behind the private key")
	}
	private, err := x509.ParsePKCS8PrivateKey(first.Bytes)
	if err != nil {
		return k, err
	}
	key, ok := private.(*ecdh.PrivateKey)
	if !ok || key.Curve() != ecdh.X25519() {
		return k, errors.New("its private key is not of X25519")
	}
	all, err := ech.Usable(second.Bytes)
	if err != nil {
		return k, err
	}
	if len(all) != 1 || !bytes.Equal(all[0].PublicKey, key.PublicKey().Bytes()) {
		return k, errors.New("its configuration is not that of its private key")
	}
	return echKey{config: all[0], secret: key.Bytes()}, nil
}

// due reports whether there has to be a newer key.
func (e *ECH) due(now time.Time) bool {
	if len(e.held) == 0 {
		return true
	}
	if e.cfg.Every == 0 {
		return false
	}
	newest := &e.held[0]
	age := now.Sub(newest.made)
	return newest.config.PublicName != e.cfg.PublicName || int(newest.config.LongestName) != min(e.cfg.Longest, 255) ||
		age >= e.cfg.Every || age <= -e.cfg.Every // made by a clock that was wrong
}

// renew makes a key. It is on disk before any client can learn of it, so that a crash
// leaves none with a configuration that nobody can read.
func (e *ECH) renew(now time.Time) error {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	var id [1]byte
	rand.Read(id[:])
	k := echKey{made: now.UTC(), secret: private.Bytes()}
	if len(e.held) > 0 {
		k.number = e.held[0].number + 1
	}
	if k.config, err = ech.New(id[0], private.PublicKey(), e.cfg.PublicName, e.cfg.Longest); err != nil {
		return fmt.Errorf("ECH: public name: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	pem.Encode(&text, &pem.Block{Type: blockKey, Bytes: pkcs8})
	pem.Encode(&text, &pem.Block{Type: blockECHC, Bytes: ech.List(k.config.Bytes())})
	if err := durable.CreateFile(e.path(k), text.Bytes(), 0o600); err != nil {
		return err
	}
	e.held = slices.Insert(e.held, 0, k)
	return e.forget()
}

// forget removes the keys that are no longer taken.
func (e *ECH) forget() error {
	for len(e.held) > 1+e.cfg.Old {
		last := len(e.held) - 1
		if err := durable.Remove(e.path(e.held[last])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		e.held = e.held[:last]
	}
	return nil
}

func (e *ECH) path(k echKey) string {
	return filepath.Join(e.cfg.Folder, fmt.Sprintf("%08d-%s.pem", k.number, k.made.Format(echTime)))
}

// publish puts the keys in force, of which there is one at least. The newest is what is told to clients, also to those
// that come with one that is not known any more.
func (e *ECH) publish() {
	p := &published{list: ech.List(e.held[0].config.Bytes())}
	for i, k := range e.held[:min(len(e.held), 1+e.cfg.Old)] {
		p.keys = append(p.keys, tls.EncryptedClientHelloKey{Config: k.config.Bytes(), PrivateKey: k.secret, SendAsRetry: i == 0})
	}
	e.current.Store(p)
}

// List is what clients are told in SVCB records.
func (e *ECH) List() []byte { return e.current.Load().list }

// keys are what a server decrypts with.
func (e *ECH) keys(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
	return e.current.Load().keys, nil
}

// Run makes new keys until ctx ends, and calls changed with each new list. Where a key cannot be
// written the ones in force stay.
func (e *ECH) Run(ctx context.Context, changed func(list []byte)) {
	look := time.NewTicker(lookECH)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			e.rotate(time.Now(), changed)
		}
	}
}

// rotate makes a new key where it is time, and takes keys that were put into the folder.
func (e *ECH) rotate(now time.Time, changed func(list []byte)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.held[0].number
	err := e.reread()
	if e.due(now) {
		err = errors.Join(err, e.renew(now))
	}
	if err != nil && now.Sub(e.alarm) >= AlarmEvery {
		e.alarmAt(now, err)
	}
	told := e.List()
	if e.publish(); !bytes.Equal(told, e.List()) {
		changed(e.List())
	}
	if e.held[0].number != before {
		e.cfg.Log.Info("ECH key in force", "file", e.path(e.held[0]), "taken in all", len(e.current.Load().keys))
	}
}

func (e *ECH) alarmAt(now time.Time, err error) {
	e.alarm = now
	e.cfg.Log.Error("ECH keys: those in force stay", "cause", err)
}

// reread takes the folder's keys where its files are others than those that were read. So machines
// behind one name can have the same keys. A folder without any, or with a damaged one, changes nothing.
func (e *ECH) reread() error {
	files, err := echFiles(e.cfg.Folder)
	if err != nil {
		return err
	}
	var known []string
	for _, k := range e.held {
		known = append(known, filepath.Base(e.path(k)))
	}
	slices.Sort(files)
	slices.Sort(known)
	if len(files) == 0 || slices.Equal(files, known) {
		return nil
	}
	held, err := readECH(e.cfg.Folder)
	if err == nil && len(held) > 0 {
		e.held = held
	}
	return err
}
