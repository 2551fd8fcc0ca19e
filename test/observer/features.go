package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"time"
)

// packet is what an observer keeps of one packet.
type packet struct {
	at       time.Time
	out      bool // from the client's side
	tcp      bool
	flags    byte // of TCP
	server   netip.AddrPort
	client   uint16 // the client's port
	payload  int    // octets above UDP or TCP
	filtered bool   // a view's name stands there in clear text
	twin     bool
	initial  []byte // an Initial packet of a QUIC client, with what stands behind it; nil: it is none
}

// clientSide is the address of the client's side of the link, as observer.sh gives it.
const clientSide = "198.18.77.0"

// read reads an Ethernet frame with IPv4. It reports false for all else.
func read(frame []byte, at time.Time) (packet, bool) {
	const ethernet = 14
	if len(frame) < ethernet+20 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 || frame[ethernet]>>4 != 4 {
		return packet{}, false
	}
	ip := frame[ethernet:]
	head, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if head < 20 || total < head || total > len(ip) {
		return packet{}, false
	}
	above := ip[head:total]
	from, to := netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	p := packet{at: at, out: from == netip.MustParseAddr(clientSide)}
	switch {
	case ip[9] == 17 && len(above) >= 8:
		p.payload = len(above) - 8
	case ip[9] == 6 && len(above) >= 20 && int(above[12]>>4)*4 >= 20 && int(above[12]>>4)*4 <= len(above):
		p.tcp, p.flags, p.payload = true, above[13]&0x07, len(above)-int(above[12]>>4)*4 // FIN, SYN, RST
	default:
		return packet{}, false
	}
	source, dest := binary.BigEndian.Uint16(above), binary.BigEndian.Uint16(above[2:])
	p.server, p.client = netip.AddrPortFrom(to, dest), source
	if !p.out {
		p.server, p.client = netip.AddrPortFrom(from, source), dest
	}
	p.filtered, p.twin = named(above)
	if p.out && !p.tcp && initial(above[8:]) {
		p.initial = bytes.Clone(above[8:])
	}
	return p, true
}

// named reports which views' names stand in some octets.
func named(b []byte) (filtered, twin bool) {
	f, _ := face(true)
	u, _ := face(false)
	return bytes.Contains(b, []byte(f)), bytes.Contains(b, []byte(u))
}

// greetings are what the clients of a session say first over QUIC, put together.
func (s seen) greetings() map[uint16][]byte {
	out, first := make(map[uint16][]byte), make(map[uint16][]byte)
	for _, p := range s {
		if p.initial == nil {
			continue
		}
		all, destination := fragments(p.initial, first[p.client])
		if first[p.client] == nil {
			first[p.client] = destination
		}
		for _, f := range all {
			if out[p.client] == nil {
				out[p.client] = make([]byte, maxHello)
			}
			copy(out[p.client][f.at:], f.data)
		}
	}
	return out
}

// seen is all that was seen of one session.
type seen []packet

// What a session is reduced to: sums first, then the first packets with a payload one by one.
const (
	sums = 16
	head = 40 // packets; twelve questions has some thirty
	wide = sums + 3*head
)

// featureName says what a number of features is.
func featureName(i int) string {
	names := [sums]string{"server", "name in clear text", "packets out", "packets in", "octets out", "octets in", "shortest out",
		"longest out", "shortest in", "longest in", "duration", "time to replies", "slowest reply", "fastest reply", "connections", "set of lengths in"}
	switch {
	case i < 0:
		return "nothing"
	case i < sums:
		return names[i]
	case i < sums+head:
		return fmt.Sprintf("length of packet %d", i-sums+1)
	case i < sums+2*head:
		return fmt.Sprintf("gap before packet %d", i-sums-head+1)
	}
	return fmt.Sprintf("direction of packet %d", i-sums-2*head+1)
}

// features are the numbers that a classifier gets.
func (s seen) features() []float64 {
	f := make([]float64, wide)
	lengths, servers := make(map[int]bool), fnv.New32a()
	clients := make(map[uint16]bool)
	f[6], f[8], f[13] = 1<<16, 1<<16, 1e9
	var asked time.Time
	n := 0
	for i, p := range s {
		servers.Reset()
		text, _ := p.server.MarshalBinary()
		servers.Write(text)
		f[0] = max(f[0], float64(servers.Sum32()))
		clients[p.client] = true
		if p.filtered {
			f[1]++
		}
		if p.twin {
			f[1]--
		}
		if p.payload == 0 {
			continue
		}
		length := float64(p.payload)
		side := 0
		if !p.out {
			side = 1
			lengths[p.payload] = true
		}
		f[2+side]++
		f[4+side] += length
		f[6+2*side] = min(f[6+2*side], length)
		f[7+2*side] = max(f[7+2*side], length)
		if p.out {
			asked = p.at
		} else if !asked.IsZero() {
			wait := p.at.Sub(asked).Seconds()
			f[11] += wait
			f[12], f[13] = max(f[12], wait), min(f[13], wait)
			asked = time.Time{}
		}
		if n < head {
			f[sums+n] = length
			if i > 0 {
				f[sums+head+n] = p.at.Sub(s[i-1].at).Seconds()
			}
			f[sums+2*head+n] = float64(1 + side)
			n++
		}
	}
	if len(s) > 0 {
		f[10] = s[len(s)-1].at.Sub(s[0].at).Seconds()
	}
	for _, hello := range s.greetings() {
		filtered, twin := named(hello)
		if filtered {
			f[1]++
		}
		if twin {
			f[1]--
		}
	}
	f[14] = float64(len(clients))
	for l := range lengths {
		f[15] += float64(l * l % 65537) // any sum that tells sets apart
	}
	return f
}
