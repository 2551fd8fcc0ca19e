//go:build unix

// Command sinkhole loads a running sinkhole and says what it stood: connections made and
// closed a second, how long a new one waits while others idle, and what junk does to
// its memory. It is for loopback, where each connection comes from an address of its own
// choosing in 127.0.0.0/8.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// patience is how long any one step may take: more is a failure of the sinkhole's.
const patience = 20 * time.Second

// load is what is done to a sinkhole.
type load struct {
	to      string // address and port
	udp     string // likewise, for datagrams
	other   string // another address of the sinkhole's, which is to answer while this one gets junk; "": none is watched
	workers int
	length  time.Duration
	idle    int
	process int  // the sinkhole's, to read its memory and time from /proc
	silent  bool // say nothing when connected, as to a port that closes at once
}

func main() {
	var l load
	flag.StringVar(&l.to, "to", "127.0.0.1:80", "where the sinkhole accepts")
	flag.StringVar(&l.udp, "udp", "", "where it takes datagrams")
	flag.StringVar(&l.other, "other", "", "another address where it accepts, watched while there is junk")
	flag.IntVar(&l.workers, "workers", 32, "connections at a time")
	flag.DurationVar(&l.length, "length", 5*time.Second, "how long each part lasts")
	flag.IntVar(&l.idle, "idle", 10000, "idle connections")
	flag.IntVar(&l.process, "process", 0, "the sinkhole's process number")
	flag.BoolVar(&l.silent, "silent", false, "send nothing in the part rate, as befits a port that closes at once")
	parts := flag.String("parts", "rate,idle,junk", "what is done")
	flag.Parse()
	for _, part := range []struct {
		name string
		run  func() error
	}{{"rate", l.rate}, {"idle", l.wait}, {"junk", l.junk}} {
		if !slices.Contains(strings.Split(*parts, ","), part.name) {
			continue
		}
		if err := part.run(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", part.name, err)
			os.Exit(1)
		}
	}
}

// dial connects from some address of loopback, so that sources differ.
func (l *load) dial() (*net.TCPConn, error) { return dial(l.to) }

func dial(to string) (*net.TCPConn, error) {
	from := &net.TCPAddr{IP: net.IPv4(127, byte(1+rand.IntN(200)), byte(rand.IntN(250)), byte(1+rand.IntN(250)))}
	d := net.Dialer{LocalAddr: from, Timeout: patience, KeepAlive: -1}
	c, err := d.Dial("tcp4", to)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn), nil
}

// watch asks the other address again and again until done is closed, and returns how long each answer took.
func (l *load) watch(done <-chan struct{}) (took []time.Duration, failed int) {
	for l.other != "" {
		select {
		case <-done:
			slices.Sort(took)
			return took, failed
		default:
		}
		start := time.Now()
		if err := askAt(l.other); err != nil {
			failed++
			continue
		}
		took = append(took, time.Since(start))
	}
	return nil, 0
}

// ask makes a connection, says something, and reads until the sinkhole closes.
func (l *load) ask() error { return askAt(l.to) }

