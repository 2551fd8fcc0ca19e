package simnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

var hostA = netip.MustParseAddr("198.18.9.1")

// smallNet is one server with one zone.
func smallNet(t *testing.T, seed uint64) *Internet {
	t.Helper()
	tree, err := Build(seed, Spec{Origin: "z.test.", Text: "@ NS ns1\nns1 A 198.18.9.1\n*.n A 192.0.2.1\nbig TXT " +
		strings.Repeat("\""+strings.Repeat("y", 250)+"\" ", 8)})
	if err != nil {
		t.Fatal(err)
	}
	in := New(seed)
	in.Serve(tree.Zones(), hostA)
	return in
}

func packet(t *testing.T, name string, id uint16) []byte {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, dns.TypeA)
	q.SetEdns0(1232, true)
	q.Id = id
	b, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// collect takes everything that comes back within a time.
func collect(t *testing.T, in *Internet, tcp bool, query []byte, wait time.Duration) (replies [][]byte, took time.Duration, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	start := time.Now()
	err = in.Exchange(ctx, hostA, 53, tcp, query, func(b []byte) bool {
		replies = append(replies, b)
		return false
	})
	return replies, time.Since(start), err
}

// asks puts a hundred questions and returns how many replies each had.
func asks(t *testing.T, f Faults, tcp bool) (counts []int, in *Internet) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		in = smallNet(t, 3)
		in.SetFaults(f)
		for i := range 100 {
			replies, _, _ := collect(t, in, tcp, packet(t, fmt.Sprintf("q%d.n.z.test.", i), uint16(i)), 5*time.Second)
			counts = append(counts, len(replies))
		}
	})
	return counts, in
}

func count(counts []int, n int) (hits int) {
	for _, c := range counts {
		if c == n {
			hits++
		}
	}
	return hits
}

func TestPerfectNetwork(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		if got, in := asks(t, Faults{}, tcp); count(got, 1) != 100 || in.Queries() != 100 || in.Server(hostA).Queries() != 100 {
			t.Errorf("replies to each question: %v; %d queries", got, in.Queries())
		}
	}
}

func TestLoss(t *testing.T) {
	if got, in := asks(t, Faults{Loss: 1}, false); count(got, 0) != 100 || in.Queries() != 100 {
		t.Errorf("with all lost: %v", got)
	}
	if got, _ := asks(t, Faults{Loss: 1}, true); count(got, 0) != 100 {
		t.Errorf("with all lost, over TCP: %v", got)
	}
	// A fifth is lost each way: 64 of 100 come through, give or take.
	if got, _ := asks(t, Faults{Loss: 0.2}, false); count(got, 1) < 50 || count(got, 1) > 78 {
		t.Errorf("with a fifth lost: %d of 100 come through", count(got, 1))
	}
	if got, _ := asks(t, Faults{Loss: 0.2}, true); count(got, 1) < 95 {
		t.Errorf("with a fifth lost, over TCP: %d of 100 come through in 5 s", count(got, 1))
	}
}

func TestDuplicate(t *testing.T) {
	if got, _ := asks(t, Faults{Duplicate: 1}, false); count(got, 4) != 100 { // two queries, two replies each
		t.Errorf("with all doubled: %v", got)
	}
	if got, _ := asks(t, Faults{Duplicate: 1}, true); count(got, 1) != 100 {
		t.Errorf("TCP does not double: %v", got)
	}
}

func TestDeadAndRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := smallNet(t, 3)
		in.Server(hostA).SetFaults(Faults{Dead: true})
		for _, tcp := range []bool{false, true} {
			replies, took, err := collect(t, in, tcp, packet(t, "a.n.z.test.", 1), 3*time.Second)
			if len(replies) != 0 || took != 3*time.Second || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("dead: %d replies in %v: %v", len(replies), took, err)
			}
		}
		in.Server(hostA).SetFaults(Faults{NoTCP: true})
		if _, took, err := collect(t, in, true, packet(t, "a.n.z.test.", 1), time.Second); !errors.Is(err, ErrRefused) || took != 0 {
			t.Errorf("no TCP: %v after %v", err, took)
		}
		in.Server(hostA).ClearFaults()
		if _, _, err := collect(t, in, true, packet(t, "a.n.z.test.", 1), time.Second); !errors.Is(err, ErrClosed) {
			t.Errorf("TCP after the only reply: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := in.Exchange(ctx, netip.MustParseAddr("198.18.99.99"), 53, false, packet(t, "a.n.z.test.", 1), nil)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an address that nobody has: %v", err)
		}
		before := in.Queries()
		if err := in.Exchange(ctx, hostA, 53, false, packet(t, "a.n.z.test.", 1), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a context that has ended: %v", err)
		}
		if in.Queries() != before {
			t.Error("a query that was not sent is counted")
		}
	})
}

func TestTimes(t *testing.T) {
	first := func(f Faults, tcp bool, name string) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			in := smallNet(t, 3)
			in.SetFaults(f)
			start := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			if err := in.Exchange(ctx, hostA, 53, tcp, packet(t, name, 1), func([]byte) bool { return true }); err != nil {
				t.Error(err)
			}
			took = time.Since(start)
		})
		return took
	}
	const name = "a.n.z.test."
	if got := first(Faults{Latency: 30 * time.Millisecond}, false, name); got != 30*time.Millisecond {
		t.Errorf("a round trip takes %v", got)
	}
	if got := first(Faults{Latency: 30 * time.Millisecond}, true, name); got != 60*time.Millisecond {
		t.Errorf("a TCP connection and a round trip take %v", got)
	}
	if got := first(Faults{Slow: time.Second}, false, name); got != time.Second {
		t.Errorf("a slow server takes %v", got)
	}
	if got := first(Faults{Jitter: 10 * time.Millisecond}, false, name); got <= 0 || got >= 10*time.Millisecond {
		t.Errorf("jitter of up to 10 ms gives %v", got)
	}
	// The reply: header 12, question 16, OPT 11, answer 16, and a length prefix of 2.
	if got := first(Faults{ByteAtATime: time.Second}, true, name); got != 57*time.Second {
		t.Errorf("an octet a second takes %v", got)
	}
}

func TestTruncate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := smallNet(t, 3)
		in.SetFaults(Faults{Truncate: 1})
		for _, tcp := range []bool{false, true} {
			replies, _, _ := collect(t, in, tcp, packet(t, "a.n.z.test.", 1), time.Second)
			var m dns.Msg
			if len(replies) != 1 || m.Unpack(replies[0]) != nil || m.Truncated == tcp || (len(m.Answer) == 0) == tcp {
				t.Errorf("TCP %v: %v", tcp, &m)
			}
		}
	})
}

// TestReorder: a reply held back comes after one that was asked for later.
func TestReorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := smallNet(t, 3)
		in.SetFaults(Faults{Reorder: 0.5, ReorderBy: time.Second, Latency: time.Millisecond})
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 40 {
			time.Sleep(5 * time.Millisecond)
			query := packet(t, fmt.Sprintf("q%d.n.z.test.", i), 1)
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				_ = in.Exchange(ctx, hostA, 53, false, query, func([]byte) bool {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, i)
					return true
				})
			})
		}
		wg.Wait()
		if len(order) != 40 || slices.IsSorted(order) {
			t.Errorf("order of arrival: %v", order)
		}
	})
}

