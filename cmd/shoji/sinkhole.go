package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/sinkhole"
)

// sinkholeCmd is the server that filtered names lead to, and what it has captured.
type sinkholeCmd struct {
	Answer sinkholeAnswerCmd `cmd:"" name:"run" default:"withargs" help:"Answer what filtered names lead to, without interpreting it."`
	Report sinkholeReportCmd `cmd:"" help:"Count what came, by port, first octets and time."`
	Export sinkholeExportCmd `cmd:"" help:"Write captures as pcapng, for Wireshark."`
}

type sinkholeAnswerCmd struct {
	Listen []netip.AddrPort `help:"Accept TCP connections here. May be given more than once." placeholder:"ADDR:PORT"`
	UDP    []netip.AddrPort `name:"udp" help:"Take UDP datagrams here; none is answered." placeholder:"ADDR:PORT"`
	Dir    string           `required:"" help:"Where captures go." placeholder:"DIR"`
	Desk   string           `help:"What the page links the visitor's host name after." placeholder:"https://desk.example/lookup#"`
	Page   []uint16         `name:"page-port" help:"Ports that send the page for people." default:"80" placeholder:"PORT"`
	Close  []uint16         `name:"close-port" help:"Ports that close connections at once." default:"443" placeholder:"PORT"`
	Reply  []string         `help:"Send a file's octets on a port." placeholder:"PORT=FILE" sep:"none"`
	Disk   config.Size      `help:"The most that captures may take; the oldest go first." default:"1GiB" placeholder:"SIZE"`
	Retain time.Duration    `help:"How long captures are kept." default:"720h" placeholder:"DURATION"`
	User   string           `help:"Go on as this user and group, by number, once the sockets are open. Default for root: 65534:65534; 0:0 stays root." placeholder:"UID:GID"`

	Networks bool `name:"keep-networks" help:"Keep the first 24 bits (IPv4) or 48 bits (IPv6) of addresses with captures. For operators with a legal basis, who say so publicly."`
	Beside   bool `hidden:"" help:"End when standard input does: with the resolver that runs this."`
}

// The collector's bounds, under which the process as a whole stays below 64 MiB.
const (
	sinkholeHeap    = 28 << 20
	sinkholePercent = 50
)

func (c *sinkholeAnswerCmd) Run(ctx context.Context, t terminal) error {
	debug.SetMemoryLimit(sinkholeHeap)
	debug.SetGCPercent(sinkholePercent)
	replies, err := c.replies()
	if err != nil {
		return usageError{err}
	}
	identity, err := parseIdentity(c.User)
	if err != nil {
		return usageError{err}
	}
	log := slog.New(slog.NewTextHandler(t.err, nil))
	if identity.wanted && identity.user == 0 {
		log.Warn("the sinkhole stays root: whoever takes it over may read all of this machine's files that its confinement does not bar", "instead", "--user "+nobody)
	}
	// The folder is known as the current one: the user that this goes on as need not reach it from above.
	if err := errors.Join(os.MkdirAll(c.Dir, 0o700), os.Chdir(c.Dir)); err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	const dir = "."
	s, err := sinkhole.Listen(sinkhole.Config{
		TCP: c.Listen, UDP: c.UDP, Dir: dir, Name: c.Dir, Replies: replies, Disk: int64(c.Disk), Retain: c.Retain, Networks: c.Networks, Log: log,
	})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := identity.assume(dir); err != nil {
		return err
	}
	leave := programPages()
	holds, err := sinkhole.Confine(dir)
	if err != nil {
		return err
	}
	log.Info("confinement", "holds", strings.Join(holds, "; "))
	debug.FreeOSMemory() // what starting took
	leave()
	if c.Beside {
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		go func() { io.Copy(io.Discard, t.in); end() }()
	}
	fmt.Fprintf(t.out, "sinkhole\n  tcp         %s\n  udp         %s\n  %s\n  in          %s\n%s", join(s.TCPAddrs()), join(s.UDPAddrs()), s.Describe(), c.Dir, identity.line())
	return s.Run(ctx)
}

func join(addrs []netip.AddrPort) string {
	if len(addrs) == 0 {
		return "none"
	}
	var all []string
	for _, a := range addrs {
		all = append(all, a.String())
	}
	return strings.Join(all, " ")
}

// replies is what each port sends.
func (c *sinkholeAnswerCmd) replies() (map[uint16]sinkhole.Reply, error) {
	all := map[uint16]sinkhole.Reply{}
	page, err := sinkhole.Page(c.Desk)
	if err != nil {
		return nil, err
	}
	for _, p := range c.Page {
		all[p] = sinkhole.Reply{Octets: page}
	}
	for _, p := range c.Close {
		all[p] = sinkhole.Reply{Close: true}
	}
	for _, r := range c.Reply {
		port, file, ok := strings.Cut(r, "=")
		n, err := strconv.ParseUint(port, 10, 16)
		if !ok || err != nil || n == 0 {
			return nil, fmt.Errorf("--reply %q: write it as PORT=FILE", r)
		}
		b, err := readReply(file)
		if err != nil {
			return nil, fmt.Errorf("--reply %q: %w", r, err)
		}
		all[uint16(n)] = sinkhole.Reply{Octets: b}
	}
	return all, nil
}

