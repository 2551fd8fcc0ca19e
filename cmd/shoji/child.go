package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/config"
)

// A sinkhole that serve runs: a process of its own, so that nothing that is done to it is done to
// the resolver. It ends when the resolver does, since then its standard input does.
type child struct {
	args []string
	at   string // for people
	log  *slog.Logger
}

// How long is waited before a sinkhole that ended is started again: twice as long each time, until
// one has lasted for steady.
const (
	firstRestart = time.Second
	lastRestart  = time.Minute
	steady       = 10 * time.Minute
	childEnd     = 5 * time.Second // for what it has to write when it is told to end
)

// newChild is the configured sinkhole; nil where there is to be none.
func newChild(conf config.Config, desk string, log *slog.Logger) (*child, error) {
	r := conf.Sinkhole.Run
	if len(r.Listen)+len(r.UDP) == 0 {
		return nil, nil
	}
	dir, err := filepath.Abs(captures(conf)) // it begins in another folder
	if err != nil {
		return nil, err
	}
	c := &child{log: log, args: []string{"sinkhole", "run", "--beside", "--dir", dir, fmt.Sprintf("--disk=%d", r.Disk), fmt.Sprint("--retain=", time.Duration(r.Retain))}}
	var at []string
	for _, a := range r.Listen {
		c.args = append(c.args, "--listen="+a.String())
		at = append(at, a.String())
	}
	for _, a := range r.UDP {
		c.args = append(c.args, "--udp="+a.String())
		at = append(at, a.String()+" (UDP)")
	}
	if _, err := parseIdentity(r.User); err != nil {
		return nil, fmt.Errorf("configuration: sinkhole.run.user: %w", err)
	}
	if r.User != "" {
		c.args = append(c.args, "--user="+r.User)
	}
	if desk != "" {
		c.args = append(c.args, "--desk="+desk)
	}
	if r.Networks != "" {
		c.args = append(c.args, "--keep-networks")
	}
	c.at = strings.Join(at, " ")
	return c, nil
}

// captures is where the configured sinkhole keeps what it captures.
func captures(conf config.Config) string {
	if dir := conf.Sinkhole.Run.Dir; dir != "" {
		return dir
	}
	return filepath.Join(conf.State, "captures")
}

// run keeps the sinkhole running until ctx ends. What goes wrong with it is logged: it is no
// reason for the resolver to end.
func (c *child) run(ctx context.Context) {
	if c == nil {
		return
	}
	for wait := firstRestart; ; {
		start := time.Now()
		err := c.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) >= steady {
			wait = firstRestart
		}
		c.log.Error("the sinkhole ended, and is started again", "cause", err, "after", wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRestart)
	}
}

// once runs the sinkhole until it ends.
func (c *child) once(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, c.args...)
	cmd.Dir, cmd.Env = string(filepath.Separator), []string{} // it needs neither
	if _, err := cmd.StdinPipe(); err != nil {                // which closes when this process ends, however it does
		return err
	}
	said, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, childEnd
	if err := cmd.Start(); err != nil {
		return err
	}
	last := c.listen(said)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, last)
	}
	return errors.New("it was told to end")
}

// maxSaid is how much of a line that the sinkhole logs is repeated, in octets.
const maxSaid = 4096

// listen repeats what the sinkhole logs, and returns its last line.
func (c *child) listen(said io.Reader) (last string) {
	lines := bufio.NewReaderSize(said, maxSaid)
	for {
		line, _, err := lines.ReadLine()
		if err != nil {
			return last
		}
		last = string(line)
		c.log.Info("sinkhole", "says", last)
	}
}

// line is what announce says of it.
func (c *child) line() string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf("  sinkhole    %s, a process of its own\n", c.at)
}
