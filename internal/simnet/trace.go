package simnet

import (
	"fmt"
	"net/netip"
	"time"
)

// What says what an Event is about.
type What uint8

const (
	Sent           What = iota // a query left the resolver
	Delivered                  // a true reply reached it
	Lost                       // a query or reply went astray
	Duplicated                 // a query or reply was doubled
	HeldBack                   // a reply will come late
	Truncated                  // a reply was emptied and marked TC
	NoServer                   // nobody has that address
	Refused                    // no TCP here
	ForgedID                   // a forgery with the wrong ID was delivered
	ForgedCase                 // a forgery with other letter case in the question was delivered
	ForgedQuestion             // a forgery with another question was delivered
	ForgedPort                 // a forgery went to a port where nobody listens
)

var whatText = [...]string{"sent", "delivered", "lost", "duplicated", "held back", "truncated", "no server",
	"refused", "forged, wrong ID", "forged, wrong case", "forged, wrong question", "forged, wrong port"}

func (w What) String() string {
	if int(w) < len(whatText) {
		return whatText[w]
	}
	return fmt.Sprintf("event %d", uint8(w))
}

// Event is one thing that happened to a message.
type Event struct {
	What    What
	Server  netip.Addr
	Port    uint16
	TCP     bool
	Attempt uint32
	Name    string // of the question, in lower case
	Type    string
	Bytes   []byte        // of the message; not to be changed or kept
	At      time.Duration // since the query was sent, when it happens
}

// String is one line for people: "c2.evil.test. A to 198.18.2.6 udp: delivered, 46 octets after 4ms".
func (e Event) String() string {
	proto := "udp"
	if e.TCP {
		proto = "tcp"
	}
	return fmt.Sprintf("%s %s to %v %s: %v, %d octets after %v", e.Name, e.Type, e.Server, proto, e.What,
		len(e.Bytes), e.At)
}
