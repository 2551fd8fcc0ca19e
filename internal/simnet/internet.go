package simnet

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is what Exchange returns when a server closed the TCP connection and
// none of its messages was accepted.
var ErrClosed = errors.New("connection closed by the server")

// ErrRefused is what Exchange returns for TCP to a server that has NoTCP set.
var ErrRefused = errors.New("connection refused")

// Query is one message as it reaches a server.
type Query struct {
	Server  netip.Addr
	Port    uint16
	TCP     bool
	Bytes   []byte // not to be changed or kept
	Attempt uint32 // how often this question has been put to this server before
}

// Reply is one message that a Handler sends.
type Reply struct {
	Bytes []byte
	After time.Duration // since the query arrived
}

// Handler is a server of one's own making: an attacker, a broken server, a
// forwarder. It may return any number of replies, of any content. It is called
// from the goroutine of the Exchange, and so from many at once.
type Handler func(Query) []Reply

// Server is a host with one or more addresses.
type Server struct {
	addrs   []netip.Addr
	handle  Handler
	zones   *authority
	faults  atomic.Pointer[Faults]
	queries atomic.Uint64
}

// Addrs are the server's addresses.
func (s *Server) Addrs() []netip.Addr { return slices.Clone(s.addrs) }

// Queries counts the messages sent to the server, lost ones too.
func (s *Server) Queries() uint64 { return s.queries.Load() }

// SetFaults gives the server faults of its own, in place of the Internet's.
func (s *Server) SetFaults(f Faults) { s.faults.Store(&f) }

// ClearFaults lets the Internet's faults count again.
func (s *Server) ClearFaults() { s.faults.Store(nil) }

// Internet is a set of servers and the network before them. All methods may be
// called from any goroutine.
type Internet struct {
	seed    uint64
	tree    *Tree
	faults  atomic.Pointer[Faults]
	trace   atomic.Pointer[func(Event)]
	queries atomic.Uint64
	tries   attempts

	mu      sync.RWMutex
	servers map[netip.Addr]*Server
}

// New makes an Internet without servers. Whatever chance decides in it derives
// from the seed.
func New(seed uint64) *Internet {
	in := &Internet{seed: seed, servers: map[netip.Addr]*Server{}}
	in.faults.Store(&Faults{})
	return in
}

// Serve sets up an authoritative server for zones.
func (in *Internet) Serve(zones []*Zone, addrs ...netip.Addr) *Server {
	a := &authority{zones: map[string]*Zone{}}
	for _, z := range zones {
		a.zones[z.origin] = z
	}
	return in.add(&Server{zones: a, addrs: addrs})
}

// Handle sets up a server that does what h says.
func (in *Internet) Handle(h Handler, addrs ...netip.Addr) *Server {
	return in.add(&Server{handle: h, addrs: addrs})
}

func (in *Internet) add(s *Server) *Server {
	s.addrs = slices.Clone(s.addrs)
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, addr := range s.addrs {
		in.servers[addr.Unmap()] = s
	}
	return s
}

// Server is the server that has the address, or nil.
func (in *Internet) Server(addr netip.Addr) *Server {
	in.mu.RLock()
	defer in.mu.RUnlock()
	return in.servers[addr.Unmap()]
}

// Authoritative is the plain server behaviour for zones, for a Handler of one's
// own that wants the true reply to change it.
func Authoritative(zones ...*Zone) Handler {
	a := &authority{zones: map[string]*Zone{}}
	for _, z := range zones {
		a.zones[z.origin] = z
	}
	return func(q Query) []Reply {
		if r := a.reply(q.Bytes, q.TCP, &Faults{}); r != nil {
			return []Reply{{Bytes: r}}
		}
		return nil
	}
}

// SetFaults sets the faults of every server that has none of its own.
func (in *Internet) SetFaults(f Faults) { in.faults.Store(&f) }

// Faults are the faults of servers that have none of their own.
func (in *Internet) Faults() Faults { return *in.faults.Load() }

// SetTrace sets a function that is told of every event; nil for none. It is
// called from many goroutines at once.
func (in *Internet) SetTrace(f func(Event)) {
	if f == nil {
		in.trace.Store(nil)
		return
	}
	in.trace.Store(&f)
}

// Queries counts the messages sent to any address, whether anybody is there or not.
func (in *Internet) Queries() uint64 { return in.queries.Load() }

// Tree is what the Internet's own zones say; nil where it was not built from a Tree.
func (in *Internet) Tree() *Tree { return in.tree }

// respond is what the server does with a query.
func (s *Server) respond(q Query, f *Faults) []Reply {
	if s.handle != nil {
		return s.handle(q)
	}
	if r := s.zones.reply(q.Bytes, q.TCP, f); r != nil {
		return []Reply{{Bytes: r}}
	}
	return nil
}

// Exchange carries a query to a server and hands accept each message that comes
// back, in the order of arrival, until accept returns true. Otherwise it returns
// when ctx ends, with its error; over TCP earlier, with ErrClosed or ErrRefused.
func (in *Internet) Exchange(ctx context.Context, addr netip.Addr, port uint16, tcp bool, query []byte, accept func(reply []byte) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	in.queries.Add(1)
	x := &exchange{in: in, accept: accept, q: Query{Server: addr, Port: port, TCP: tcp, Bytes: query}}
	question := readQuestion(query)
	x.q.Attempt = in.tries.next(attemptKey(in.seed, addr, tcp, question))
	x.name, x.qtype = question.String()
	if x.server = in.Server(addr); x.server == nil {
		x.note(NoServer, nil, 0)
		<-ctx.Done()
		return ctx.Err()
	}
	x.server.queries.Add(1)
	if x.faults = x.server.faults.Load(); x.faults == nil {
		x.faults = in.faults.Load()
	}
	x.dice = newDice(in.seed, addr, tcp, question, x.q.Attempt)
	if tcp && x.faults.NoTCP {
		x.note(Refused, nil, 0)
		return ErrRefused
	}
	x.send()
	return x.run(ctx)
}
