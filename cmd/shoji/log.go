package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/publish"
	"github.com/shoji-dns/shoji/internal/sequence"
)

// logCmd says what readers of the log need.
type logCmd struct {
	Key     logKeyCmd     `cmd:"" help:"Print the log's verifier key, which readers check its signatures with."`
	Publish logPublishCmd `cmd:"" help:"Ask the witnesses again, and bring into force what waits for them."`
}

type logKeyCmd struct {
	settings
}

func (c *logKeyCmd) Run(t terminal) error {
	conf, err := c.settings.load()
	if err != nil {
		return err
	}
	if logs := followings(conf); len(logs) > 0 {
		for _, f := range logs {
			if _, err := fmt.Fprintln(t.out, f.Key); err != nil {
				return err
			}
		}
		return nil
	}
	vkey, err := verifierKey(conf)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(t.out, vkey)
	return err
}

// verifierKey is the key of the log in the state folder. What only goes on with a log asks for
// it first: a folder that was mistyped must not get a log, and a key, of its own.
func verifierKey(conf config.Config) (string, error) {
	vkey, err := sequence.ReadVerifierKey(conf.State)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s: there is no log; shoji serve or shoji list import makes it, and its key", conf.State)
	}
	return vkey, err
}

// defaultLogListen is where the log is published unless the configuration says otherwise.
const defaultLogListen = "127.0.0.1:5380"

// openLog opens the sockets where the log is published. One that the configuration does not
// name may be taken already, by another resolver on this machine: then the log is read from
// its folder alone.
func (n *node) openLog() error {
	if following(n.conf) != nil {
		return nil
	}
	at, chosen := []string{defaultLogListen}, n.conf.Log.Listen != nil
	if chosen {
		at = nil
		for _, s := range *n.conf.Log.Listen {
			at = append(at, s.String())
		}
	}
	for _, a := range at {
		s, err := publish.Listen(publish.Config{Dir: sequence.Folder(n.conf.State), Lists: curate.Lists(n.conf.State), Listen: a, Logger: n.log})
		switch {
		case err == nil:
			n.published = append(n.published, s)
		case chosen:
			return fmt.Errorf("configuration: log.listen: %w", err)
		default:
			n.log.Warn("the log is not published; log.listen in the configuration names another address, or none", "cause", err)
		}
	}
	return nil
}

func (n *node) closeLog() {
	for _, s := range n.published {
		s.Close()
	}
}

// publish serves the log until ctx ends.
func (n *node) publish(ctx context.Context, g *errgroup.Group) {
	if len(n.published) == 0 {
		return
	}
	vkey, err := sequence.ReadVerifierKey(n.conf.State)
	if err != nil {
		n.log.Warn("the log is not published", "cause", err)
		n.closeLog()
		n.published = nil
		return
	}
	for _, s := range n.published {
		g.Go(func() error { return s.Serve(ctx, vkey) })
	}
	if list := n.live.Load(); n.epoch != nil && len(n.published) > 0 {
		root := n.epoch.Map
		g.Go(func() error {
			if err := curate.EnsureMap(n.conf.State, list, root, func() { time.Sleep(mapPause) }); err != nil {
				n.log.Warn("names cannot be looked up over HTTP until the list changes", "cause", err)
			}
			return nil
		})
	}
}

// mapPause is how long the processor is left to others after each page of the map's file that
// is checked: the shortest that makes the scheduler look at the network.
const mapPause = 100 * time.Microsecond

// logLine is what announce says of the published log.
func (n *node) logLine() string {
	if len(n.published) == 0 {
		return ""
	}
	var at []string
	for _, s := range n.published {
		at = append(at, s.URL())
	}
	return fmt.Sprintf("  log         %s\n", strings.Join(at, " "))
}
