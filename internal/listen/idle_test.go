package listen

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// holdVariable has this program be the clients of TestIdleConnections.
	holdVariable = "SHOJI_TEST_HOLD"
	// idleVariable says how many connections the test holds at once of each kind. Where it does not, they
	// are idleWhole with CI=true, which takes half a minute of processor time, and else idleDefault.
	idleVariable = "SHOJI_TEST_IDLE"
	idleWhole    = 10_000
	idleDefault  = 500
	// dialers is how many connections are made at a time.
	dialers = 8
)

func TestMain(m *testing.M) {
	if text := os.Getenv(holdVariable); text != "" {
		if err := hold(text); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// hold opens connections from many addresses, asks one question on each, says so, and keeps
// them until the standard input ends.
func hold(text string) error {
	f := strings.Fields(text) // protocol, address, number
	n, err := strconv.Atoi(f[2])
	if err != nil {
		return err
	}
	all, errs := make([]net.Conn, n), make(chan error, dialers)
	for first := range dialers {
		go func() {
			for i := first; i < n; i += dialers {
				var err error
				if all[i], err = holdOne(f[0], f[1], i); err != nil {
					errs <- fmt.Errorf("connection %d: %w", i, err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range dialers {
		if err := <-errs; err != nil {
			return err
		}
	}
	fmt.Println("held", len(all))
	io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(all) // a connection that nobody refers to is closed
	return nil
}

// holdOne opens one connection and asks on it.
func holdOne(protocol, to string, i int) (net.Conn, error) {
	from := net.IPv4(127, 0, byte(1+i%16), 1)
	raw, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
	return c, question(c, protocol)
}

// question asks for hit.example and waits for the reply.
func question(c net.Conn, protocol string) error {
	query := []byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03hit\x07example\x00\x00\x01\x00\x01")
	if protocol == "dot" {
		c.Write(frame(query))
		_, err := io.ReadFull(c, make([]byte, 40))
		return err
	}
	io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, c)
	framer.WriteSettings()
	var block strings.Builder
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "dns.example"}, {":path", "/dns-query"},
		{"content-type", "application/dns-message"}, {"accept", "application/dns-message"}, {"user-agent", "an ordinary client of some length"}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: []byte(block.String())})
	framer.WriteData(1, true, query)
	for {
		f, err := framer.ReadFrame()
		if err != nil || f.Header().Type == http2.FrameData && f.Header().Flags.Has(http2.FlagDataEndStream) {
			return err
		}
	}
}

// A connection that is idle after a question costs under 16 KiB over TLS and under 32 KiB
// over HTTPS: heap and stacks, after a collection.
func TestIdleConnections(t *testing.T) {
	n := idleDefault
	if os.Getenv("CI") == "true" && !raceDetector {
		n = idleWhole
	}
	if text := os.Getenv(idleVariable); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := roomFor(n + 200); err != nil { // and what else a test has open
		t.Skipf("%d connections cannot be held: %v: raise the limit of open files (ulimit -Hn)", n, err)
	}
	cfg := secured(t)
	cfg.MaxConns, cfg.IdleTimeout = 4*n, time.Hour
	s := serveSecure(t, cfg)
	for protocol, c := range map[string]struct {
		at    netip.AddrPort
		limit int
	}{"dot": {s.DoTAddrs()[0], 16 << 10}, "h2": {s.DoHAddrs()[0], 32 << 10}} {
		before := inUse()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		child := exec.Command(self)
		child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", holdVariable, protocol, c.at, n))
		in, _ := child.StdinPipe()
		out, _ := child.StdoutPipe()
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		if line != fmt.Sprintf("held %d\n", n) {
			t.Fatalf("%s: the clients say %q", protocol, line)
		}
		each := (inUse() - before) / n
		t.Logf("%s: %d connections, %d octets each", protocol, s.conns.count(), each)
		if s.conns.count() != n || each > c.limit && !raceDetector {
			t.Errorf("%s: %d connections of %d octets each, want %d of at most %d", protocol, s.conns.count(), each, n, c.limit)
		}
		in.Close()
		child.Wait()
		for s.conns.count() > 0 { // until the server has seen each close
			runtime.Gosched()
		}
	}
}

// inUse is the memory in use, after the stacks of what is idle have shrunk.
func inUse() int {
	var m runtime.MemStats
	for range 4 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}
