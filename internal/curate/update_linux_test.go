package curate

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
)

// used is what this process has used so far.
type used struct {
	seconds float64 // of processors
	peak    float64 // MiB of memory
}

func usage(b *testing.B) used {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return used{float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, float64(u.Maxrss) / 1024}
}

// press are two independent sources of the same 500,000 names, the second with a family and a
// date: a million pieces of evidence. Every name is listed.
func press(b *testing.B) *newsroom {
	n := news(b)
	n.sources = nil
	for _, id := range []string{"a", "b"} {
		n.sources = append(n.sources, Source{ID: id, Location: "https://" + id + ".example/list", Format: feed.Plain, Kinds: []string{policy.C2}, Interval: MinInterval})
	}
	n.sources[1].Format = feed.CSV
	n.print(b, 0)
	return n
}

const printed = 500_000 // names

// print has both sources publish an edition in which 1% of the names of the one before is new.
func (n *newsroom) print(b *testing.B, edition int) {
	var plain, table bytes.Buffer
	table.WriteString("domain,malware,last_seen\n")
	for i := range printed {
		if i < edition*printed/100 {
			i += printed
		}
		name := fmt.Sprintf("host-%d.some-domain-%d.example", i, i%1000)
		fmt.Fprintln(&plain, name)
		fmt.Fprintf(&table, "%s,canarybot,2026-02-%02d\n", name, 1+i%28)
	}
	n.texts["a"], n.texts["b"] = plain.String(), table.String()
}

// BenchmarkUpdate is the control loop from evidence to the list in force, on disk, and the reading
// of the sources before it by itself: a million pieces of evidence for the first time; 1% of the
// names new and 1% gone; all decided anew, with nothing read and nothing changed; one name in
// sources of its own. It is not the fetching. peak-MiB is the most memory that the process had so far.
func BenchmarkUpdate(b *testing.B) {
	n := press(b)
	run := func(name string, prepare func(i int), o UpdateOptions, want func(*UpdateReport) bool) {
		b.Run(name, func(b *testing.B) {
			i, read, decided := 0, 0.0, 0.0
			for b.Loop() {
				b.StopTimer()
				i++
				prepare(i)
				start := usage(b).seconds
				l, rep, now := n.loop(), &UpdateReport{Clauses: map[string]uint64{}}, n.now
				all, err := l.gather(b.Context(), o, now)
				if err == nil {
					err = l.take(b.Context(), n.store, all, o, rep, now)
				}
				if err != nil {
					b.Fatal(err)
				}
				for i := range all {
					all[i].close()
				}
				between := usage(b).seconds
				b.StartTimer()
				if err := l.settle(b.Context(), n.store, o, rep, now); err != nil || !want(rep) {
					b.Fatalf("%+v, %v", rep, err)
				}
				read, decided = read+between-start, decided+usage(b).seconds-between
			}
			b.ReportMetric(read/float64(b.N), "read-cpu-s/op")
			b.ReportMetric(decided/float64(b.N), "decide-cpu-s/op")
			b.ReportMetric(usage(b).peak, "peak-MiB")
		})
	}
	edition := 0
	run("first", func(i int) {
		if i > 1 {
			b.Skip("the first edition is read once: -benchtime 1x")
		}
	}, UpdateOptions{}, func(r *UpdateReport) bool { return r.Listed == printed })
	run("percent", func(int) {
		edition++
		n.now = n.now.Add(2 * time.Minute)
		n.print(b, edition)
	}, UpdateOptions{}, func(r *UpdateReport) bool { return r.Listed == printed/100 && r.Held == "" })
	n.sources[0].Interval, n.sources[1].Interval = 365*24*time.Hour, 365*24*time.Hour // from here on the large ones are not read
	if _, err := n.loop().Update(b.Context(), UpdateOptions{Due: true}); err != nil {
		b.Fatal(err)
	}
	run("decide", func(int) { n.now = n.now.Add(25 * time.Hour) }, UpdateOptions{Due: true}, func(r *UpdateReport) bool { return r.Decided >= printed })
	for _, id := range []string{"c", "d"} {
		n.sources = append(n.sources, Source{ID: id, Location: "https://" + id + ".example/list", Format: feed.Plain, Kinds: []string{policy.C2}, Interval: MinInterval})
		n.texts[id] = "nothing.example\n"
	}
	if _, err := n.loop().Update(b.Context(), UpdateOptions{Due: true}); err != nil { // the sources are declared, and all is decided anew
		b.Fatal(err)
	}
	run("name", func(i int) {
		n.now = n.now.Add(2 * time.Minute)
		n.texts["c"] += fmt.Sprintf("one-%d.example\n", i)
		n.texts["d"] = n.texts["c"]
	}, UpdateOptions{Due: true}, func(r *UpdateReport) bool { return r.Listed == 1 })
}
