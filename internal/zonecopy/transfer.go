package zonecopy

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

const (
	// maxRecords bounds a zone; the root has some 25,000 records.
	maxRecords = 1 << 20

	// maxTransfer bounds a transfer or zone file, in octets; the root's is below 2 MiB.
	maxTransfer = 128 << 20

	// transferTime bounds one attempt at one server, whatever it sends meanwhile.
	transferTime = 2 * time.Minute
)

var (
	errCut   = errors.New("the transfer ends before the zone does")
	errFirst = errors.New("the transfer does not begin with the zone's SOA record")
	errMany  = fmt.Errorf("the transfer has more than %d records", maxRecords)
)

// transfer asks for the whole zone (RFC 5936). What arrives is written to keep as well.
func transfer(ctx context.Context, from netip.AddrPort, zone dns.Name, keep io.Writer) ([]dns.RR, error) {
	c, err := query(ctx, from, zone, dns.TypeAXFR)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return readTransfer(io.TeeReader(io.LimitReader(c, maxTransfer), keep), zone)
}

// askSerial asks for the serial number of the zone's SOA record.
func askSerial(ctx context.Context, from netip.AddrPort, zone dns.Name) (uint32, error) {
	c, err := query(ctx, from, zone, dns.TypeSOA)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	m, err := readMessage(c)
	if err != nil {
		return 0, err
	}
	for i := range m.Answer {
		if rr := &m.Answer[i]; isSOA(rr, zone) {
			return soaField(*rr, soaSerial), nil
		}
	}
	return 0, errors.New("the answer has no SOA record of the zone")
}

// query sends a question over a TCP connection of its own, so that all that comes back on
// it is the answer.
func query(ctx context.Context, to netip.AddrPort, zone dns.Name, t dns.Type) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	if end, ok := ctx.Deadline(); ok {
		err = c.SetDeadline(end)
	}
	context.AfterFunc(ctx, func() { c.Close() })
	var id [2]byte
	rand.Read(id[:])
	m := dns.Message{ID: binary.BigEndian.Uint16(id[:]), Question: []dns.Question{{Name: zone, Type: t, Class: dns.ClassIN}}}
	out, perr := m.Append(make([]byte, 2))
	if err = errors.Join(err, perr); err == nil {
		binary.BigEndian.PutUint16(out, uint16(len(out)-2))
		_, err = c.Write(out)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// readTransfer reads the messages of a zone transfer up to its second SOA record, as they
// come over TCP: each after its length. It returns the records between, the SOA first.
func readTransfer(r io.Reader, zone dns.Name) ([]dns.RR, error) {
	var records []dns.RR
	for {
		m, err := readMessage(r)
		if err != nil {
			return nil, err
		}
		for i := range m.Answer {
			rr := &m.Answer[i]
			soa := isSOA(rr, zone)
			switch {
			case len(records) == 0 && !soa:
				return nil, errFirst
			case len(records) > 0 && soa:
				return records, nil
			case len(records) == maxRecords:
				return nil, errMany
			}
			records = append(records, *rr)
		}
	}
}

func readMessage(r io.Reader) (*dns.Message, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, errCut
	}
	buf := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, errCut
	}
	m := new(dns.Message)
	if err := m.Unpack(buf); err != nil {
		return nil, err
	}
	switch {
	case !m.Flags.Has(dns.FlagQR):
		return nil, errors.New("a query came for an answer")
	case m.RCode != dns.RCodeSuccess:
		return nil, fmt.Errorf("the server answers %s", m.RCode)
	}
	return m, nil
}

func isSOA(rr *dns.RR, zone dns.Name) bool {
	return rr.Type == dns.TypeSOA && rr.Class == dns.ClassIN && rr.Name.Equal(zone) && len(rr.Data) >= soaTail
}

// The numbers of a SOA record, in their order after two names (RFC 1035 §3.3.13).
const (
	soaSerial = iota
	soaRefresh
	soaRetry
	soaExpire
	soaMinimum

	soaTail = 4 * (soaMinimum + 1)
)

func soaField(soa dns.RR, field int) uint32 {
	return binary.BigEndian.Uint32(soa.Data[len(soa.Data)-soaTail+4*field:])
}
