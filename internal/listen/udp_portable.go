package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// portable reads one UDP socket one datagram at a time, with nothing but what
// package net offers on every system.
type portable struct {
	s        *Server
	conn     *net.UDPConn
	wildcard bool
	counters *counters

	q     dns.Query
	tally tally
	in    [maxUDPQuery + 1]byte // one octet more, to tell what is too long
	out   [replyStride]byte
	local control
}

func newPortable(s *Server, addr netip.AddrPort) ([]udpReader, error) {
	c, err := openUDP(addr, false)
	if err != nil {
		return nil, err
	}
	return []udpReader{&portable{s: s, conn: c, wildcard: addr.Addr().IsUnspecified(), counters: s.newCounters()}}, nil
}

func (p *portable) socket() *net.UDPConn { return p.conn }

func (p *portable) run() error {
	for {
		p.local.len = len(p.local.data)
		n, controlLen, _, from, err := p.conn.ReadMsgUDPAddrPort(p.in[:], p.local.oob())
		if err != nil {
			if p.s.stopping.Load() {
				return nil
			}
			if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
				return fmt.Errorf("listen: read from %s: %w", p.conn.LocalAddr(), err)
			}
			continue // such as a report about an earlier reply
		}
		p.local.len = controlLen
		p.one(p.in[:n], from)
	}
}

// one answers a datagram or gives it to the pool.
func (p *portable) one(packet []byte, from netip.AddrPort) {
	if p.wildcard && !p.local.toReply() {
		p.counters.ignored.Add(1)
		return
	}
	client, packet, ok := p.s.speaker(from, packet)
	if !ok {
		p.counters.ignored.Add(1)
		return
	}
	reply, o := p.s.datagram(&p.q, packet, client, time.Now(), p.out[:0], &p.tally)
	if o >= needed {
		reply, o = p.s.submitDatagram(&p.q, p, from, client.Addr(), &p.local, o, p.out[:0], &p.tally)
	}
	p.counters.publish(&p.tally)
	if o == ready {
		if _, _, err := p.conn.WriteMsgUDPAddrPort(reply, p.local.oob(), from); err != nil {
			p.counters.unsent.Add(1)
		}
	}
}

// reply sends the reply to a miss.
func (p *portable) reply(m *miss, message []byte) {
	if _, _, err := p.conn.WriteMsgUDPAddrPort(message, m.control.oob(), m.from); err != nil {
		p.counters.unsent.Add(1)
	}
}

// unseen is 0: nobody else reads the socket.
func (p *portable) unseen(time.Time) time.Duration { return 0 }

// look has nothing to do.
func (p *portable) look(int) {}

// flush has nothing to do: reply keeps nothing.
func (p *portable) flush() {}
