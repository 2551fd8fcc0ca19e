package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/upstream"
)

// queryCmd asks one question of one resolver: over UDP, and over TCP where the reply was cut,
// or over an encrypted transport.
type queryCmd struct {
	Name       string        `arg:"" help:"The name to ask for."`
	Type       string        `arg:"" optional:"" default:"A" help:"The record type, such as AAAA, HTTPS or TYPE65."`
	Server     string        `help:"The resolver, as ADDRESS:PORT or :PORT on this machine; or as tls://ADDRESS, https://ADDRESS/PATH (HTTP/2), h3://ADDRESS/PATH (HTTP/3) or quic://ADDRESS, with #NAME behind it where its certificate is for a name; or through a proxy as 'odoh://ADDRESS/PATH#NAME via https://ADDRESS/PATH#NAME' (oblivious DoH; ?view=unfiltered behind the first path where it is shoji)." default:"127.0.0.1:5300" placeholder:"SERVER"`
	TCP        bool          `help:"Ask over TCP at once." name:"tcp"`
	DNSSEC     bool          `help:"Ask for DNSSEC records (DO)." name:"dnssec"`
	Checking   bool          `help:"Ask to see data that fails validation (CD)." name:"cd"`
	Class      string        `help:"IN, or CH for what a server says of itself, such as the TXT records of status.shoji." enum:"IN,CH" default:"IN"`
	Structured bool          `help:"Ask for structured errors of filtered names."`
	Trust      string        `help:"PEM file with the certificates that are trusted, instead of the system's." placeholder:"FILE"`
	Pin        string        `help:"Trust one key alone, by the SHA-256 of it in base64, as serve prints it for a self-signed certificate." placeholder:"sha256/PIN"`
	ECH        string        `name:"ech" help:"Hide the server's name on the way: by a configuration of Encrypted Client Hello in base64, or auto to ask the server for it." placeholder:"BASE64|auto"`
	Timeout    time.Duration `help:"How long to wait." default:"5s"`
	JSON       bool          `help:"Print JSON for a machine." name:"json"`
	Lang       string        `help:"en or ja. Default: by the locale." enum:"en,ja," default:""`
	proveFlags `embed:""`
}

// Run prints the reply. Without --prove, the exit status is 0 for any reply and 1 for none.
// With it, it is 0 where what the reply says is proved by the log, 1 where it is not so, 3
// where that could not be checked, and 4 where a listed name was not filtered.
func (c *queryCmd) Run(ctx context.Context, t terminal) error {
	q, err := c.question(c.Name, c.Type)
	if err != nil {
		return usageError{err}
	}
	if c.Prove && c.class() != dns.ClassIN {
		return usageError{errors.New("--prove is for names of the Internet, not for --class CH")}
	}
	a, err := c.ask(ctx, c.Server, q)
	if err != nil {
		return err
	}
	var p *proof
	if c.Prove {
		p = c.prove(ctx, a, t)
	}
	if c.JSON {
		err = printJSON(t.out, a, p)
	} else {
		err = printReply(t.out, a, p, language(c.Lang))
	}
	if err != nil {
		return err
	}
	return p.status()
}

// ask puts one question to a server, in the time that one question has.
func (c *queryCmd) ask(ctx context.Context, server string, q *dns.Message) (*answered, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if upstream.Encrypted(server) {
		return c.askEncrypted(ctx, server, q)
	}
	return c.askPlain(ctx, server, q)
}

// answered is a reply, and how it came.
type answered struct {
	reply     *dns.Message
	server    string
	transport string
	phases    phases
	secured   *secured // nil: nothing was encrypted
}

// phases are how long each part of the exchange took. What there is none of is zero: over UDP
// nothing is connected, and QUIC connects in its handshake.
type phases struct{ connect, handshake, reply time.Duration }

func (p phases) all() time.Duration { return p.connect + p.handshake + p.reply }

