package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/upstream"
)

// setupCmd asks three questions, writes a configuration, and says what to do with it. What
// is given as a flag is not asked.
type setupCmd struct {
	Follow  *string `help:"The public log to follow, or several with commas between them; - for none." placeholder:"URL,…"`
	Key     string  `help:"The log's verifier key, or those of several in the same order, with commas between them. Default: what the log shows, if you confirm it." placeholder:"VKEY,…"`
	View    string  `help:"filtered or unfiltered: what this node answers." enum:"filtered,unfiltered," default:""`
	Through *string `help:"Encrypted resolvers to ask, with commas between them: their unfiltered views, or an oblivious one as 'odoh://HOST/PATH?view=unfiltered via https://PROXY/PATH'; - for none, to resolve from the root." placeholder:"URL,…"`
	CA      string  `name:"ca" help:"Certificates (PEM) of who may sign those resolvers' own. Default: whom the system trusts." type:"existingfile" placeholder:"FILE"`
	LAN     bool    `name:"lan" help:"Answer the local network, not this machine alone."`
	File    string  `help:"The configuration file to write. Default: shoji.yaml in the user's configuration folder." type:"path" placeholder:"FILE"`
	Force   bool    `help:"Write over a file that is there."`
	Lang    string  `help:"en or ja. Default: by the locale." enum:"en,ja," default:""`
}

// tryTime is how long a log or a resolver that was named is waited for.
const tryTime = 8 * time.Second

// plan is what the answers amount to.
type plan struct {
	logs     []logToFollow // none = a log of its own
	filtered bool
	through  []string
	ca       string // "" = whom the system trusts
	lan      []netip.Addr
	prefixes []netip.Prefix // of the LAN, beside private ones
	port     uint16
}

// logToFollow is where a log is, and its key.
type logToFollow struct{ log, key string }

func (c *setupCmd) Run(ctx context.Context, t terminal) error {
	path, err := c.path()
	if err != nil {
		return err
	}
	q := &questions{ctx: ctx, in: bufio.NewReader(t.in), out: t.out, lang: language(c.Lang)}
	p := plan{port: 53}
	if err := c.whom(q, &p); err != nil {
		return err
	}
	if err := c.which(q, &p); err != nil {
		return err
	}
	if err := c.how(q, &p); err != nil {
		return err
	}
	if !bindable(p.port) {
		p.port = 5300
	}
	if c.LAN {
		if p.lan, p.prefixes, err = localNetwork(); err != nil {
			return err
		}
	}
	text := p.configuration(q)
	conf, err := config.Parse([]byte(text))
	if err == nil {
		err = convertible(conf)
	}
	if err != nil {
		return fmt.Errorf("what was answered makes no configuration: %w", err)
	}
	if err := write(path, text, c.Force); err != nil {
		return err
	}
	_, err = io.WriteString(t.out, p.directions(q, path))
	return err
}

// path is the file to write, which must not be there yet.
func (c *setupCmd) path() (string, error) {
	if c.File == "" {
		dir, err := os.UserConfigDir()
		if os.Geteuid() == 0 {
			dir, err = "/etc", nil
		}
		if err != nil {
			return "", usageError{fmt.Errorf("no folder for the configuration: %w: name a file with --file", err)}
		}
		c.File = filepath.Join(dir, "shoji", "shoji.yaml")
	}
	if _, err := os.Stat(c.File); err == nil && !c.Force {
		return "", usageError{fmt.Errorf("%s is there already: name another --file, or write over it with --force", c.File)}
	}
	return c.File, nil
}

