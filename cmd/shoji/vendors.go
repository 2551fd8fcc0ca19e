package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/rpz"
)

// fetcher reads sources, wherever they are: over HTTPS, from files, and policy zones by transfer.
type fetcher struct {
	lists *feed.Fetcher
	keys  map[string]*rpz.Key

	mu      sync.Mutex
	vendors map[string]*vendor // by location
}

// vendor is a policy zone that is followed. What it holds lasts as long as the process: after a
// start the whole zone is transferred, and then differences.
type vendor struct {
	mu sync.Mutex
	*rpz.Vendor
}

func newFetcher(conf config.Config, dial dialer) (*fetcher, error) {
	keys, err := transferKeys(conf.Transfer)
	if err != nil {
		return nil, err
	}
	return &fetcher{lists: feed.NewFetcher(dial, "shoji/"+version()), keys: keys, vendors: map[string]*vendor{}}, nil
}

// fetch is a curate.Fetch. A transferred zone's ETag is its serial number.
func (f *fetcher) fetch(ctx context.Context, location string, have feed.Validators, out *os.File) (feed.Validators, bool, error) {
	if !feed.IsTransfer(location) {
		return f.lists.Fetch(ctx, location, have, out)
	}
	v, err := f.vendor(location)
	if err != nil {
		return have, false, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, err := v.Refresh(ctx); err != nil {
		return have, false, err
	}
	serial, _ := v.Serial()
	now := feed.Validators{ETag: strconv.FormatUint(uint64(serial), 10), LastModified: time.Now().UTC().Format(http.TimeFormat)}
	if now.ETag == have.ETag {
		return have, true, nil
	}
	_, err = v.WriteTo(out)
	return now, false, err
}

// vendor is the one for a location.
func (f *fetcher) vendor(location string) (*vendor, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v := f.vendors[location]; v != nil {
		return v, nil
	}
	t, err := feed.ParseTransfer(location)
	if err != nil {
		return nil, err
	}
	c := rpz.VendorConfig{Zone: t.Zone, From: t.From, Key: f.keys[t.Key]}
	if t.Key != "" && c.Key == nil {
		return nil, unknownKey(t.Key)
	}
	z, err := rpz.NewVendor(c)
	if err != nil {
		return nil, err
	}
	v := &vendor{Vendor: z}
	f.vendors[location] = v
	return v, nil
}

func unknownKey(name string) error {
	return fmt.Errorf("location: transfer.keys has no key %q", name)
}

// checkKeys holds that each zone to transfer names a key that is there.
func checkKeys(conf config.Config) error {
	names := map[string]bool{"": true}
	for _, k := range conf.Transfer.Keys {
		names[k.Name] = true
	}
	for i, s := range conf.Sources {
		if !feed.IsTransfer(s.Location) {
			continue
		}
		if t, err := feed.ParseTransfer(s.Location); err == nil && !names[t.Key] {
			return fmt.Errorf("configuration: sources: source %d (%s): %w", i+1, s.ID, unknownKey(t.Key))
		}
	}
	return nil
}
