package rpz

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

// VendorConfig is what a Vendor needs.
type VendorConfig struct {
	Zone dns.Name
	From []netip.AddrPort // asked in this order until one answers
	Key  *Key             // that requests are signed with, and every reply must be; nil: none
}

// Vendor is a policy zone of somebody else, as it was last transferred. One goroutine may
// use it at a time.
type Vendor struct {
	cfg  VendorConfig
	zone string // in lower case with its dot
	held *holding
}

// holding is a transferred zone: its records, each as a line of a zone file without its
// TTL, relative to the zone where it is below it.
type holding struct {
	serial uint32
	lines  map[string]struct{}
	octets int // of the lines
}

// NewVendor makes a Vendor that holds nothing yet.
func NewVendor(cfg VendorConfig) (*Vendor, error) {
	switch {
	case cfg.Zone == "" || cfg.Zone == dns.Root:
		return nil, errors.New("the zone has no name")
	case len(cfg.From) == 0:
		return nil, fmt.Errorf("zone %s: no servers to transfer it from", cfg.Zone)
	}
	return &Vendor{cfg: cfg, zone: mdns.CanonicalName(cfg.Zone.String())}, nil
}

// Serial is the serial number of what is held; false if nothing is.
func (v *Vendor) Serial() (uint32, bool) {
	if v.held == nil {
		return 0, false
	}
	return v.held.serial, true
}

// Refresh transfers what is new: the difference to what is held, or where the server has
// none, the whole zone. It reports whether anything came. After an error what is held is
// what it was: a transfer counts when it is complete and each of its messages is signed as
// it must be.
func (v *Vendor) Refresh(ctx context.Context) (bool, error) {
	var faults []error
	for _, from := range v.cfg.From {
		next, err := v.fetch(ctx, from)
		if errors.Is(err, errStep) { // the server's difference does not fit: the whole zone will
			held := v.held
			v.held = nil
			if next, err = v.fetch(ctx, from); err != nil {
				v.held = held
			}
		}
		if err == nil {
			changed := next != nil
			if changed {
				v.held = next
			}
			return changed, nil
		}
		faults = append(faults, fmt.Errorf("transfer of %s from %s: %w", v.cfg.Zone, from, err))
		if ctx.Err() != nil {
			break
		}
	}
	return false, errors.Join(faults...)
}

// WriteTo writes what is held as a zone file without its apex, in the order of the owners.
func (v *Vendor) WriteTo(w io.Writer) (int64, error) {
	var n int64
	out := bufio.NewWriter(w)
	if v.held != nil {
		for _, l := range slices.Sorted(maps.Keys(v.held.lines)) {
			if strings.HasPrefix(l, "@ ") {
				continue
			}
			k, _ := fmt.Fprintln(out, l) // Flush says what fails
			n += int64(k)
		}
	}
	return n, out.Flush()
}

// Vendors' faults.
var (
	errCut   = errors.New("the transfer ends before the zone does")
	errFirst = errors.New("the transfer does not begin with the zone's SOA record")
	errStep  = errors.New("the difference does not fit what is held")
	errLarge = fmt.Errorf("the zone has more than %d records or %d octets", MaxRecords, MaxOctets)
)

// fetch transfers from one server; nil if there is nothing new.
func (v *Vendor) fetch(ctx context.Context, from netip.AddrPort) (*holding, error) {
	ctx, cancel := context.WithTimeout(ctx, transferTime)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", from.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	m := new(mdns.Msg)
	if v.held == nil {
		m.SetAxfr(v.zone)
	} else {
		m.SetIxfr(v.zone, v.held.serial, ".", ".")
	}
	var id [2]byte
	rand.Read(id[:])
	m.Id = binary.BigEndian.Uint16(id[:])
	s := session{key: v.cfg.Key}
	raw, err := s.pack(m)
	if err != nil {
		return nil, err
	}
	if err := writeFrame(c, raw); err != nil {
		return nil, err
	}
	s.timers = false
	next, err := v.receive(c, m.Id, &s)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	return next, err
}

// receive reads the messages of a transfer.
func (v *Vendor) receive(c net.Conn, id uint16, s *session) (*holding, error) {
	in := &intake{zone: v.zone, held: v.held}
	buf := make([]byte, mdns.MaxMsgSize)
	for !in.done {
		c.SetReadDeadline(time.Now().Add(writeTime))
		raw, err := readFrame(c, buf)
		if err != nil {
			return nil, errors.Join(errCut, err)
		}
		if err := in.message(raw, id, s); err != nil {
			return nil, err
		}
	}
	if err := s.settled(); err != nil {
		return nil, err
	}
	return in.finish()
}

// intake puts a transfer's records together.
type intake struct {
	zone   string
	held   *holding // what the difference is to; nil: the whole zone is expected
	soa    *mdns.SOA
	next   *holding // nil: nothing new
	inStep bool     // a difference, and not the whole zone
	edits  []edit   // of the difference
	adding bool     // the step's second half
	at     uint32   // the serial that the steps have led to
	octets int      // received
	count  int      // records received
	done   bool
}

