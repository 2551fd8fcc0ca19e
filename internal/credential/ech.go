package credential

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
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
	// maxECHFiles is how many of the newest files are looked at for keys, where there are others among them.
	maxECHFiles = 64
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
	file   string // its name
	number uint64
	made   time.Time
	config ech.Config
	secret []byte
}

// echFile is how key files are called: by a number, by which they are ordered, and the time at which
// the key was made.
var echFile = regexp.MustCompile(`^([0-9]{8,18})-([0-9]{8}T[0-9]{6}Z)\.pem$`)

const echTime = "20060102T150405Z"

// OpenECH reads the keys, and makes one where none is there, the newest is too old or has another
// public name. Files that are no keys, or damaged ones, are told of by their names, and left alone. Where a new key
// cannot be written and there are older ones, those are in force.
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
	var faults, err error
	if e.held, faults, err = readECH(cfg.Folder, 1+cfg.Old); err != nil {
		return nil, err
	}
	if faults != nil {
		e.alarmAt(time.Now(), faults)
	}
	if names, err := others(cfg.Folder); err != nil {
		return nil, err
	} else if len(names) > 0 {
		cfg.Log.Warn("files that are no ECH keys by their names are left alone", "folder", cfg.Folder, "files", strings.Join(names, ", "))
	}
	if err := e.begin(time.Now()); err != nil {
		return nil, err
	}
	return e, nil
}

// begin puts the keys in force, with a new one where it is time. As while the server runs, a full disk
// is no reason to answer nobody.
func (e *ECH) begin(now time.Time) error {
	var err error
	if e.due(now) {
		err = e.renew(now)
		if unwritten := (*durable.Error)(nil); err != nil && (len(e.held) == 0 || !errors.As(err, &unwritten)) {
			return err
		}
	}
	if err == nil {
		err = e.forget()
	}
	if err != nil {
		e.alarmAt(now, err)
	}
	e.publish()
	return nil
}

// PublishedECH is the list of configurations that a server with this folder tells; nil where it
// has not made a key yet.
func PublishedECH(folder string) ([]byte, error) {
	held, faults, err := readECH(folder, 1)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(held) == 0 && faults == nil {
		return nil, nil
	}
	if err != nil || len(held) == 0 {
		return nil, errors.Join(faults, err)
	}
	return ech.List(held[0].config.Bytes()), nil
}

// named is the key of a file as its name tells of it; false where that is no key's.
func named(file string) (echKey, bool) {
	m := echFile.FindStringSubmatch(file)
	if m == nil {
		return echKey{}, false
	}
	number, _ := strconv.ParseUint(m[1], 10, 64) // which 18 digits fit into
	made, err := time.Parse(echTime, m[2])
	return echKey{file: file, number: number, made: made}, err == nil
}

// echFiles are a folder's key files, as their names tell of them, the newest first.
func echFiles(folder string) (out []echKey, err error) {
	files, err := os.ReadDir(folder)
	for _, f := range files {
		if k, ok := named(f.Name()); ok {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b echKey) int { return -cmp.Or(cmp.Compare(a.number, b.number), a.made.Compare(b.made)) })
	return out, err
}

// others are the names of the first files in a folder that are not called as keys are.
func others(folder string) (names []string, err error) {
	files, err := os.ReadDir(folder)
	for _, f := range files {
		if _, ok := named(f.Name()); !ok && len(names) < maxECHFiles {
			names = append(names, f.Name())
		}
	}
	return names, err
}

// readECH reads the newest keys of a folder, the newest first, and no more than most. faults are the files that are
// called as keys are and cannot be used.
func readECH(folder string, most int) (held []echKey, faults, err error) {
	files, err := echFiles(folder)
	for _, k := range files[:min(len(files), maxECHFiles)] {
		if len(held) == most {
			break
		}
		if err := k.read(folder); err != nil {
			faults = errors.Join(faults, err)
			continue
		}
		held = append(held, k)
	}
	return held, faults, err
}

// read reads the key from its file.
func (k *echKey) read(folder string) error {
	path := filepath.Join(folder, k.file)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxECHFile+1))
	if err == nil {
		k.config, k.secret, err = parseECH(text)
	}
	if err != nil {
		return fmt.Errorf("ECH key %s: %w. Remove the file; clients that have its configuration are told the newest one", path, err)
	}
	return nil
}

