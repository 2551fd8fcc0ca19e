package main

import (
	"context"
	"log/slog"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// curation is what a configuration says about how it is decided what is filtered.
type curation struct {
	conf    config.Config
	guard   curate.Guard
	policy  *policy.Policy
	sources []curate.Source
	log     sequence.Config
}

func curationOf(conf config.Config) (c curation, err error) {
	c.conf = conf
	if c.guard, err = guard(conf); err != nil {
		return c, err
	}
	if c.policy, err = inForce(conf); err != nil {
		return c, err
	}
	if c.sources, err = sources(conf); err != nil {
		return c, err
	}
	c.log, err = logConfig(conf)
	return c, err
}

// write opens the list for changes; without a store, nothing is known beside the log.
func (c curation) write(ctx context.Context, known *evidence.Store, progress func(string, uint64, uint64), log *slog.Logger) (*curate.Writer, error) {
	if err := ownLog(c.conf); err != nil {
		return nil, err
	}
	return curate.Open(ctx, curate.Config{
		Dir: c.conf.State, Log: c.log, Guard: c.guard, Policy: c.policy, Sources: c.sources, Evidence: known, Progress: progress, Logger: log,
	})
}

// ownList reads the list in force of a state folder. The first list may be one whose file is
// still to be summed: see curate.Follower.Poll.
func ownList(ctx context.Context, conf config.Config) (*curate.Follower, *filter.List, *ledger.Entry, error) {
	f, err := curate.Follow(conf.State)
	if err != nil {
		return nil, nil, nil, err
	}
	list, epoch, err := f.Poll(ctx)
	return f, list, epoch, err
}
