package simnet

import (
	"context"
	"slices"
	"time"
)

// exchange is one call of Exchange: a short agenda of what is under way.
type exchange struct {
	in     *Internet
	server *Server
	faults *Faults
	dice   *dice
	accept func([]byte) bool
	q      Query
	name   string // of the question, for the trace
	qtype  string

	agenda []parcel
	open   bool // TCP: the connection has come about
}

// parcel is a message on its way.
type parcel struct {
	at    time.Duration // when it arrives, since the exchange began
	query bool          // the query, on its way to the server; else a reply
	bytes []byte        // of a reply
	what  What          // how a reply will be reported
}

// put adds a parcel, behind those that arrive at the same moment.
func (x *exchange) put(p parcel) {
	i := len(x.agenda)
	for i > 0 && x.agenda[i-1].at > p.at {
		i--
	}
	x.agenda = slices.Insert(x.agenda, i, p)
}

// send puts the query on its way, over the faults of that way.
func (x *exchange) send() {
	f := x.faults
	x.note(Sent, x.q.Bytes, 0)
	if f.Dead {
		x.note(Lost, x.q.Bytes, 0)
		return
	}
	at := x.dice.travel(f)
	if x.q.TCP {
		wait, ok := x.dice.retransmit(f)
		if !ok {
			x.note(Lost, x.q.Bytes, 0)
			return
		}
		x.open = true
		// A connection costs a round trip before the query can go.
		x.put(parcel{at: at + wait + x.dice.travel(f) + x.dice.travel(f), query: true})
		return
	}
	x.forge(at)
	copies := 1
	if x.dice.chance(f.Duplicate) {
		x.note(Duplicated, x.q.Bytes, at)
		copies = 2
	}
	for range copies {
		if x.dice.chance(f.Loss) {
			x.note(Lost, x.q.Bytes, at)
			continue
		}
		x.put(parcel{at: at, query: true})
		at += x.dice.travel(f)
	}
}

// forge puts an attacker's replies before and among the true ones. The attacker
// is off the path: it does not see the query and gets something about it wrong.
func (x *exchange) forge(at time.Duration) {
	if !x.dice.chance(x.faults.Spoof) {
		return
	}
	for range 1 + x.dice.intn(maxForgeries) {
		bytes, what := x.dice.forgery(x.q.Bytes)
		if what == ForgedPort || bytes == nil {
			x.note(ForgedPort, bytes, at) // goes to a port where nobody listens
			continue
		}
		x.put(parcel{at: time.Duration(x.dice.float() * float64(2*at)), bytes: bytes, what: what})
	}
}

// arrive lets the server have the query and puts its replies on their way.
func (x *exchange) arrive(now time.Duration) {
	f := x.faults
	for _, r := range x.server.respond(x.q, f) {
		at := now + f.Slow + max(r.After, 0) + x.dice.travel(f)
		if x.q.TCP {
			if f.ByteAtATime > 0 {
				at += time.Duration(len(r.Bytes)+2) * f.ByteAtATime // with the length prefix
			}
			x.put(parcel{at: at, bytes: r.Bytes, what: Delivered})
			continue
		}
		x.reply(r.Bytes, at)
	}
}

// reply puts one datagram on its way back, over the faults of that way.
func (x *exchange) reply(bytes []byte, at time.Duration) {
	f := x.faults
	if x.dice.chance(f.Truncate) {
		if cut := truncated(bytes); cut != nil {
			bytes = cut
			x.note(Truncated, bytes, at)
		}
	}
	copies := 1
	if x.dice.chance(f.Duplicate) {
		x.note(Duplicated, bytes, at)
		copies = 2
	}
	for range copies {
		if x.dice.chance(f.Loss) {
			x.note(Lost, bytes, at)
			continue
		}
		when := at
		if x.dice.chance(f.Reorder) {
			when += x.dice.duration(f.reorderBy())
			x.note(HeldBack, bytes, when)
		}
		x.put(parcel{at: when, bytes: bytes, what: Delivered})
		at += x.dice.travel(f)
	}
}

// run plays the agenda until a message is accepted, the context ends or, over
// TCP, nothing more is to come.
func (x *exchange) run(ctx context.Context) error {
	var now time.Duration
	var timer *time.Timer
	for len(x.agenda) > 0 {
		p := x.agenda[0]
		x.agenda = x.agenda[1:]
		if wait := p.at - now; wait > 0 {
			if timer == nil {
				timer = time.NewTimer(wait)
				defer timer.Stop()
			} else {
				timer.Reset(wait)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-timer.C:
			}
			now = p.at
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if p.query {
			x.arrive(now)
			continue
		}
		x.note(p.what, p.bytes, now)
		if x.accept(p.bytes) {
			return nil
		}
	}
	if x.q.TCP && x.open {
		return ErrClosed
	}
	<-ctx.Done()
	return ctx.Err()
}

// note tells the trace.
func (x *exchange) note(what What, bytes []byte, at time.Duration) {
	f := x.in.trace.Load()
	if f == nil {
		return
	}
	(*f)(Event{What: what, Server: x.q.Server, Port: x.q.Port, TCP: x.q.TCP, Attempt: x.q.Attempt,
		Name: x.name, Type: x.qtype, Bytes: bytes, At: at})
}
