// Package doh is DNS over HTTPS (RFC 8484) between the octets of a connection and DNS
// messages. It has no socket, no clock and no client's address: package listen has those.
//
// # HTTP/2
//
// A Session is a server's side of one HTTP/2 connection (RFC 9113), for this one purpose.
// Frames are read where they lie, and a reply's frames are appended to the same buffer as those of all
// others, so that a busy connection is a few system calls for many queries. Header fields are decoded by
// golang.org/x/net/http2/hpack; those of replies are constant but for the TTL, and use no
// dynamic table.
//
// What a query's path is, is what view it is for; nothing outside of the encryption says so. The length
// of a reply's frames depends on the length of its message alone: the lifetime in Cache-Control has
// always ten digits and Content-Length five, and a message that could not be padded itself is padded by its DATA frames
// (RFC 9113 §6.1).
//
// # Oblivious DNS over HTTPS
//
// A route may take oblivious queries (RFC 9230), or requests to be carried on to a target. What is in
// either is for others to know: package odoh encrypts, and who carries requests says what came of it (Relayed).
// Replies to both are not to be kept by anybody, and have no padding here: their messages have their own.
//
// # Limits
//
// A connection has 100 streams, 16 KiB of header fields for each request (CVE-2023-45288,
// CVE-2019-9516), 65535 octets of a body and 128 KiB of all bodies, and 256 KiB of replies
// that wait for the client's flow control (CVE-2019-9517). A client is allowed a number of frames
// that ask for nothing, such as resets (CVE-2023-44487), pings, settings and empty frames (CVE-2019-9512,
// -9514, -9515, -9518), which its queries replenish. What would be an error of a stream is one of the
// connection: so nobody has the server reset streams (CVE-2025-8671). Who exceeds a limit gets GOAWAY.
//
// # Known faults
//
// HTTP/1.1 is not spoken: RFC 8484 §5.2 recommends HTTP/2 as the least.
package doh

import (
	"encoding/base64"
	"errors"
	"strings"
)

// MaxMessage is the longest DNS message in octets (RFC 8484 §6).
const MaxMessage = 65535

// Content types of requests and replies.
const (
	TypeMessage   = "application/dns-message"           // RFC 8484 §6
	TypeOblivious = "application/oblivious-dns-message" // RFC 9230 §4
)

// ErrParameter is what Parameter returns where a target has no DNS message.
var ErrParameter = errors.New("no dns parameter with a message in base64url")

// Parameter appends the message in the "dns" parameter of a request target's query (RFC 8484
// §4.1.1): base64url without padding.
func Parameter(out []byte, query string) ([]byte, error) {
	for len(query) > 0 {
		var one string
		one, query, _ = strings.Cut(query, "&")
		text, ok := strings.CutPrefix(one, "dns=")
		if !ok {
			continue
		}
		n := base64.RawURLEncoding.DecodedLen(len(text))
		if n == 0 || n > MaxMessage || strings.ContainsAny(text, "\r\n") {
			return out, ErrParameter
		}
		at := len(out)
		out = append(out, make([]byte, n)...)
		if _, err := base64.RawURLEncoding.Decode(out[at:], []byte(text)); err != nil {
			return out[:at], ErrParameter
		}
		return out, nil
	}
	return out, ErrParameter
}