// message takes one message in.
func (in *intake) message(raw []byte, id uint16, s *session) error {
	var m mdns.Msg
	if err := m.Unpack(raw); err != nil {
		return fmt.Errorf("a message that cannot be read: %w", err)
	}
	if !m.Response || m.Id != id {
		return errors.New("a message that is no reply to the request")
	}
	if m.Rcode != mdns.RcodeSuccess {
		return fmt.Errorf("the server answers %s", mdns.RcodeToString[m.Rcode])
	}
	if err := s.verify(raw, &m); err != nil {
		return err
	}
	if len(m.Answer) == 0 {
		return errCut
	}
	in.octets += len(raw)
	for i, rr := range m.Answer {
		if in.count++; in.count > MaxRecords || in.octets > MaxOctets {
			return errLarge
		}
		if in.done {
			return errors.New("records after the zone's end")
		}
		if err := in.record(rr, i == len(m.Answer)-1); err != nil {
			return err
		}
	}
	return nil
}

// record takes one record in; last says that it is the last of its message.
func (in *intake) record(rr mdns.RR, last bool) error {
	soa, isSOA := rr.(*mdns.SOA)
	if isSOA && mdns.CanonicalName(soa.Hdr.Name) != in.zone {
		isSOA = false
	}
	switch {
	case in.soa == nil && !isSOA:
		return errFirst
	case in.soa == nil:
		in.soa = soa
		if in.held != nil && (soa.Serial == in.held.serial || newer(in.held.serial, soa.Serial)) && last {
			in.done = true // nothing new: RFC 1995 §2
		}
		return nil
	case in.next == nil:
		return in.begin(rr, soa, isSOA)
	case in.inStep && isSOA:
		return in.turn(soa)
	case isSOA:
		return in.end(soa)
	case in.inStep:
		in.edits = append(in.edits, edit{line(rr, in.zone), in.adding})
		return nil
	}
	return in.next.add(line(rr, in.zone))
}

// begin sees by the second record what kind of transfer it is (RFC 1995 §4).
func (in *intake) begin(rr mdns.RR, soa *mdns.SOA, isSOA bool) error {
	if isSOA && in.held != nil && soa.Serial == in.held.serial && soa.Serial != in.soa.Serial {
		in.inStep, in.at, in.next = true, soa.Serial, in.held
		return nil
	}
	in.next = &holding{lines: map[string]struct{}{}}
	if isSOA {
		return in.end(soa)
	}
	return in.next.add(line(rr, in.zone))
}

// turn is a SOA record within a difference.
func (in *intake) turn(soa *mdns.SOA) error {
	switch {
	case !in.adding: // to the additions of this step
		if !newer(soa.Serial, in.at) {
			return errStep
		}
		in.adding, in.at = true, soa.Serial
	case soa.Serial == in.soa.Serial && in.at == soa.Serial:
		return in.end(soa)
	case soa.Serial == in.at: // the next step
		in.adding = false
	default:
		return errStep
	}
	return nil
}

// end is the SOA record that ends the transfer.
func (in *intake) end(soa *mdns.SOA) error {
	if soa.Serial != in.soa.Serial {
		return errFirst
	}
	in.done = true
	return nil
}

// finish is the zone that the transfer leads to; nil if there is nothing new.
func (in *intake) finish() (*holding, error) {
	if in.next == nil {
		return nil, nil
	}
	if in.inStep {
		if err := in.held.apply(in.edits); err != nil {
			return nil, err
		}
	}
	in.next.serial = in.soa.Serial
	return in.next, nil
}

// line is a record as it is held; "" for one that is not of the zone.
func line(rr mdns.RR, zone string) string {
	h := rr.Header()
	owner := mdns.CanonicalName(h.Name)
	switch {
	case owner == zone:
		owner = "@"
	case strings.HasSuffix(owner, "."+zone):
		owner = owner[:len(owner)-len(zone)-1]
	default:
		return ""
	}
	return owner + " " + mdns.Type(h.Rrtype).String() + " " + strings.TrimPrefix(rr.String(), h.String())
}

// edit is one record that a difference adds or removes.
type edit struct {
	line string // "" for one that is not of the zone
	add  bool
}

// apply makes all of the edits, or where one does not fit none.
func (h *holding) apply(edits []edit) error {
	for i, e := range edits {
		if err := h.edit(e); err != nil {
			for i--; i >= 0; i-- {
				_ = h.edit(edit{edits[i].line, !edits[i].add}) // it fits: it undoes what was done
			}
			return err
		}
	}
	return nil
}

// edit adds what is not there or removes what is.
func (h *holding) edit(e edit) error {
	if e.line == "" {
		return nil
	}
	if _, ok := h.lines[e.line]; ok == e.add {
		return errStep
	}
	if e.add {
		return h.add(e.line)
	}
	h.octets -= len(e.line)
	delete(h.lines, e.line)
	return nil
}

// add takes a record in; one that is there already changes nothing.
func (h *holding) add(l string) error {
	if _, ok := h.lines[l]; ok || l == "" {
		return nil
	}
	if h.octets += len(l); h.octets > MaxOctets || len(h.lines) >= MaxRecords {
		return errLarge
	}
	h.lines[l] = struct{}{}
	return nil
}
