package rogue

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// level is where a packet's keys come from.
const (
	levelInitial = iota
	levelHandshake
	levelData
	levels
)

// maxDatagram is the longest datagram that is read.
const maxDatagram = 2048

// Config says who a client is.
type Config struct {
	Security *tls.Config // its protocol is the server's, such as doq
	From     netip.Addr  // of this machine; the zero value is any
	Window   uint64      // octets of a stream that the server may send; 0: 1 MiB
	Mute     bool        // do not acknowledge anything after the handshake
}

// Conn is one connection. Send and Seen may be called from several goroutines.
type Conn struct {
	cfg   Config
	udp   *net.UDPConn
	tls   *tls.QUICConn
	from  []byte // connection IDs
	token []byte

	mu     sync.Mutex
	to     []byte
	first  []byte // that Initial packets' keys come from
	write  [levels]*keys
	read   [levels]*keys
	number [levels]uint64
	hello  []byte // the ClientHello
	came   [levels]uint64
	taken  [levels]uint64 // octets of CRYPTO that were read in order
	early  [levels]map[uint64][]byte
	done   bool
	seen   Seen
	err    error
}

// Seen is what came from the server.
type Seen struct {
	Frames map[uint64]int // by kind
	Octets int            // of datagrams
	Closed *Close         // nil: the server has not closed the connection
	Data   map[uint64][]byte
}

// Close is how a server closed a connection.
type Close struct {
	App    bool
	Code   uint64
	Reason string
}

// parameters are the transport parameters (RFC 9000 §18.2): all that a server may want to send.
func (c *Conn) parameters() (out []byte) {
	window := uint64(1 << 20)
	if c.cfg.Window > 0 {
		window = c.cfg.Window
	}
	for _, p := range [][2]uint64{{0x01, 30_000}, {0x04, 1 << 24}, {0x05, window}, {0x06, 1 << 20}, {0x07, 1 << 20}, {0x08, 100}, {0x09, 100}, {0x0e, 8}} {
		value := AppendNumber(nil, p[1])
		out = append(Numbers(out, p[0], uint64(len(value))), value...)
	}
	return append(Numbers(out, 0x0f, uint64(len(c.from))), c.from...)
}

// plain is a configuration whose ClientHello fits into one datagram, without keys of ML-KEM.
func plain(security *tls.Config) *tls.Config {
	c := security.Clone()
	c.MinVersion, c.CurvePreferences = tls.VersionTLS13, []tls.CurveID{tls.X25519}
	return c
}

// open makes a connection that has sent nothing.
func open(cfg Config, to netip.AddrPort) (*Conn, error) {
	var local *net.UDPAddr
	if cfg.From.IsValid() {
		local = net.UDPAddrFromAddrPort(netip.AddrPortFrom(cfg.From, 0))
	}
	udp, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, err
	}
	ids := make([]byte, 2*idLen)
	rand.Read(ids)
	c := &Conn{cfg: cfg, udp: udp, from: ids[:idLen], to: ids[idLen:], first: ids[idLen:], seen: Seen{Frames: map[uint64]int{}, Data: map[uint64][]byte{}}}
	for i := range c.early {
		c.early[i] = map[uint64][]byte{}
	}
	c.tls = tls.QUICClient(&tls.QUICConfig{TLSConfig: plain(cfg.Security)})
	c.tls.SetTransportParameters(c.parameters())
	return c, c.initial()
}

// initial makes the keys of Initial packets.
func (c *Conn) initial() (err error) {
	c.write[levelInitial], c.read[levelInitial], err = initialKeys(c.first)
	return err
}

// Hello is a datagram that begins a connection, as a client sends it first.
func Hello(security *tls.Config) ([]byte, error) {
	c := &Conn{from: make([]byte, idLen), to: make([]byte, idLen)}
	rand.Read(c.from)
	rand.Read(c.to)
	c.first = c.to
	c.tls = tls.QUICClient(&tls.QUICConfig{TLSConfig: plain(security)})
	defer c.tls.Close()
	c.tls.SetTransportParameters(c.parameters())
	if err := c.initial(); err != nil {
		return nil, err
	}
	if err := c.tls.Start(context.Background()); err != nil {
		return nil, err
	}
	if err := c.events(); err != nil {
		return nil, err
	}
	return c.sealInitial(cryptoFrame(c.hello)), nil
}

func cryptoFrame(data []byte) []byte {
	return append(Numbers(nil, FrameCrypto, 0, uint64(len(data))), data...)
}

