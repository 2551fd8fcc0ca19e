// Command observer measures what somebody who watches the network learns of a client's choice
// between the filtered and the unfiltered view.
//
// It plays the same browsing in either view over each way of asking, captures the packets that
// cross one interface (AF_PACKET; it needs root and runs in a network namespace that observer.sh
// makes), reduces every session to what can be seen without keys, and trains a classifier on
// one half of the sessions to tell the views of the other half apart, and the other way round. It
// reports the classifier's advantage over guessing, 2·accuracy − 1, with its 95% interval.
//
// # What is seen
//
// Addresses and ports of servers, names of servers in clear text (in QUIC too), and of each packet with a
// payload its direction, length and distance in time from the one before; the totals of all of these.
//
// # What it is not
//
// One classifier (boosted decision stumps) over one kind of browsing: a better observer may see
// more, and an interval around 0 proves nothing about him. That the test can fail is shown
// by the ways without protection: there the advantage must be large.
//
// # Limits
//
// IPv4. Sessions follow one another, so packets belong to the session in whose time they
// were seen. QUIC's first packets, whose keys all know, are decrypted where they are of version 1.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
	"time"
)

// options are the command line.
type options struct {
	iface    string
	sessions int
	seed     uint64
	ways     string
	json     bool
	strict   bool
	browsing browsing
	at       addresses
}

func main() {
	var o options
	flag.StringVar(&o.iface, "interface", "", "where packets are captured")
	flag.IntVar(&o.sessions, "sessions", 2000, "sessions for each view and way")
	flag.Uint64Var(&o.seed, "seed", 1, "of the browsing")
	flag.StringVar(&o.ways, "ways", "", "ways of asking, with commas between them (default: all)")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.BoolVar(&o.strict, "strict", false, "fail where a protected way can be told from guessing, and not only where it can by much")
	flag.Float64Var(&o.browsing.listed, "listed", 1, "share of sessions with a listed name")
	flag.BoolVar(&o.browsing.fresh, "fresh", false, "listed names are ones that nobody asked for before")
	flag.StringVar(&o.at.filtered, "filtered", "", "plain address of the filtered view")
	flag.StringVar(&o.at.unfiltered, "unfiltered", "", "plain address of the unfiltered view")
	flag.StringVar(&o.at.server, "server", "", "address of the encrypted transports")
	flag.StringVar(&o.at.ca, "ca", "", "certificates of the server and the proxies, PEM")
	flag.StringVar(&o.at.ech, "ech", "", "the server's configuration of Encrypted Client Hello, in base64")
	flag.StringVar(&o.at.proxies, "proxies", "", "oblivious proxies before the server: NAME=ADDRESS:PORT with commas between them")
	flag.StringVar(&o.at.nodes, "nodes", "", "local nodes: NAME=FILTERED/UNFILTERED with commas between them; a name that ends in -bare has no protection")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "observer:", err)
		os.Exit(1)
	}
}

// result is what was learned of one way.
type result struct {
	Way       string  `json:"way"`
	Protected bool    `json:"protected"`
	Sessions  int     `json:"sessions"`
	Accuracy  float64 `json:"accuracy"`
	Advantage float64 `json:"advantage"`
	Low       float64 `json:"low"`
	High      float64 `json:"high"`
	Tell      string  `json:"tell"` // what the classifier looked at first
}

// hidden reports whether guessing does as well, at 95% confidence.
func (r result) hidden() bool { return r.Low <= 0 }

// obvious is the advantage that a way without protection must give away, and that one with
// protection must not reach with 95% confidence, however few the sessions.
const obvious = 0.3

func run(ctx context.Context, o options) error {
	capture, err := openCapture(o.iface)
	if err != nil {
		return err
	}
	defer capture.close()
	all, err := o.at.ways(o.ways)
	if err != nil {
		return err
	}
	var results []result
	for i, w := range all {
		r, err := observe(ctx, o, capture, w, func(done int) {
			if isTerminal(os.Stderr) {
				fmt.Fprintf(os.Stderr, "\r%d of %d, %s: %d of %d sessions ", i+1, len(all), w.name, done, 2*o.sessions)
			}
		})
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		results = append(results, r)
	}
	if isTerminal(os.Stderr) {
		fmt.Fprint(os.Stderr, "\r\033[K")
	}
	if err := o.print(results); err != nil {
		return err
	}
	return judge(results, o.strict)
}

// observe plays all sessions of one way, in random order of the views, and classifies them.
func observe(ctx context.Context, o options, c *capture, w way, progress func(int)) (result, error) {
	rng := rand.New(rand.NewPCG(o.seed, 0))
	b := o.browsing
	if err := b.warm(ctx, w); err != nil {
		return result{}, err
	}
	var data []example
	for n := range o.sessions {
		questions := b.session(rng)
		first := rng.IntN(2) == 1
		for _, filtered := range []bool{first, !first} {
			c.start()
			if err := play(ctx, w, filtered, drawn(questions, rng)); err != nil {
				return result{}, err
			}
			data = append(data, example{c.stop().features(), filtered})
		}
		progress(2 * (n + 1))
	}
	return summarise(w, data, rng), nil
}

// summarise trains and tests.
func summarise(w way, data []example, rng *rand.Rand) result {
	right, tell := crossFit(data, rng)
	n := len(data)
	low, high := wilson(right, n)
	accuracy := float64(right) / float64(n)
	return result{
		Way: w.name, Protected: w.protected, Sessions: n / 2, Accuracy: accuracy,
		Advantage: 2*accuracy - 1, Low: 2*low - 1, High: 2*high - 1, Tell: featureName(tell),
	}
}

func (o options) print(results []result) error {
	if o.json {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(results)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "way\tprotected\tsessions a view\tadvantage\t95% interval\tlooked at first")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%t\t%d\t%.3f\t%.3f to %.3f\t%s\n", r.Way, r.Protected, r.Sessions, r.Advantage, r.Low, r.High, r.Tell)
	}
	return w.Flush()
}

// judge fails where the test could not have failed, and where a protection does not protect.
func judge(results []result, strict bool) error {
	var faults []string
	for _, r := range results {
		switch {
		case !r.Protected && r.Low < obvious:
			faults = append(faults, r.Way+": nothing is hidden there, and the observer did not see it")
		case r.Protected && (r.Low >= obvious || strict && !r.hidden()):
			faults = append(faults, fmt.Sprintf("%s: the views can be told apart, by %s", r.Way, r.Tell))
		}
	}
	if len(faults) > 0 {
		return errors.New(strings.Join(faults, "\n"))
	}
	return nil
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// settle is how long packets are waited for after a session: what ends its connections.
const settle = 2 * time.Millisecond
