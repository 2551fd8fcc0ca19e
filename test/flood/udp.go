package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
)

const (
	udpKind = "udp"
	// window is how many queries over UDP are under way on each socket, and sockets how many there are.
	window, sockets = 1024, 4
	// batch is how many one system call moves.
	batch = 32
	// lost is when what was not answered counts as lost.
	lost = 10 * time.Millisecond
)

// query asks for a name that the server answers without the network.
const query = "\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02c2\x04evil\x04test\x00\x00\x01\x00\x01"

// plain asks over UDP as fast as the server answers, or at target.rate. The input's lines are answered by how many
// replies came.
func plain(ctx context.Context, to target) (int, error) {
	var replies atomic.Int64
	failed := make(chan error, sockets)
	for i := range sockets {
		go func() { failed <- ask(ctx, to, i, &replies) }()
	}
	lines := bufio.NewReader(os.Stdin)
	for {
		if _, err := lines.ReadString('\n'); err != nil {
			return int(replies.Load()), nil
		}
		fmt.Println(replies.Load())
		select {
		case err := <-failed:
			return 0, err
		default:
		}
	}
}

// ask keeps window queries under way on one socket. Replies come in the order of their queries but for
// some, so a reply says of each query before its own that it is answered or lost.
func ask(ctx context.Context, to target, i int, replies *atomic.Int64) error {
	c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 1, byte(1+i))}, net.UDPAddrFromAddrPort(to.udp))
	if err != nil {
		return err
	}
	defer c.Close()
	p := ipv4.NewPacketConn(c)
	c.SetReadBuffer(1 << 20)
	out, in := make([]ipv4.Message, batch), make([]ipv4.Message, batch)
	for i := range out {
		out[i].Buffers = [][]byte{[]byte(query)}
		in[i].Buffers = [][]byte{make([]byte, 2048)}
	}
	if to.rate > 0 {
		go func() {
			if err := pace(ctx, p, out, to.rate/sockets); err != nil {
				c.Close() // which the other half tells
			}
		}()
	}
	var sent, past uint16 // the ID of the next query, and of the first that is under way
	for ctx.Err() == nil {
		for to.rate == 0 && sent-past < window {
			n := min(batch, window-(sent-past))
			for i := range n {
				binary.BigEndian.PutUint16(out[i].Buffers[0], sent+i)
			}
			written, err := p.WriteBatch(out[:n], 0)
			if err != nil {
				return err
			}
			sent += uint16(written)
		}
		c.SetReadDeadline(time.Now().Add(lost))
		n, err := p.ReadBatch(in, 0)
		if err != nil {
			past = sent // what is under way is lost
			continue
		}
		replies.Add(int64(n))
		for _, m := range in[:n] {
			if id := binary.BigEndian.Uint16(m.Buffers[0]); id-past < sent-past {
				past = id + 1
			}
		}
	}
	return nil
}

// pace sends so many queries a second, whatever comes back.
func pace(ctx context.Context, p *ipv4.PacketConn, out []ipv4.Message, rate int) error {
	start, sent := time.Now(), 0
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for due := int(time.Since(start).Seconds() * float64(rate)); sent < due; {
			n, err := p.WriteBatch(out[:min(batch, due-sent)], 0)
			if err != nil {
				return err
			}
			sent += n
		}
	}
}