// TestSpoof: forgeries come, each is wrong in the way it says, and none is right.
func TestSpoof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := smallNet(t, 3)
		in.SetFaults(Faults{Spoof: 1, Latency: 10 * time.Millisecond})
		seen := map[What]int{}
		var mu sync.Mutex
		in.SetTrace(func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			seen[e.What]++
		})
		early := 0
		for i := range 100 {
			query := packet(t, fmt.Sprintf("MiXeD%d.n.z.test.", i), uint16(i*601))
			var q dns.Msg
			if err := q.Unpack(query); err != nil {
				t.Fatal(err)
			}
			replies, _, _ := collect(t, in, false, query, time.Second)
			right := 0
			for n, b := range replies {
				var m dns.Msg
				if err := m.Unpack(b); err != nil {
					t.Fatal(err)
				}
				if m.Id != q.Id || m.Question[0] != q.Question[0] {
					if !strings.Contains(m.String(), Forged4.String()) {
						t.Errorf("a forgery that leads elsewhere: %v", &m)
					}
					continue
				}
				if right++; strings.Contains(m.String(), Forged4.String()) {
					t.Errorf("a forgery that is right: %v", &m)
				}
				if n > 0 {
					early++
				}
			}
			if right != 1 {
				t.Errorf("%d true replies", right)
			}
		}
		for _, w := range []What{ForgedID, ForgedCase, ForgedQuestion, ForgedPort} {
			if seen[w] < 20 {
				t.Errorf("%v: %d", w, seen[w])
			}
		}
		if early < 50 {
			t.Errorf("only %d of 100 true replies came after a forgery", early)
		}
	})
}

// TestReproducible: the same seed gives the same events, whatever the order of
// goroutines, the query's ID, letter case and EDNS; another seed gives others.
func TestReproducible(t *testing.T) {
	run := func(seed uint64, id uint16, concurrent bool, spell func(string) string) (lines []string) {
		synctest.Test(t, func(t *testing.T) {
			in := smallNet(t, 3)
			in.seed = seed
			in.SetFaults(Faults{Loss: 0.3, Duplicate: 0.2, Reorder: 0.3, Truncate: 0.2, Spoof: 0.3,
				Latency: 20 * time.Millisecond, Jitter: 10 * time.Millisecond})
			var mu sync.Mutex
			in.SetTrace(func(e Event) {
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, fmt.Sprint(e.Name, e.Type, e.TCP, e.Attempt, e.What, e.At))
			})
			var wg sync.WaitGroup
			for i := range 60 {
				query := packet(t, spell(fmt.Sprintf("q%d.n.z.test.", i%20)), id+uint16(i))
				ask := func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					_ = in.Exchange(ctx, hostA, 53, i%2 == 0, query, func([]byte) bool { return false })
				}
				if concurrent {
					wg.Go(ask)
				} else {
					ask()
				}
			}
			wg.Wait()
		})
		slices.Sort(lines)
		return lines
	}
	same := func(s string) string { return s }
	a := run(5, 100, false, same)
	if len(a) < 100 {
		t.Fatalf("only %d events", len(a))
	}
	if b := run(5, 9000, true, strings.ToUpper); !slices.Equal(a, b) {
		t.Errorf("one seed, two runs:\n%s\n\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
	if slices.Equal(a, run(6, 100, false, same)) {
		t.Error("another seed gives the same events")
	}
}

// TestHandler: a server of one's own sends what it likes, when it likes, and sees
// each attempt.
func TestHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := New(1)
		var attempts []uint32
		in.Handle(func(q Query) []Reply {
			attempts = append(attempts, q.Attempt)
			return []Reply{
				{Bytes: []byte("late"), After: time.Second},
				{Bytes: nil},
				{Bytes: []byte("soon"), After: time.Millisecond},
			}
		}, hostA)
		for range 3 {
			replies, _, _ := collect(t, in, false, packet(t, "a.test.", 1), 2*time.Second)
			if got := fmt.Sprintf("%q", replies); got != `["" "soon" "late"]` {
				t.Errorf("replies %s", got)
			}
		}
		if !slices.Equal(attempts, []uint32{0, 1, 2}) {
			t.Errorf("attempts %v", attempts)
		}
	})
}
