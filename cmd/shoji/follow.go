package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/citation"
	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/follow"
	"github.com/shoji-dns/shoji/ledger"
)

// Every log that can be followed has a place in the list that they add up to.
const _ = uint(filter.MaxJoined - config.MaxFollow)

// errSeveral is the answer to what is about one log where several are followed.
var errSeveral = usageError{errors.New("this configuration follows several logs, and this is about one: give one that follows that log alone, with the same state folder (--config)")}

// following is the first configured log of another operator; nil where none is.
func following(conf config.Config) *config.Follow {
	if len(conf.Follow) == 0 {
		return nil
	}
	return &followings(conf)[0]
}

// followings are all of them. What is remembered of one is found by its key, in the one way of
// writing it.
func followings(conf config.Config) []config.Follow {
	out := slices.Clone(conf.Follow)
	for i := range out {
		if key, _, err := ledger.VerifierKey(out[i].Key); err == nil {
			out[i].Key = key
		}
	}
	return out
}

// origins are the names by which answers and metrics tell the logs that are followed; one of "" where
// the log is one's own, which may have to be made first.
func origins(conf config.Config) []string {
	if len(conf.Follow) == 0 {
		return []string{""}
	}
	var keys []string
	for _, f := range followings(conf) {
		keys = append(keys, f.Key)
	}
	return citation.Names(keys...)
}

// ownLog refuses what changes a log where another one is followed.
func ownLog(conf config.Config) error {
	if f := following(conf); f != nil {
		return fmt.Errorf("what is listed here says the log at %s, which this configuration follows: only its operator can change it", f.Log)
	}
	return nil
}

// followable holds that logs that are to be followed are some.
func followable(conf config.Config) error {
	names, told := map[string]int{}, origins(conf)
	for i, f := range followings(conf) {
		at := fmt.Sprintf("follow[%d]", i)
		if _, err := note.NewVerifier(f.Key); err != nil {
			return fmt.Errorf("configuration: %s.key: %q is no verifier key: %w", at, f.Key, err)
		}
		name := told[i]
		if first, known := names[name]; known {
			return fmt.Errorf("configuration: %s.key: follow[%d] has the same key: leave one of them out", at, first)
		}
		if names[name] = i; len(name) > citation.MaxLog && len(conf.Follow) > 1 {
			return fmt.Errorf("configuration: %s.key: the log's name is longer than %d octets, which answers cannot tell: follow it alone", at, citation.MaxLog)
		}
		p, err := readWitnessPolicy(at+".witnesses", f.Witnesses)
		if err != nil {
			return err
		}
		if err := ownWitness("configuration: "+at+".witnesses", p, f.Key); err != nil {
			return err
		}
		if !strings.Contains(f.Log, "://") {
			continue
		}
		if _, err := ledger.OpenRemote(f.Log, nil); err != nil {
			return fmt.Errorf("configuration: %s.log: %w", at, err)
		}
	}
	return nil
}

// followed is a log that another operator keeps.
type followed struct {
	*follow.Follower
	conf   config.Follow
	name   string // as it is told, of origins
	dir    string
	source ledger.Source
	key    note.Verifier
	done   func() error
}

// openFollowed opens log i of those that are followed. Nobody is asked yet. dial connects to a host; nil
// uses the system's resolver. open is follow.Open or follow.Read.
func openFollowed(conf config.Config, i int, dial dialer, log *slog.Logger, open func(follow.Config) (*follow.Follower, error)) (*followed, error) {
	if err := followable(conf); err != nil {
		return nil, err
	}
	c := follow.Config{Logger: log}
	f := &followed{conf: followings(conf)[i], name: origins(conf)[i], done: func() error { return nil }}
	f.dir = follow.Folder(conf.State, f.conf.Key)
	var err error
	if c.Witnesses, err = readWitnessPolicy(fmt.Sprintf("follow[%d].witnesses", i), f.conf.Witnesses); err != nil {
		return nil, err
	}
	if f.key, err = note.NewVerifier(f.conf.Key); err != nil {
		return nil, err
	}
	if strings.Contains(f.conf.Log, "://") {
		web, err := follow.OpenWeb(f.conf.Log, dial, "shoji/"+version())
		if err != nil {
			return nil, err
		}
		c.Lists, f.source = web, web
	} else {
		folder, err := ledger.OpenFolder(f.conf.Log)
		if err != nil {
			return nil, fmt.Errorf("configuration: follow[%d].log: %w", i, err)
		}
		f.source, f.done = folder, folder.Close
	}
	c.Dir, c.Log, c.Key, c.VKey, c.Every = f.dir, f.source, f.key, f.conf.Key, time.Duration(f.conf.Every)
	f.Follower, err = open(c)
	return f, err
}

// line is what announce says of it.
func (f *followed) line() string {
	at := fmt.Sprintf("  follows     %s\n", f.conf.Log)
	list, epoch := f.List()
	if list == nil {
		return at + "  list        none yet: names are answered once the log was read\n"
	}
	return at + listLine(epoch)
}

func listLine(e ledger.Epoch) string {
	return fmt.Sprintf("  list        epoch %d of %s: %d listings, in force by log entry %d\n", e.Size, e.Time.Format("2006-01-02 15:04 MST"), e.Count, e.Entry)
}

// walk reads the log as far as it was accepted.
func (f *followed) walk(ctx context.Context, first, next uint64, each func(uint64, *ledger.Entry) error) error {
	return follow.Walk(ctx, f.source, f.dir, f.key, first, next, each)
}

// inForceList is the list in force and where it stands, from the folder alone.
type inForceList struct {
	list    *filter.List
	epoch   ledger.Epoch
	origin  string
	key     string // of a log that is followed
	logSize uint64
	forks   int
	damaged int
}

// readList reads the list in force, of the log of one's own or of log i of those that are followed.
func readList(ctx context.Context, conf config.Config, i int) (*inForceList, error) {
	if following(conf) != nil {
		return readFollowed(conf, i)
	}
	f, list, e, err := ownList(ctx, conf)
	if errors.Is(err, curate.ErrNoList) {
		return nil, fmt.Errorf("%s: %w; shoji serve or shoji list import makes the first one", conf.State, err)
	}
	if err != nil {
		return nil, err
	}
	return &inForceList{list: list, epoch: epochOf(e, f.Entry()), origin: f.Origin(), logSize: f.LogSize()}, nil
}

func readFollowed(conf config.Config, i int) (*inForceList, error) {
	of := followings(conf)[i]
	if _, err := os.Stat(follow.Folder(conf.State, of.Key)); err != nil {
		return nil, fmt.Errorf("%s: the log at %s was not followed yet; shoji serve does", conf.State, of.Log)
	}
	f, err := openFollowed(conf, i, nil, nil, follow.Read)
	if err != nil {
		return nil, err
	}
	defer f.done()
	list, epoch := f.List()
	if list == nil {
		return nil, fmt.Errorf("%s: no list of %s is in force yet", conf.State, of.Log)
	}
	s := f.Status()
	return &inForceList{list: list, epoch: epoch, origin: f.Origin(), key: of.Key, logSize: s.Size, forks: s.Forks, damaged: s.Damaged}, nil
}