// Dial shakes hands with a server.
func Dial(ctx context.Context, cfg Config, to netip.AddrPort) (*Conn, error) {
	c, err := open(cfg, to)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.udp.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := c.shake(ctx); err != nil {
		c.Close()
		return nil, err
	}
	go c.listen()
	return c, nil
}

func (c *Conn) shake(ctx context.Context) error {
	if err := c.tls.Start(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	err := c.events()
	if err == nil {
		_, err = c.udp.Write(c.sealInitial(cryptoFrame(c.hello)))
	}
	c.mu.Unlock()
	b := make([]byte, maxDatagram)
	for err == nil && !c.ready() {
		var n int
		if n, err = c.udp.Read(b); err != nil {
			break
		}
		c.datagram(b[:n])
		c.mu.Lock()
		err = c.err
		c.mu.Unlock()
	}
	return err
}

func (c *Conn) ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done && c.write[levelData] != nil && c.read[levelData] != nil
}

// listen reads what comes until the connection is closed.
func (c *Conn) listen() {
	b := make([]byte, maxDatagram)
	for {
		n, err := c.udp.Read(b)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // such as an ICMP message
		}
		c.datagram(b[:n])
	}
}

// sealInitial is a full datagram with one Initial packet.
func (c *Conn) sealInitial(frames []byte) []byte {
	room := FullDatagram - len(longHeader(kindInitial, c.to, c.from, c.token, FullDatagram)) - numberLen - tagLen
	if len(frames) < room {
		frames = append(frames, make([]byte, room-len(frames))...)
	}
	return c.seal(nil, levelInitial, frames)
}

// seal appends a packet.
func (c *Conn) seal(out []byte, level int, frames []byte) []byte {
	number := c.number[level]
	c.number[level]++
	header := append([]byte{fixedBit | numberLen - 1}, c.to...)
	switch level {
	case levelInitial:
		header = longHeader(kindInitial, c.to, c.from, c.token, len(frames))
	case levelHandshake:
		header = longHeader(kindHandshake, c.to, c.from, nil, len(frames))
	}
	return c.write[level].protect(out, header, number, frames)
}

// Send sends frames in a packet of an established connection.
func (c *Conn) Send(frames []byte) error {
	c.mu.Lock()
	packet := c.seal(nil, levelData, frames)
	c.mu.Unlock()
	_, err := c.udp.Write(packet)
	return err
}

// Seen is what came by now.
func (c *Conn) Seen() Seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := Seen{Frames: make(map[uint64]int, len(c.seen.Frames)), Octets: c.seen.Octets, Closed: c.seen.Closed, Data: make(map[uint64][]byte, len(c.seen.Data))}
	for kind, n := range c.seen.Frames {
		out.Frames[kind] = n
	}
	for id, data := range c.seen.Data {
		out.Data[id] = data
	}
	return out
}

// Acknowledge sends an ACK of the numbers from 0 to largest, whether they came or not.
func Acknowledge(out []byte, largest uint64) []byte {
	return Numbers(out, FrameAck, largest, 0, 0, largest)
}

// Close ends the connection.
func (c *Conn) Close() error {
	if c.ready() {
		c.Send(Numbers(nil, FrameCloseApp, 0, 0))
	}
	c.tls.Close()
	return c.udp.Close()
}

// datagram reads the packets of a datagram.
func (c *Conn) datagram(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.Octets += len(b)
	var due [levels]bool
	for len(b) > 0 {
		var err error
		if b, err = c.packet(b, &due); err != nil {
			return
		}
	}
	for level, is := range due {
		if !is || c.write[level] == nil || c.cfg.Mute && level == levelData {
			continue
		}
		ack := Numbers(nil, FrameAck, c.came[level], 0, 0, 0)
		if level == levelInitial {
			c.udp.Write(c.sealInitial(ack))
		} else {
			c.udp.Write(c.seal(nil, level, ack))
		}
	}
}

// packet reads the first packet in b.
func (c *Conn) packet(b []byte, due *[levels]bool) (rest []byte, err error) {
	level, at, end := levelData, 1+idLen, len(b)
	if b[0]&longBit != 0 {
		if level, at, end, err = c.long(b); err != nil || level < 0 {
			return nil, err
		}
	}
	if c.read[level] == nil || at > end {
		return nil, errOpaque
	}
	frames, number, err := c.read[level].open(b[:end], at)
	if err != nil {
		return nil, err
	}
	if number >= c.came[level] {
		c.came[level] = number
	}
	parseFrames(frames, func(f frame) {
		c.seen.Frames[f.kind]++
		due[level] = due[level] || f.kind != FrameAck && f.kind != FrameAck+1 && f.kind != FrameClose && f.kind != FrameCloseApp
		c.frame(level, f)
	})
	return b[end:], nil
}