func write(path, text string, over bool) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if !over {
		flags |= os.O_EXCL
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// which asks what this node answers.
func (c *setupCmd) which(q *questions, p *plan) error {
	view := c.View
	for view == "" {
		text, err := q.ask(sayWhich)
		if err != nil {
			return err
		}
		switch strings.ToLower(strings.TrimSpace(text)) {
		case "", "f", filteredView:
			view = filteredView
		case "u", unfilteredView:
			view = unfilteredView
		default:
			q.say(sayEither)
		}
	}
	p.filtered = view == filteredView
	return nil
}

// how asks whom to resolve through.
func (c *setupCmd) how(q *questions, p *plan) error {
	for {
		answer := c.Through
		if answer == nil {
			text, err := q.ask(sayHow)
			if err != nil {
				return err
			}
			answer = &text
		}
		through, err := c.resolvers(q, strings.TrimSpace(*answer))
		if err == nil {
			p.through, p.ca = through, c.CA
			return nil
		}
		if c.Through != nil || q.ctx.Err() != nil {
			return err
		}
		q.say(sayError, err)
	}
}

// resolvers reads the URLs of encrypted resolvers, finds the addresses of those that have names,
// and asks each once.
func (c *setupCmd) resolvers(q *questions, answer string) ([]string, error) {
	if answer == "" || answer == "-" {
		return nil, nil
	}
	roots, err := certificates(c.CA)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, text := range choices(answer) {
		found, err := withAddresses(q.ctx, text)
		if err != nil {
			return nil, err
		}
		alive := 0
		for _, r := range found {
			hide(q.ctx, &r, roots)
			took, err := try(q.ctx, r, roots)
			if err != nil {
				q.say(sayDead, r, err)
				continue
			}
			q.say(sayAlive, r, took.Round(time.Millisecond))
			if r.ECH != "" {
				q.say(sayHidden)
			} else if r.Transport != upstream.ODoH && r.Name != r.Addr.Addr().String() {
				q.say(sayReadable, r.Name)
			}
			out = append(out, r.String())
			alive++
		}
		if alive == 0 {
			return nil, fmt.Errorf(q.text(sayNobody), text)
		}
	}
	return out, nil
}

// choices parts an answer into resolvers, with commas or spaces between them. An oblivious one has the word via in it.
func choices(answer string) (out []string) {
	for _, word := range strings.FieldsFunc(answer, func(r rune) bool { return r == ',' || r == ' ' }) {
		if last := len(out) - 1; last >= 0 && (word == "via" || strings.HasSuffix(out[last], " via")) {
			out[last] += " " + word
		} else {
			out = append(out, word)
		}
	}
	return out
}

// maxAddresses is how many addresses of one resolver's name are used, of each family.
const maxAddresses = 2

// withAddresses reads one resolver. Where a host is a name, the system's resolver is asked for
// addresses: the name itself is what the certificate must have, so that a wrong answer can do
// no more than fail. An oblivious one's proxy is used by one address, of the target's family where it has one.
func withAddresses(ctx context.Context, text string) ([]upstream.Resolver, error) {
	if !upstream.Encrypted(text) {
		text = "https://" + text
	}
	if r, err := upstream.Parse(text); err == nil {
		return []upstream.Resolver{r}, nil
	}
	first, proxy, relayed := strings.Cut(text, " via ")
	urls, err := addressed(ctx, first)
	if err != nil {
		return nil, err
	}
	var proxies []string
	if relayed {
		if proxies, err = addressed(ctx, proxy); err != nil {
			return nil, err
		}
	}
	var out []upstream.Resolver
	for _, u := range urls {
		if len(proxies) > 0 {
			by := proxies[0]
			if i := slices.IndexFunc(proxies, func(p string) bool { return strings.Contains(p, "://[") == strings.Contains(u, "://[") }); i >= 0 {
				by = proxies[i]
			}
			u += " via " + by
		}
		r, err := upstream.Parse(u)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// addressed is a URL with its host's addresses, each in a URL of its own; as it is where the host is an address.
func addressed(ctx context.Context, text string) ([]string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil || u.Hostname() == "" || u.Fragment != "" {
		return []string{text}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil, err
	}
	name, port := u.Hostname(), u.Port()
	var out []string
	count := make(map[bool]int)
	for _, a := range addrs {
		a = a.Unmap()
		if count[a.Is4()]++; count[a.Is4()] > maxAddresses || a.Zone() != "" {
			continue
		}
		if u.Host, u.Fragment = a.String(), name; a.Is6() {
			u.Host = "[" + u.Host + "]"
		}
		if port != "" {
			u.Host += ":" + port
		}
		out = append(out, u.String())
	}
	return out, nil
}

// hide has a resolver's name encrypted on the way where it tells how. It is asked without saying its
// name.
func hide(ctx context.Context, r *upstream.Resolver, roots *x509.CertPool) {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	if r.ECH != "" || r.Transport == upstream.ODoH { // whose proxy and target are asked apart
		return
	}
	if list, err := upstream.FetchECH(ctx, *r, roots); err == nil && list != nil {
		r.ECH = upstream.AutoECH
	}
}

// try asks a resolver for the root's name servers.
func try(ctx context.Context, r upstream.Resolver, roots *x509.CertPool) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	query, err := (&dns.Message{
		Flags: dns.FlagRD, Question: []dns.Question{{Name: dns.Root, Type: dns.TypeNS, Class: dns.ClassIN}}, EDNS: &dns.EDNS{UDPSize: 1232},
	}).Append(nil)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	err = upstream.Ask(ctx, r, roots, query, func(reply []byte) bool {
		var m dns.Message
		return m.Unpack(reply) == nil && m.Flags&dns.FlagQR != 0 && m.RCode == dns.RCodeSuccess
	})
	return time.Since(start), err
}

// bindable reports whether this user may listen on a port of the machine.
func bindable(port uint16) bool {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// localNetwork finds the addresses that the local network reaches this machine by, and
// the prefixes of that network that are not private ones: in IPv6 hosts ask from public addresses.
func localNetwork() (addrs []netip.Addr, prefixes []netip.Prefix, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, nil, err
	}
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&(net.FlagLoopback|net.FlagPointToPoint) != 0 {
			continue
		}
		on, err := i.Addrs()
		if err != nil {
			return nil, nil, err
		}
		for _, a := range on {
			p, err := netip.ParsePrefix(a.String())
			if err != nil || p.Addr().IsLinkLocalUnicast() || p.Addr().Is4() && !p.Addr().IsPrivate() {
				continue // link-local ones need a zone; a public IPv4 address is not the LAN's
			}
			addrs = append(addrs, p.Addr())
			if !p.Addr().IsPrivate() && !slices.Contains(prefixes, p.Masked()) {
				prefixes = append(prefixes, p.Masked())
			}
		}
	}
	if len(addrs) == 0 {
		return nil, nil, errors.New("this machine has no address on a local network: leave out --lan")
	}
	return addrs, prefixes, nil
}

// questions puts questions to a person, or takes the lines of a pipe.
type questions struct {
	ctx  context.Context
	in   *bufio.Reader
	out  io.Writer
	lang string
	err  error
}

func (q *questions) text(s saying) string { return s[q.lang] }

func (q *questions) say(s saying, args ...any) {
	_, err := fmt.Fprintf(q.out, s[q.lang], args...)
	q.err = errors.Join(q.err, err)
}

// maxAnswer bounds a line, in octets.
const maxAnswer = 4096

// ask puts one question and returns a line.
func (q *questions) ask(s saying, args ...any) (string, error) {
	q.say(s, args...)
	if q.err != nil {
		return "", q.err
	}
	type line struct {
		text string
		err  error
	}
	got := make(chan line, 1)
	go func() { // a terminal cannot be read with a context
		var text strings.Builder
		for text.Len() < maxAnswer {
			b, err := q.in.ReadByte()
			if err != nil || b == '\n' {
				if err == io.EOF && text.Len() > 0 {
					err = nil
				}
				got <- line{text.String(), err}
				return
			}
			text.WriteByte(b)
		}
		got <- line{err: fmt.Errorf("an answer is longer than %d octets", maxAnswer)}
	}()
	select {
	case l := <-got:
		if l.err == io.EOF {
			return "", usageError{fmt.Errorf("%w: answer the questions, or give --follow, --view and --through", io.ErrUnexpectedEOF)}
		}
		return l.text, l.err
	case <-q.ctx.Done():
		return "", q.ctx.Err()
	}
}

func (q *questions) confirm(s saying, args ...any) (bool, error) {
	text, err := q.ask(s, args...)
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "y", "yes", "はい":
		return true, err
	}
	return false, err
}
