// Package zonecopy keeps local copies of zones, such as the root (RFC 8806), and answers
// from them as an authoritative server of the zone would. A resolver then needs no server
// of the zone: nobody learns what is asked of it, and it works while they are away.
//
// # Where a copy comes from
//
// From a zone file, read again when it changes; or by AXFR (RFC 5936) from servers that
// allow it, kept as it came in a file of the state folder, and refreshed by the timers of
// the zone's SOA record. A copy that no server has confirmed for the SOA's expire time
// answers nothing. That is counted from the file's time of modification.
//
// # What is believed
//
// Transfers are not signed, so a copy is checked before it is used. A ZONEMD record (RFC
// 8976) has to fit the whole zone. Where there is a trust anchor for the zone, its keys
// have to verify by that, and the SOA and ZONEMD records, or the denial of the latter, by
// the keys. A copy that fails a check does not take the place of an older one. What is
// answered from a copy is validated by the resolver all the same.
//
// # Limits and known faults
//
// A zone of maxRecords records at most. No IXFR, NOTIFY, TSIG or transfer over TLS: the
// servers of the root have none of them for the public either. Of ZONEMD the scheme
// SIMPLE with SHA-384 or SHA-512; a zone with none of these is taken as one without. Trust
// anchors are those of the start: after a roll-over without a restart, transfers fail the
// check, the copy expires, and the zone's servers are asked. A name below a wildcard's delegation is answered as if it did not exist.
package zonecopy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/internal/zonefile"
)

// Config says what a copy is of and where it comes from.
type Config struct {
	Zone dns.Name

	// File is a zone file; From are servers to transfer from, and Folder is where the
	// transfer is kept. Either File, or From and Folder.
	File   string
	From   []netip.AddrPort
	Folder string

	// Anchors and Validation are those of the resolver.
	Anchors    []dnssec.Anchor
	Validation dnssec.Config

	Log *slog.Logger // nil: slog.Default()
}

// Times.
const (
	// filePoll is how often a zone file is looked at.
	filePoll = 10 * time.Second

	// minRefresh and maxRefresh bound the refresh and retry times of a SOA record, and
	// maxExpire its expire time; the root's are 30 and 15 minutes, and a week.
	minRefresh = time.Minute
	maxRefresh = 24 * time.Hour
	maxExpire  = 4 * 7 * 24 * time.Hour

	// firstRetry is how long the first transfer is waited for after it failed, doubled
	// with each failure up to the zone's retry time or maxRetry.
	firstRetry = 5 * time.Second
	maxRetry   = 15 * time.Minute
)

// Copy is a local copy of a zone. It is safe for concurrent use.
type Copy struct {
	conf    Config
	current atomic.Pointer[edition]
}

// edition is a copy as of a moment.
type edition struct {
	zone    *zone
	serial  uint32
	expires time.Time // zero: never
	read    time.Time // modification time of the file
}

// Open reads the zone file, or the transfer that an earlier run has kept. Without one the
// copy is empty until Run has made a transfer. A zone file has to be there and right.
func Open(c Config) (*Copy, error) {
	c.Zone = c.Zone.Canonical()
	if c.Log == nil {
		c.Log = slog.Default()
	}
	k := &Copy{conf: c}
	if c.File != "" {
		return k, k.readFile(time.Now())
	}
	if err := durable.MakeFolder(c.Folder, 0o755); err != nil {
		return nil, err
	}
	if err := k.readKept(time.Now()); err != nil && !errors.Is(err, os.ErrNotExist) {
		c.Log.Warn("a kept copy of a zone is of no use and will be transferred again", "zone", c.Zone, "cause", err)
	}
	return k, nil
}

// Current reports whether the copy answers.
func (k *Copy) Current(now time.Time) bool {
	e := k.current.Load()
	return e != nil && (e.expires.IsZero() || now.Before(e.expires))
}

// Reply answers a question as a server of the zone would; nil where the copy is empty or
// expired, or the name is not in the zone. The reply shares memory with the copy.
func (k *Copy) Reply(name dns.Name, t dns.Type, now time.Time) *dns.Message {
	if !k.Current(now) || !name.IsSubdomainOf(k.conf.Zone) {
		return nil
	}
	return k.current.Load().zone.reply(name.Canonical(), t)
}