// readReply reads a file, as far as it could be a reply: Listen refuses a longer one.
func readReply(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, sinkhole.MaxReply+1))
}

// identity is the user and group to go on as.
type identity struct {
	user, group int
	wanted      bool
}

// nobody is who a sinkhole is that root starts: on nearly all systems a user who owns nothing.
const nobody = "65534:65534"

// parseIdentity reads a user and group. Without text it is nobody's where root is asked for it, and else nobody new.
func parseIdentity(text string) (identity, error) {
	if text == "" {
		if os.Geteuid() != 0 {
			return identity{}, nil
		}
		text = nobody
	}
	user, group, ok := strings.Cut(text, ":")
	u, err1 := strconv.ParseUint(user, 10, 31)
	g, err2 := strconv.ParseUint(group, 10, 31)
	if !ok || err1 != nil || err2 != nil {
		return identity{}, fmt.Errorf("--user %q: write it as UID:GID, in numbers", text)
	}
	return identity{int(u), int(g), true}, nil
}

// line says who the sinkhole goes on as; nothing where that is who started it.
func (i identity) line() string {
	if !i.wanted {
		return ""
	}
	return fmt.Sprintf("  as          user %d, group %d\n", i.user, i.group)
}

type sinkholeReportCmd struct {
	Dir  string `required:"" help:"Where captures are." placeholder:"DIR"`
	JSON bool   `name:"json" help:"As JSON."`
	Top  int    `help:"How many ports and families are shown." default:"20" placeholder:"N"`
}

func (c sinkholeReportCmd) Run(t terminal) error {
	if c.Top < 0 {
		return usageError{errors.New("--top: give a number of lines")}
	}
	r, err := sinkhole.ReadReport(c.Dir)
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(t.out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	w := bufio.NewWriter(t.out)
	const day = "2006-01-02 15:04"
	if r.From.IsZero() {
		fmt.Fprintf(w, "%d captures in %d segments, %d octets; nothing was counted yet: counts are written every minute\n", r.Captures, r.Segments, r.Octets)
	} else {
		fmt.Fprintf(w, "%d captures in %d segments, %d octets; counts from %s to %s (UTC)\n", r.Captures, r.Segments, r.Octets, r.From.Format(day), r.To.Format(day))
	}
	fmt.Fprintf(w, "%d connections ended for others, %d captures lost\n", r.Evicted, r.Dropped)
	for _, path := range r.Torn {
		fmt.Fprintf(w, "torn end, or still being written: %s\n", path)
	}
	fmt.Fprintf(w, "\n%-10s %12s %12s %14s\n", "port", "connections", "captures", "octets")
	for _, p := range r.Ports[:min(c.Top, len(r.Ports))] {
		fmt.Fprintf(w, "%-10s %12d %12d %14d\n", fmt.Sprintf("%s/%d", p.Transport, p.Port), p.Connections, p.Captures, p.Octets)
	}
	fmt.Fprintf(w, "\n%-12s %9s  %-16s  %-32s %s\n", "family", "captures", "last", "first octets", "ports")
	for _, f := range r.Families[:min(c.Top, len(r.Families))] {
		fmt.Fprintf(w, "%-12.12s %9d  %-16s  %-32s %v\n", f.Digest, f.Captures, f.Until.Format(day), f.First, f.Ports)
	}
	if len(r.Networks) > 0 {
		fmt.Fprintf(w, "\n%-20s %s\n", "network", "captures")
		for _, n := range r.Networks[:min(c.Top, len(r.Networks))] {
			fmt.Fprintf(w, "%-20s %d\n", n.Prefix, n.Captures)
		}
	}
	fmt.Fprintf(w, "\n%-12s %s\n", "day", "distinct sources, about")
	for _, d := range r.Days {
		fmt.Fprintf(w, "%-12s %d\n", d.Day, d.Sources)
	}
	fmt.Fprintf(w, "\n%-18s %s\n", "hour", "connections")
	for _, h := range r.Hours {
		fmt.Fprintf(w, "%-18s %d\n", h.Start.Format(day), h.Connections)
	}
	return w.Flush()
}

type sinkholeExportCmd struct {
	Dir string `required:"" help:"Where captures are." placeholder:"DIR"`
}

func (c sinkholeExportCmd) Run(t terminal) error {
	w := bufio.NewWriter(t.out)
	n, err := sinkhole.Export(c.Dir, w)
	if err = errors.Join(err, w.Flush()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.err, "%d packets; their addresses are made up, or of networks, since whole ones were not kept\n", n)
	return err
}
