// Command flood measures what floods over encrypted transports leave of plain UDP. It loads a
// running server over UDP, alone and beside each kind of flood in turn, and prints what of UDP's
// throughput is left. It is for a server of one's own on loopback: see test/flood.sh.
//
// # What is measured
//
// For each kind, rounds of UDP alone and of UDP beside the flood follow one another. Two ratios are
// printed, as medians over the rounds: of the replies in the same time, which means something on a
// machine with processors to spare for the clients, or where UDP is asked less than it can do (-rate); and of the share of the server's processor time that UDP
// got beside the flood, over the share that it would have with a processor of its own. A reply's cost
// is taken from the rounds of UDP alone, so that the second ratio holds on a machine that others use too.
//
// # Limits and known faults
//
// Linux alone has the processor time of another process in /proc. The clients are not slower than
// the server only where there are processors for them.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"
)

// target is where a server is.
type target struct {
	udp, dot, doh, doq netip.AddrPort
	rate               int // of queries over UDP in a second; 0: as many as are answered
}

func (t *target) flags(f *flag.FlagSet) {
	f.Func("udp", "where it takes plain queries", addr(&t.udp))
	f.Func("dot", "and those over TLS", addr(&t.dot))
	f.Func("doh", "over HTTPS, HTTP/2 and HTTP/3", addr(&t.doh))
	f.Func("doq", "over QUIC", addr(&t.doq))
	f.IntVar(&t.rate, "rate", 0, "how many queries a second come over UDP, instead of as many as are answered")
}

func addr(to *netip.AddrPort) func(string) error {
	return func(s string) (err error) {
		*to, err = netip.ParseAddrPort(s)
		return err
	}
}

// measure is one run of the program.
type measure struct {
	target
	process    int // the server's
	processors int // of the server
	rounds     int
	length     time.Duration
	kinds      string
	least      float64
}

func main() {
	var m measure
	f := flag.NewFlagSet("flood", flag.ExitOnError)
	m.flags(f)
	f.IntVar(&m.process, "process", 0, "the server's process number")
	f.IntVar(&m.processors, "processors", 2, "how many processors the server may use (GOMAXPROCS)")
	f.IntVar(&m.rounds, "rounds", 5, "how many rounds for each kind")
	f.DurationVar(&m.length, "length", time.Second, "how long each half of a round takes")
	f.StringVar(&m.kinds, "kinds", strings.Join(names(), ","), "which floods")
	f.Float64Var(&m.least, "least", 0, "exit with 1 where less than this share of a processor, or with -rate of the replies, is left to UDP")
	as := f.String("as", "", "be a client of this kind until the input ends, and print how often it did what it does")
	f.Parse(os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := func() error { return m.run(ctx) }
	if *as != "" {
		run = func() error { return client(ctx, *as, m.target) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		stop()
		os.Exit(1)
	}
}

// client is this program's part in a measurement.
func client(ctx context.Context, kind string, to target) error {
	act, ok := kinds()[kind]
	if !ok {
		return fmt.Errorf("%q is none of %s", kind, strings.Join(names(), ", "))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fmt.Println("ready")
	if kind != udpKind { // which reads the input by itself
		go func() { // until there is nobody who measures
			io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
	}
	n, err := act(ctx, to)
	fmt.Println(n)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// half is what was seen in half a round.
type half struct {
	replies, flood int
	cpu            time.Duration
	took           time.Duration
}

// half loads the server over UDP, beside a flood unless kind is "".
func (m *measure) half(ctx context.Context, kind string) (h half, err error) {
	var flood *child
	if kind != "" {
		if flood, err = m.child(ctx, kind, 0); err != nil {
			return h, err
		}
	}
	udp, err := m.child(ctx, udpKind, -10)
	if err != nil {
		return h, err
	}
	time.Sleep(m.length / 4) // until both are at full speed
	before, err := m.cpu()
	if err != nil {
		return h, err
	}
	count, start := udp.count, time.Now()
	at, err := count()
	if err != nil {
		return h, err
	}
	time.Sleep(m.length)
	end, err := count()
	if err != nil {
		return h, err
	}
	after, err := m.cpu()
	if err != nil {
		return h, err
	}
	h = half{replies: end - at, cpu: after - before, took: time.Since(start)}
	if _, err = udp.end(); err == nil && flood != nil {
		h.flood, err = flood.end()
	}
	return h, err
}

// cpu is the processor time of the server by now.
func (m *measure) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.process))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	const user, system, tick = 11, 12, 10 * time.Millisecond // proc(5), counted from the state; USER_HZ is 100
	var total time.Duration
	for _, i := range []int{user, system} {
		n, err := strconv.Atoi(f[i])
		if err != nil {
			return 0, err
		}
		total += time.Duration(n) * tick
	}
	return total, nil
}

// run measures all kinds.
func (m *measure) run(ctx context.Context) error {
	fmt.Printf("%-22s %12s %12s %10s %10s %12s\n", "flood", "UDP alone/s", "beside/s", "replies", "processor", "flood/s")
	low := []string{}
	for _, kind := range strings.Split(m.kinds, ",") {
		var alone, beside, replies, share, floods []float64
		for range m.rounds {
			a, err := m.half(ctx, "")
			if err != nil {
				return err
			}
			b, err := m.half(ctx, kind)
			if err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			perSecond := func(n int, h half) float64 { return float64(n) / h.took.Seconds() }
			alone, beside = append(alone, perSecond(a.replies, a)), append(beside, perSecond(b.replies, b))
			replies = append(replies, perSecond(b.replies, b)/perSecond(a.replies, a))
			cost := a.cpu.Seconds() / float64(a.replies)
			share = append(share, min(1, float64(m.processors)*cost*float64(b.replies)/b.cpu.Seconds()))
			floods = append(floods, perSecond(b.flood, b))
		}
		fmt.Printf("%-22s %12.0f %12.0f %10.2f %10.2f %12.0f\n", kind, median(alone), median(beside), median(replies), median(share), median(floods))
		left := share
		if m.rate > 0 {
			left = replies
		}
		if median(left) < m.least {
			low = append(low, kind)
		}
	}
	if len(low) > 0 {
		return fmt.Errorf("less than %.2f is left to UDP by: %s", m.least, strings.Join(low, ", "))
	}
	return nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// child is this program as a client.
type child struct {
	cmd *exec.Cmd
	in  interface{ Close() error }
	out *bufio.Reader
	ask func() error
}

// child starts a client at a priority.
func (m *measure) child(ctx context.Context, kind string, nice int) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "nice", "-n", strconv.Itoa(nice), self, "-as", kind,
		"-rate", strconv.Itoa(m.rate), "-udp", m.udp.String(), "-dot", m.dot.String(), "-doh", m.doh.String(), "-doq", m.doq.String())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, in: in, out: bufio.NewReader(out), ask: func() error { _, err := in.Write([]byte("?\n")); return err }}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if line, err := c.out.ReadString('\n'); line != "ready\n" {
		return nil, fmt.Errorf("%s: the client says %q: %w", kind, line, err)
	}
	return c, nil
}

// count asks the client for UDP how many replies it has.
func (c *child) count() (int, error) {
	if err := c.ask(); err != nil {
		return 0, err
	}
	line, err := c.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line))
}

// end ends a client, and is what it counted.
func (c *child) end() (int, error) {
	if err := c.in.Close(); err != nil {
		return 0, err
	}
	line, err := c.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return 0, err
	}
	return n, c.cmd.Wait()
}