// Run keeps the copy up to date until ctx ends.
func (k *Copy) Run(ctx context.Context) {
	var failures int
	for {
		pause := filePoll
		if k.conf.File != "" {
			k.pollFile()
		} else {
			pause, failures = k.refresh(ctx, failures)
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// pollFile reads the zone file where it has changed.
func (k *Copy) pollFile() {
	info, err := os.Stat(k.conf.File)
	if e := k.current.Load(); err == nil && e != nil && info.ModTime().Equal(e.read) {
		return
	}
	if err := k.readFile(time.Now()); err != nil {
		k.conf.Log.Error("the copy of a zone stays as it is", "zone", k.conf.Zone, "cause", err)
	}
}

func (k *Copy) readFile(now time.Time) error {
	f, err := os.Open(k.conf.File)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var records []dns.RR
	for rr, err := range zonefile.Records(io.LimitReader(f, maxTransfer), k.conf.Zone) {
		if err != nil {
			return fmt.Errorf("%s: %w", k.conf.File, err)
		}
		if records = append(records, rr); len(records) > maxRecords {
			return fmt.Errorf("%s: more than %d records", k.conf.File, maxRecords)
		}
	}
	e, err := k.check(records, now)
	if err != nil {
		return fmt.Errorf("%s: %w", k.conf.File, err)
	}
	e.read = info.ModTime()
	k.current.Store(e)
	return nil
}

// kept is the file that holds the last transfer, octet for octet.
func (k *Copy) kept() string {
	return filepath.Join(k.conf.Folder, fmt.Sprintf("%x.axfr", string(k.conf.Zone)))
}

func (k *Copy) readKept(now time.Time) error {
	f, err := os.Open(k.kept())
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	records, err := readTransfer(io.LimitReader(f, maxTransfer), k.conf.Zone)
	if err != nil {
		return err
	}
	e, err := k.check(records, now)
	if err != nil {
		return err
	}
	e.expires = info.ModTime().Add(e.zone.timer(soaExpire, minRefresh, maxExpire))
	k.current.Store(e)
	return nil
}

// refresh asks the servers in turn whether the zone has changed, and transfers it where
// it has or there is none. It returns how long to wait before the next time.
func (k *Copy) refresh(ctx context.Context, failures int) (pause time.Duration, failed int) {
	have := k.current.Load()
	var errs []error
	for _, i := range rand.Perm(len(k.conf.From)) {
		err := k.refreshFrom(ctx, k.conf.From[i], have)
		if err == nil {
			return k.current.Load().zone.timer(soaRefresh, minRefresh, maxRefresh), 0
		}
		errs = append(errs, fmt.Errorf("%s: %w", k.conf.From[i], err))
	}
	if ctx.Err() == nil {
		k.conf.Log.Warn("a zone cannot be transferred", "zone", k.conf.Zone, "cause", errors.Join(errs...))
	}
	pause = maxRetry
	if have != nil {
		pause = have.zone.timer(soaRetry, minRefresh, maxRetry)
	}
	return min(firstRetry<<min(failures, 16), pause), failures + 1
}

func (k *Copy) refreshFrom(ctx context.Context, from netip.AddrPort, have *edition) error {
	ctx, cancel := context.WithTimeout(ctx, transferTime)
	defer cancel()
	if have != nil && k.Current(time.Now()) {
		serial, err := askSerial(ctx, from, k.conf.Zone)
		if err != nil {
			return err
		}
		if int32(serial-have.serial) <= 0 { // RFC 1982 §3.2
			return k.confirm(have)
		}
	}
	var stream bytes.Buffer
	records, err := transfer(ctx, from, k.conf.Zone, &stream)
	if err != nil {
		return err
	}
	now := time.Now()
	e, err := k.check(records, now)
	if err != nil {
		return err
	}
	if have != nil && k.Current(now) && int32(e.serial-have.serial) < 0 {
		return fmt.Errorf("the transfer has serial %d, older than %d", e.serial, have.serial)
	}
	if err := durable.WriteFile(k.kept(), stream.Bytes(), 0o644); err != nil {
		return err
	}
	e.expires = now.Add(e.zone.timer(soaExpire, minRefresh, maxExpire))
	k.current.Store(e)
	k.conf.Log.Info("zone transferred", "zone", k.conf.Zone, "serial", e.serial, "records", len(records), "from", from)
	return nil
}

// confirm notes that a server has no newer edition.
func (k *Copy) confirm(e *edition) error {
	now := time.Now()
	next := *e
	next.expires = now.Add(e.zone.timer(soaExpire, minRefresh, maxExpire))
	k.current.Store(&next)
	return os.Chtimes(k.kept(), now, now)
}
