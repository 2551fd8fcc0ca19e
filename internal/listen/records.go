package listen

import (
	"encoding/binary"
	"net"
	"sync"
)

const (
	// recordHeader is the length of a TLS record's header in octets, and maxRecord that of the
	// longest record with it (RFC 8446 §5.1, §5.2).
	recordHeader = 5
	maxRecord    = recordHeader + maxPlaintext + 256
	// maxPlaintext is what a record holds (RFC 8446 §5.1).
	maxPlaintext = 1 << 14
	// maxHeld is the longest buffer for records to send that is kept.
	maxHeld = 1 << 10
)

// records is a connection as TLS reads it. It reads ahead as much as there is, and gives out a
// record at a time, so that it knows when everything that came has been read: then it calls
// dry, before it waits for more. So the replies to all queries that came together leave together,
// however many records they came in.
type records struct {
	net.Conn
	dry   func() bool      // nil: there is nothing to do
	ahead *sync.Pool       // of *[maxRecord]byte
	in    *[maxRecord]byte // [at:have] was read and not yet given out; nil: nothing was
	wait  func() error     // reads into in, which it takes when there is something to read
	at    int
	have  int
	head  [recordHeader]byte // the header of the record that is given out
	got   int                // octets of head
	left  int                // octets of the record after its header

	write   sync.Mutex
	holding bool
	held    []byte // records that are written and not yet sent
}

// hold has the records that are written wait for the next ones, until it is told otherwise. What is
// held leaves with what is written then, or by flush.
func (r *records) hold(on bool) {
	r.write.Lock()
	defer r.write.Unlock()
	r.holding = on
}

// Write sends a record, or holds it.
func (r *records) Write(b []byte) (int, error) {
	r.write.Lock()
	defer r.write.Unlock()
	if !r.holding && len(r.held) == 0 {
		return r.Conn.Write(b)
	}
	r.held = append(r.held, b...)
	if r.holding && len(r.held) < flushAt {
		return len(b), nil
	}
	return len(b), r.flushLocked()
}

// flush sends what is held.
func (r *records) flush() error {
	r.write.Lock()
	defer r.write.Unlock()
	return r.flushLocked()
}

func (r *records) flushLocked() (err error) {
	if len(r.held) > 0 {
		_, err = r.Conn.Write(r.held)
	}
	if r.held = r.held[:0]; cap(r.held) > maxHeld {
		r.held = nil
	}
	return err
}

// Read gives out octets of one record.
func (r *records) Read(b []byte) (int, error) {
	if r.at == r.have {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := 0
	if r.left == 0 {
		n = r.take(b, recordHeader-r.got)
		copy(r.head[r.got:], b[:n])
		if r.got += n; r.got < recordHeader {
			return n, nil
		}
		r.got, r.left = 0, int(binary.BigEndian.Uint16(r.head[3:]))
	}
	body := r.take(b[n:], r.left)
	r.left -= body
	return n + body, nil
}

// take gives out up to limit octets of what was read.
func (r *records) take(b []byte, limit int) int {
	n := copy(b, r.in[r.at:min(r.have, r.at+limit)])
	r.at += n
	return n
}

// newRecords makes what TLS reads a connection by, with buffers from a pool. first was read already.
func newRecords(c net.Conn, ahead *sync.Pool, first []byte) *records {
	r := &records{Conn: c, ahead: ahead}
	if len(first) > 0 {
		r.in = ahead.Get().(*[maxRecord]byte)
		r.have = copy(r.in[:], first)
	}
	r.wait = r.waiter(c)
	return r
}

// empty reports whether everything that was read has been given out.
func (r *records) empty() bool { return r.at == r.have }

// ready waits until there is something to give out. dry is not called.
func (r *records) ready() error {
	if !r.empty() {
		return nil
	}
	r.release()
	return r.wait()
}

// fill reads from the connection when everything was given out.
func (r *records) fill() error {
	if r.dry != nil && !r.dry() {
		return net.ErrClosed
	}
	r.release()
	return r.wait()
}

// release gives the empty buffer back.
func (r *records) release() {
	if r.in != nil {
		r.ahead.Put(r.in)
		r.in = nil
	}
	r.at, r.have = 0, 0
}

// readPlain reads where nothing else tells when there is something to read: it holds a buffer
// while it waits.
func (r *records) readPlain() error {
	r.in = r.ahead.Get().(*[maxRecord]byte)
	n, err := r.Conn.Read(r.in[:])
	if r.have = n; n == 0 {
		r.release()
	}
	return err
}