// long reads a long header: the packet's level (-1: it was a Retry, which was followed), where its
// number is, and where it ends.
func (c *Conn) long(b []byte) (level, at, end int, err error) {
	if len(b) < 7 || binary.BigEndian.Uint32(b[1:]) != version1 {
		return 0, 0, 0, errOpaque
	}
	kind := b[0] >> 4 & 3
	rest := b[5:]
	var ids [2][]byte
	for i := range ids {
		if len(rest) == 0 || len(rest) <= int(rest[0]) {
			return 0, 0, 0, errOpaque
		}
		ids[i], rest = rest[1:1+rest[0]], rest[1+int(rest[0]):]
	}
	if kind == kindRetry {
		if len(rest) < tagLen || c.token != nil {
			return 0, 0, 0, errOpaque
		}
		c.token = append([]byte{}, rest[:len(rest)-tagLen]...)
		c.to = append([]byte{}, ids[1]...)
		c.first = c.to
		if err := c.initial(); err != nil {
			return 0, 0, 0, err
		}
		_, err = c.udp.Write(c.sealInitial(cryptoFrame(c.hello)))
		return -1, 0, 0, err
	}
	c.to = append([]byte{}, ids[1]...) // the server's choice
	if kind == kindInitial {
		n, after, ok := readNumber(rest)
		if !ok || n > uint64(len(after)) {
			return 0, 0, 0, errOpaque
		}
		rest = after[n:]
	}
	length, rest, ok := readNumber(rest)
	if !ok || length > uint64(len(rest)) {
		return 0, 0, 0, errOpaque
	}
	if level = levelInitial; kind == kindHandshake {
		level = levelHandshake
	}
	at = len(b) - len(rest)
	return level, at, at + int(length), nil
}

// frame takes one frame.
func (c *Conn) frame(level int, f frame) {
	switch {
	case f.kind == FrameCrypto:
		c.early[level][f.numbers[0]] = f.data
		for {
			data, ok := c.early[level][c.taken[level]]
			if !ok || len(data) == 0 {
				return
			}
			delete(c.early[level], c.taken[level])
			c.taken[level] += uint64(len(data))
			if err := c.tls.HandleData(tlsLevel(level), data); err != nil && c.err == nil {
				c.err = err
				return
			}
			if err := c.events(); err != nil && c.err == nil {
				c.err = err
			}
		}
	case f.kind == FrameClose || f.kind == FrameCloseApp:
		c.seen.Closed = &Close{App: f.kind == FrameCloseApp, Code: f.numbers[0], Reason: string(f.data)}
		if !c.done {
			c.err = fmt.Errorf("rogue: the server closed the connection: %d %s", f.numbers[0], f.data)
		}
	case f.kind >= FrameStream && f.kind < FrameStream+8:
		c.seen.Data[f.numbers[0]] = append(c.seen.Data[f.numbers[0]], f.data...)
	}
}

func tlsLevel(level int) tls.QUICEncryptionLevel {
	return [...]tls.QUICEncryptionLevel{tls.QUICEncryptionLevelInitial, tls.QUICEncryptionLevelHandshake, tls.QUICEncryptionLevelApplication}[level]
}

func levelOf(l tls.QUICEncryptionLevel) int {
	switch l {
	case tls.QUICEncryptionLevelInitial:
		return levelInitial
	case tls.QUICEncryptionLevelHandshake:
		return levelHandshake
	}
	return levelData
}

// events does what TLS asks for.
func (c *Conn) events() error {
	for {
		e := c.tls.NextEvent()
		var err error
		switch e.Kind {
		case tls.QUICNoEvent:
			return nil
		case tls.QUICWriteData:
			if level := levelOf(e.Level); level == levelInitial {
				c.hello = append(c.hello, e.Data...)
			} else {
				_, err = c.udp.Write(c.seal(nil, level, cryptoFrame(e.Data)))
			}
		case tls.QUICSetReadSecret:
			c.read[levelOf(e.Level)], err = newKeys(e.Suite, e.Data)
		case tls.QUICSetWriteSecret:
			c.write[levelOf(e.Level)], err = newKeys(e.Suite, e.Data)
		case tls.QUICHandshakeDone:
			c.done = true
		}
		if err != nil {
			return err
		}
	}
}
