package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/internal/witness"
	"github.com/shoji-dns/shoji/ledger"
)

// logConfig is how the configuration has the log kept.
func logConfig(conf config.Config) (sequence.Config, error) {
	c := sequence.Config{Database: conf.Log.Database, WithoutWitnesses: conf.Log.Uncosigned == "publish"}
	if c.Database != "" {
		if _, err := sequence.ParseDatabase(c.Database); err != nil {
			return c, fmt.Errorf("configuration: log.database: %w", err)
		}
	}
	policy, err := witnessPolicy(conf)
	if err != nil || policy == nil {
		return c, err
	}
	client, err := witness.New(witness.Config{Policy: policy, Timeout: time.Duration(conf.Log.Patience)})
	if err != nil {
		return c, fmt.Errorf("configuration: log.witnesses: %w", err)
	}
	c.Witnesses = client
	return c, nil
}

// witnessPolicy is the policy for the log of one's own; nil if there is none.
func witnessPolicy(conf config.Config) (*ledger.WitnessPolicy, error) {
	return readWitnessPolicy("log.witnesses", conf.Log.Witnesses)
}

// readWitnessPolicy reads the policy that is the value of a key; nil if it is empty. A value
// without a line feed is the path of a file.
func readWitnessPolicy(key, text string) (*ledger.WitnessPolicy, error) {
	if text == "" {
		return nil, nil
	}
	if !strings.Contains(text, "\n") {
		f, err := os.Open(text)
		if err != nil {
			return nil, fmt.Errorf("configuration: %s: %w; a policy in the configuration itself has several lines", key, err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, ledger.MaxWitnessPolicy+1))
		if err != nil {
			return nil, fmt.Errorf("configuration: %s: %w", key, err)
		}
		text = string(b)
	}
	p, err := ledger.ParseWitnessPolicy([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("configuration: %s: %w", key, err)
	}
	return p, nil
}

type logPublishCmd struct {
	settings
}

func (c *logPublishCmd) Run(ctx context.Context, t terminal) error {
	p := newProgress(t.err)
	defer p.clear()
	w, done, err := c.settings.writerOfOld(ctx, p)
	if err != nil {
		return err
	}
	defer done()
	epoch, err := w.Publish(ctx)
	p.clear()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.out, "in force: log entry %d, %d listings, digest %s\n", epoch.Entry, epoch.Count, epoch.Digest)
	if why := w.Uncosigned(); why != nil {
		return why
	}
	return err
}

// witnessPoll is how often a running resolver asks the witnesses again for what waits for them.
const witnessPoll = 30 * time.Second

// cosign has what waits for witnesses cosigned, again and again until ctx ends.
func (n *node) cosign(ctx context.Context) {
	if n.conf.Log.Witnesses == "" || following(n.conf) != nil {
		return
	}
	tick := time.NewTicker(witnessPoll)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !sequence.Waiting(n.conf.State) {
			continue
		}
		err := n.askAgain(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			told = ""
			n.log.Info("the witnesses have cosigned; the log is published whole")
		case err.Error() != told:
			told = err.Error()
			n.log.Error("the log waits for witnesses", "cause", err)
		}
	}
}

func (n *node) askAgain(ctx context.Context) error {
	w, done, err := openWriter(ctx, n.conf, nil, n.log)
	if err != nil {
		return err
	}
	defer done()
	_, err = w.Publish(ctx)
	return errors.Join(err, w.Uncosigned())
}