func askAt(to string) error {
	c, err := dial(to)
	if err != nil {
		return err
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: c2.example\r\n\r\n") // which a port that closes does not take
	_, err = io.Copy(io.Discard, c)
	if errors.Is(err, syscall.ECONNRESET) { // as a port does that closes without reading
		return nil
	}
	return err
}

// during does something with all workers at once for as long as a part lasts, and
// returns how often it worked and how often not.
func (l *load) during(do func() error) (good, bad int64) {
	var g, b atomic.Int64
	var all sync.WaitGroup
	until := time.Now().Add(l.length)
	for range l.workers {
		all.Go(func() {
			for time.Now().Before(until) {
				if do() == nil {
					g.Add(1)
				} else {
					b.Add(1)
				}
			}
		})
	}
	all.Wait()
	return g.Load(), b.Load()
}

// rate is how many connections are made, answered and closed. Where the generator used a whole
// processor and the sinkhole did not, the figure is the generator's.
func (l *load) rate() error {
	before, own := l.cpu(), ownCPU()
	start := time.Now()
	good, err := l.flood()
	if err != nil {
		return err
	}
	lasted := time.Since(start).Seconds()
	used, generator := (l.cpu() - before).Seconds(), (ownCPU() - own).Seconds()
	if good == 0 {
		return errors.New("no connection was answered")
	}
	fmt.Printf("rate  %.0f connections/s answered and closed; the sinkhole used %.2f processors: %.1f µs each, %.0f/s on one; the generator used %.2f\n",
		float64(good)/lasted, used/lasted, used/float64(good)*1e6, float64(good)/used, generator/lasted)
	l.memory()
	return nil
}

// ownCPU is the time that this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// wait is how long a new connection takes while others idle.
func (l *load) wait() error {
	idle := make([]*net.TCPConn, 0, l.idle)
	defer func() {
		for _, c := range idle {
			c.Close()
		}
	}()
	start := time.Now()
	for range l.idle {
		c, err := l.dial()
		if err != nil {
			return err
		}
		idle = append(idle, c)
	}
	opened := time.Since(start)
	if err := l.ask(); err != nil { // behind all of them in the system's queue
		return err
	}
	first := time.Since(start) - opened
	var took []time.Duration
	for range 200 {
		t := time.Now()
		if err := l.ask(); err != nil {
			return err
		}
		took = append(took, time.Since(t))
	}
	slices.Sort(took)
	fmt.Printf("idle  %d connections opened in %v, the one right after them answered in %v, then a new one in %v (median), %v (99 of 100), %v (worst of %d)\n",
		len(idle), opened.Round(time.Millisecond), first.Round(time.Millisecond), took[len(took)/2], took[len(took)*99/100], took[len(took)-1], len(took))
	l.memory()
	return nil
}

// junk is octets of no protocol, as much as goes through, over TCP and UDP.
func (l *load) junk() error {
	block := bytes.Repeat([]byte("junk, of no protocol, again and again. "), 2000)
	var sent atomic.Int64
	done := make(chan struct{})
	var watching sync.WaitGroup
	var took []time.Duration
	failed := 0
	watching.Go(func() { took, failed = l.watch(done) })
	good, bad := l.during(func() error {
		c, err := l.dial()
		if err != nil {
			return err
		}
		defer c.Close()
		n, _ := c.Write(block) // the sinkhole may end it at any time
		sent.Add(int64(n))
		if l.udp == "" {
			return nil
		}
		u, err := net.Dial("udp", l.udp)
		if err != nil {
			return err
		}
		defer u.Close()
		for range 20 {
			n, _ := u.Write(block[:1400])
			sent.Add(int64(n))
		}
		return nil
	})
	close(done)
	watching.Wait()
	fmt.Printf("junk  %.0f Mbit/s in %d connections, %d failed\n", float64(sent.Load())*8/l.length.Seconds()/1e6, good, bad)
	if len(took) > 0 {
		fmt.Printf("      meanwhile %s answered %d times, %d failed: %v (median), %v (99 of 100)\n", l.other, len(took), failed, took[len(took)/2], took[len(took)*99/100])
	}
	if l.other != "" && (len(took) == 0 || failed > 0) {
		return fmt.Errorf("%s was hindered by it: %d answers, %d failures", l.other, len(took), failed)
	}
	l.memory()
	return nil
}

// memory says how much the sinkhole has and had at most, if its process is known.
func (l *load) memory() {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.process))
	if err != nil {
		return
	}
	for line := range bytes.Lines(b) {
		if bytes.HasPrefix(line, []byte("VmHWM")) || bytes.HasPrefix(line, []byte("VmRSS")) {
			fmt.Printf("      %s", line)
		}
	}
}

// cpu is the time that the sinkhole's process has used, in user mode and in the kernel's
// (proc(5): fields 14 and 15 of stat, in ticks of 10 ms).
func (l *load) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.process))
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(b, []byte(") "))
	fields := bytes.Fields(after)
	var ticks int
	for _, f := range fields[11:13] {
		n, _ := strconv.Atoi(string(f))
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
