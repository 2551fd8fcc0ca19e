package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// queryCmd asks one question of one resolver over UDP, and over TCP where the
// reply was cut.
type queryCmd struct {
	Name     string        `arg:"" help:"The name to ask for."`
	Type     string        `arg:"" optional:"" default:"A" help:"The record type, such as AAAA, HTTPS or TYPE65."`
	Server   string        `help:"The resolver, as ADDRESS:PORT or :PORT on this machine." default:"127.0.0.1:5300" placeholder:"ADDRESS:PORT"`
	TCP      bool          `help:"Ask over TCP at once." name:"tcp"`
	DNSSEC   bool          `help:"Ask for DNSSEC records (DO)." name:"dnssec"`
	Checking bool          `help:"Ask to see data that fails validation (CD)." name:"cd"`
	Timeout  time.Duration `help:"How long to wait." default:"5s"`
	JSON     bool          `help:"Print JSON for a machine." name:"json"`
}

// Run prints the reply. The exit status is 0 for any reply, 1 for none.
func (c *queryCmd) Run(ctx context.Context, t terminal) error {
	name, err := dns.ParseName(c.Name)
	if err != nil {
		return usageError{fmt.Errorf("%q is no domain name: %w", c.Name, err)}
	}
	typ, err := dns.ParseType(strings.ToUpper(c.Type))
	if err != nil {
		return usageError{fmt.Errorf("%q is no record type: %w", c.Type, err)}
	}
	server, err := parseServer(c.Server)
	if err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	start := time.Now()
	reply, transport, err := c.ask(ctx, server, name, typ)
	if err != nil {
		return fmt.Errorf("no answer from %s: %w", server, err)
	}
	if c.JSON {
		return printJSON(t.out, reply, server, transport, time.Since(start))
	}
	return printReply(t.out, reply, server, transport, time.Since(start))
}

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

// ask sends the question, over UDP first unless TCP is wanted.
func (c *queryCmd) ask(ctx context.Context, server netip.AddrPort, name dns.Name, typ dns.Type) (*dns.Message, string, error) {
	var id [2]byte
	rand.Read(id[:])
	q := &dns.Message{
		ID:       binary.BigEndian.Uint16(id[:]),
		Flags:    dns.FlagRD | dns.FlagAD, // AD: say whether it was validated (RFC 6840 §5.7)
		Question: []dns.Question{{Name: name, Type: typ, Class: dns.ClassIN}},
		EDNS:     &dns.EDNS{UDPSize: 1232, DO: c.DNSSEC},
	}
	if c.Checking {
		q.Flags |= dns.FlagCD
	}
	packet, err := q.Append(nil)
	if err != nil {
		return nil, "", err
	}
	if !c.TCP {
		reply, err := roundTrip(ctx, "udp", server, packet)
		if err != nil || reply.Flags&dns.FlagTC == 0 {
			return reply, "UDP", err
		}
	}
	reply, err := roundTrip(ctx, "tcp", server, packet)
	return reply, "TCP", err
}

// roundTrip sends packet and waits for the reply to it; anything else is ignored.
func roundTrip(ctx context.Context, network string, server netip.AddrPort, packet []byte) (*dns.Message, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	wire := packet
	if network == "tcp" {
		wire = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
	}
	if _, err := conn.Write(wire); err != nil {
		return nil, err
	}
	buf := make([]byte, 65535)
	for {
		n, err := readMessage(conn, network, buf)
		if err != nil {
			return nil, err
		}
		var m dns.Message
		if m.Unpack(buf[:n]) == nil && m.Flags&dns.FlagQR != 0 && m.ID == binary.BigEndian.Uint16(packet) {
			return &m, nil
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

// extendedErrors reads the Extended DNS Errors (RFC 8914 §2) of a reply.
func extendedErrors(m *dns.Message) []extendedError {
	var out []extendedError
	if m.EDNS == nil {
		return nil
	}
	for _, o := range m.EDNS.Options {
		if o.Code == dns.OptionEDE && len(o.Data) >= 2 {
			code := dns.ErrorCode(binary.BigEndian.Uint16(o.Data))
			out = append(out, extendedError{Code: uint16(code), Meaning: code.String(), Text: string(o.Data[2:])})
		}
	}
	return out
}

type extendedError struct {
	Code    uint16 `json:"code"`
	Meaning string `json:"meaning"`
	Text    string `json:"text,omitempty"`
}

// printReply writes the reply for people.
func printReply(w io.Writer, m *dns.Message, server netip.AddrPort, transport string, took time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s from %s over %s in %s%s\n", m.RCode, server, transport, took.Round(10*time.Microsecond), flagWords(m))
	for _, s := range []struct {
		title string
		rrs   []dns.RR
	}{{"", m.Answer}, {"authority", m.Authority}, {"additional", m.Additional}} {
		if s.title != "" && len(s.rrs) > 0 {
			fmt.Fprintf(&b, "%s:\n", s.title)
		}
		for _, rr := range s.rrs {
			fmt.Fprintf(&b, "  %s\n", rr)
		}
	}
	if len(m.Answer) == 0 && m.RCode == dns.RCodeSuccess {
		b.WriteString("  no data of this type\n")
	}
	for _, e := range extendedErrors(m) {
		fmt.Fprintf(&b, "reason: %s (%d)", e.Meaning, e.Code)
		if e.Text != "" {
			fmt.Fprintf(&b, ": %s", printable(e.Text))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printable keeps a stranger's text from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

func flagWords(m *dns.Message) string {
	var words []string
	for _, f := range []struct {
		flag dns.Flags
		word string
	}{{dns.FlagAA, "authoritative"}, {dns.FlagTC, "truncated"}, {dns.FlagAD, "validated"}, {dns.FlagCD, "checking disabled"}} {
		if m.Flags&f.flag != 0 {
			words = append(words, f.word)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return ", " + strings.Join(words, ", ")
}

func printJSON(w io.Writer, m *dns.Message, server netip.AddrPort, transport string, took time.Duration) error {
	if len(m.Question) != 1 {
		return errors.New("the reply repeats no question")
	}
	lines := func(rrs []dns.RR) []string {
		out := []string{}
		for _, rr := range rrs {
			out = append(out, rr.String())
		}
		return out
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{
		"server": server, "transport": strings.ToLower(transport), "microseconds": took.Microseconds(),
		"name": m.Question[0].Name.String(), "type": m.Question[0].Type.String(), "rcode": m.RCode.String(),
		"validated": m.Flags&dns.FlagAD != 0, "truncated": m.Flags&dns.FlagTC != 0,
		"answer": lines(m.Answer), "authority": lines(m.Authority), "additional": lines(m.Additional),
		"errors": append([]extendedError{}, extendedErrors(m)...),
	})
}