// parseECH reads a key file: a private key in PKCS #8, and a list of the configuration that is
// its own (RFC 9934 §3).
func parseECH(text []byte) (config ech.Config, secret []byte, err error) {
	if len(text) > maxECHFile {
		return config, nil, fmt.Errorf("%d octets are more than %d", len(text), maxECHFile)
	}
	first, rest := pem.Decode(text)
	if first == nil || first.Type != blockKey {
		return config, nil, errors.New("it does not begin with a private key in PEM")
	}
	second, _ := pem.Decode(rest)
	if second == nil || second.Type != blockECHC {
		return config, nil, errors.New("no ECHCONFIG in PEM stands behind the private key")
	}
	private, err := x509.ParsePKCS8PrivateKey(first.Bytes)
	if err != nil {
		return config, nil, err
	}
	key, ok := private.(*ecdh.PrivateKey)
	if !ok || key.Curve() != ecdh.X25519() {
		return config, nil, errors.New("its private key is not of X25519")
	}
	all, err := ech.Usable(second.Bytes)
	if err != nil {
		return config, nil, err
	}
	if len(all) != 1 || !bytes.Equal(all[0].PublicKey, key.PublicKey().Bytes()) {
		return config, nil, errors.New("its configuration is not that of its private key")
	}
	return all[0], key.Bytes(), nil
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
	files, err := echFiles(e.cfg.Folder)
	if err != nil && len(e.held) == 0 {
		return err
	}
	k := echKey{made: now.UTC(), secret: private.Bytes()}
	for _, other := range slices.Concat(files, e.held) { // also one that cannot be used
		k.number = max(k.number, other.number+1)
	}
	k.file = fmt.Sprintf("%08d-%s.pem", k.number, k.made.Format(echTime))
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
	e.held = e.held[:min(len(e.held), 1+e.cfg.Old)]
	return nil
}

// forget removes the keys that are no longer taken: those before the oldest that is, if all come from here. What is no
// key is left alone.
func (e *ECH) forget() error {
	if e.cfg.Every == 0 || len(e.held) <= e.cfg.Old {
		return nil
	}
	files, err := echFiles(e.cfg.Folder)
	oldest := slices.IndexFunc(files, func(k echKey) bool { return k.file == e.held[e.cfg.Old].file })
	for _, k := range files[oldest+1:] {
		if oldest >= 0 && k.read(e.cfg.Folder) == nil {
			err = errors.Join(err, durable.Remove(e.path(k)))
		}
	}
	return err
}

func (e *ECH) path(k echKey) string { return filepath.Join(e.cfg.Folder, k.file) }

// publish puts the keys in force, of which there is one at least. The newest is what is told to clients, also to those
// that come with one that is not known any more.
func (e *ECH) publish() {
	p := &published{list: ech.List(e.held[0].config.Bytes())}
	for i, k := range e.held {
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
	before := e.held[0].file
	err := e.reread()
	if e.due(now) {
		failed := e.renew(now)
		if failed == nil {
			failed = e.forget()
		}
		err = errors.Join(err, failed)
	}
	if err != nil && now.Sub(e.alarm) >= AlarmEvery {
		e.alarmAt(now, err)
	}
	told := e.List()
	if e.publish(); !bytes.Equal(told, e.List()) {
		changed(e.List())
	}
	if e.held[0].file != before {
		e.cfg.Log.Info("ECH key in force", "file", e.path(e.held[0]), "taken in all", len(e.current.Load().keys))
	}
}

func (e *ECH) alarmAt(now time.Time, err error) {
	e.alarm = now
	e.cfg.Log.Error("ECH keys: not all is as it should be; those that can be used are in force", "cause", err)
}

// reread takes the folder's keys where its files are others than those that were read. So machines
// behind one name can have the same keys. A folder without any changes nothing, nor does a damaged file.
func (e *ECH) reread() error {
	files, err := echFiles(e.cfg.Folder)
	if err != nil || slices.EqualFunc(files, e.held, func(a, b echKey) bool { return a.file == b.file }) {
		return err
	}
	held, faults, err := readECH(e.cfg.Folder, 1+e.cfg.Old)
	if err == nil && len(held) > 0 {
		e.held = held
	}
	return errors.Join(faults, err)
}