func parseServer(s string) (netip.AddrPort, error) {
	if strings.HasPrefix(s, ":") {
		s = "127.0.0.1" + s
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap, nil
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	return netip.AddrPort{}, fmt.Errorf("%q is no server: write it like 127.0.0.1:5300, :5301 or [::1]:53", s)
}

// question is what is asked. A name may be in Unicode.
func (c *queryCmd) question(text, typeText string) (*dns.Message, error) {
	ascii, err := curate.ASCII(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no domain name: %w", text, err)
	}
	name, err := dns.ParseName(ascii)
	if err != nil {
		return nil, fmt.Errorf("%q is no domain name: %w", text, err)
	}
	typ, err := dns.ParseType(strings.ToUpper(typeText))
	if err != nil {
		return nil, fmt.Errorf("%q is no record type: %w", typeText, err)
	}
	var id [2]byte
	rand.Read(id[:])
	q := &dns.Message{
		ID:       binary.BigEndian.Uint16(id[:]),
		Flags:    dns.FlagRD | dns.FlagAD, // AD: say whether it was validated (RFC 6840 §5.7)
		Question: []dns.Question{{Name: name, Type: typ, Class: c.class()}},
		EDNS:     &dns.EDNS{UDPSize: 1232, DO: c.DNSSEC},
	}
	if c.Structured {
		q.EDNS.Options = append(q.EDNS.Options, dns.Option{Code: dns.OptionStructuredError})
	}
	if c.Checking {
		q.Flags |= dns.FlagCD
	}
	return q, nil
}

// askPlain sends the question, over UDP first unless TCP is wanted.
func (c *queryCmd) askPlain(ctx context.Context, at string, q *dns.Message) (*answered, error) {
	if c.Trust != "" || c.Pin != "" || c.ECH != "" {
		return nil, usageError{errors.New("--trust, --pin and --ech are for encrypted transports: write the server like tls://192.0.2.1#dns.example")}
	}
	server, err := parseServer(at)
	if err != nil {
		return nil, usageError{err}
	}
	packet, err := q.Append(nil)
	if err != nil {
		return nil, err
	}
	a := &answered{server: server.String(), transport: "UDP"}
	if !c.TCP {
		err = a.roundTrip(ctx, "udp", server, packet)
	}
	if c.TCP || err == nil && a.reply.Flags&dns.FlagTC != 0 {
		a.transport = "TCP"
		err = a.roundTrip(ctx, "tcp", server, packet)
	}
	if err != nil {
		return nil, fmt.Errorf("no answer from %s: %w", server, err)
	}
	return a, nil
}

func (c *queryCmd) class() dns.Class {
	if c.Class == "CH" {
		return dns.ClassCH
	}
	return dns.ClassIN
}

// roundTrip sends packet and waits for the reply to it; anything else is ignored.
func (a *answered) roundTrip(ctx context.Context, network string, server netip.AddrPort, packet []byte) error {
	var d net.Dialer
	start := time.Now()
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	wire := packet
	if network == "tcp" {
		wire = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
		a.phases.connect = time.Since(start)
		start = time.Now()
	}
	if _, err := conn.Write(wire); err != nil {
		return err
	}
	buf := make([]byte, 65535)
	for {
		n, err := readMessage(conn, network, buf)
		if err != nil {
			return err
		}
		m := new(dns.Message)
		if m.Unpack(buf[:n]) == nil && m.Flags&dns.FlagQR != 0 && m.ID == binary.BigEndian.Uint16(packet) {
			a.reply = m
			a.phases.reply += time.Since(start) // with the reply over UDP that was cut
			return nil
		}
	}
}

func readMessage(conn net.Conn, network string, buf []byte) (int, error) {
	if network == "udp" {
		return conn.Read(buf)
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return 0, err
	}
	return io.ReadFull(conn, buf[:binary.BigEndian.Uint16(length[:])])
}
