package doh

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// asker answers every request by its own message, or holds it back.
type asker struct {
	s    *Session
	hold bool
	size int // of the reply, if not that of the request
	held []uint32
	got  []string
}

func (a *asker) Ask(r *Request, out []byte) []byte {
	a.got = append(a.got, fmt.Sprintf("%d %q", r.View, r.Message))
	if a.hold {
		a.held = append(a.held, r.Stream)
		return out
	}
	if r.Relay {
		return a.s.Relay(out, r.Stream, &Relayed{Status: 200, Cause: CauseOK, Message: []byte(r.Query + " " + string(r.Message))})
	}
	message := r.Message
	if a.size > 0 {
		message = make([]byte, a.size)
	}
	return a.s.Reply(out, r.Stream, message, r.Oblivious, 300)
}

// peer is a client over a session, by the frames of golang.org/x/net/http2.
type peer struct {
	t      testing.TB
	s      *Session
	a      *asker
	sent   bytes.Buffer
	framer *http2.Framer
	enc    *hpack.Encoder
	block  bytes.Buffer
	out    []byte
	err    error
}

func newPeer(t testing.TB) *peer {
	p := &peer{t: t, s: NewSession([]Route{
		{Path: "/dns-query", View: 0, Oblivious: true}, {Path: "/dns-fully", View: 1},
		{Path: "/file", File: func() ([]byte, string) { return []byte("content"), "text/plain" }},
		{Path: "/proxy", Relay: true},
	})}
	p.a = &asker{s: p.s}
	p.framer = http2.NewFramer(&p.sent, nil)
	p.framer.AllowIllegalWrites = true
	p.enc = hpack.NewEncoder(&p.block)
	p.sent.WriteString(http2.ClientPreface)
	p.framer.WriteSettings()
	return p
}

// fields encodes header fields, given as name and value in turn.
func (p *peer) fields(pairs ...string) []byte {
	p.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		p.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return bytes.Clone(p.block.Bytes())
}

func (p *peer) post(id uint32, path string, body []byte) {
	p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: p.fields(
		":method", "POST", ":scheme", "https", ":path", path, "content-type", TypeMessage)})
	p.framer.WriteData(id, true, body)
}

// go has the session read what was sent; it returns the frames that come back.
func (p *peer) run() (frames []string) {
	p.t.Helper()
	var used int
	used, p.out, p.err = p.s.Consume(p.sent.Bytes(), nil, time.Unix(1, 0), p.a)
	p.sent.Next(used)
	return p.read(p.out)
}

// read describes the frames in b, each as the client's own implementation reads it.
func (p *peer) read(b []byte) (frames []string) {
	p.t.Helper()
	r := http2.NewFramer(nil, bytes.NewReader(b))
	r.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		f, err := r.ReadFrame()
		if err != nil {
			if len(b) > 0 && !strings.Contains(err.Error(), "EOF") {
				p.t.Fatal(err)
			}
			return frames
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			text := fmt.Sprintf("%d:", f.StreamID)
			for _, h := range f.Fields {
				text += " " + h.Value
			}
			frames = append(frames, text)
		case *http2.DataFrame:
			frames = append(frames, fmt.Sprintf("%d: %d of %d, end %t", f.StreamID, len(f.Data()), f.Length, f.StreamEnded()))
		case *http2.GoAwayFrame:
			frames = append(frames, "goaway "+f.ErrCode.String())
		case *http2.RSTStreamFrame:
			frames = append(frames, fmt.Sprintf("reset %d %s", f.StreamID, f.ErrCode))
		case *http2.WindowUpdateFrame:
			frames = append(frames, fmt.Sprintf("window %d %d", f.StreamID, f.Increment))
		}
	}
}

func TestRequests(t *testing.T) {
	query := base64.RawURLEncoding.EncodeToString([]byte("question"))
	for want, pairs := range map[string][]string{
		`0 "question"`:                        {":method", "GET", ":scheme", "https", ":authority", "dns.example", ":path", "/dns-query?ct=&dns=" + query, "accept", TypeMessage},
		`1 "question"`:                        {":method", "GET", ":scheme", "https", ":path", "/dns-fully?dns=" + query},
		"400":                                 {":method", "GET", ":scheme", "https", ":path", "/dns-fully?dns=" + query + "="},
		"404":                                 {":method", "GET", ":scheme", "https", ":path", "/dns-query/?dns=" + query},
		"405":                                 {":method", "HEAD", ":scheme", "https", ":path", "/dns-query?dns=" + query},
		"415":                                 {":method", "POST", ":scheme", "https", ":path", "/dns-query", "content-type", "text/plain"},
		"405 shoji; error=http_request_error": {":method", "GET", ":scheme", "https", ":path", "/proxy?dns=" + query},
		"415 shoji; error=http_request_error": {":method", "POST", ":scheme", "https", ":path", "/proxy?a", "content-type", TypeMessage},
		"400 shoji; error=http_request_error": {":method", "POST", ":scheme", "https", ":path", "/proxy?a", "content-type", TypeOblivious}, // no body
		"200 text/plain":                      {":method", "GET", ":scheme", "https", ":path", "/file"},
	} {
		p := newPeer(t)
		p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true, BlockFragment: p.fields(pairs...)})
		frames := strings.Join(append(p.run(), p.a.got...), "\n")
		if p.err != nil || !strings.Contains(frames, want) || len(p.s.streams) != 0 {
			t.Errorf("%v: %v, %s, want %s", pairs, p.err, frames, want)
		}
	}
}

// The frames of a reply have lengths that do not tell of its lifetime, nor of its message but by
// steps of a block, also where the message itself has no padding.
func TestRepliesOfOneLength(t *testing.T) {
	lengths := make(map[int]bool)
	for _, n := range []int{12, 100, 300, 467, 468} {
		for _, ttl := range []uint32{0, 7, 86400, 1<<32 - 1} {
			p := newPeer(t)
			p.a.hold = true
			p.post(1, "/dns-query", []byte("q"))
			p.run()
			out := p.s.Reply(nil, 1, make([]byte, n), false, ttl)
			frames := p.read(out)
			if want := fmt.Sprintf("max-age=%010d %05d", ttl, n); len(frames) < 2 || !strings.Contains(frames[0], want) {
				t.Errorf("%v, want %s", frames, want)
			}
			if n%block == 0 { // a message with its own padding is one frame
				continue
			}
			lengths[len(out)] = true
		}
	}
	if len(lengths) != 1 {
		t.Errorf("replies of %v octets", lengths)
	}
}

// made has the server wait for a reply on each stream, and then find a fault with the stream.
func made(fault func(p *peer, id uint32)) func(*peer, int) {
	return func(p *peer, i int) {
		p.a.hold = true
		p.post(uint32(2*i+1), "/dns-query", []byte("q"))
		fault(p, uint32(2*i+1))
	}
}

// What strangers do to HTTP/2 servers ends the connection, and never holds more than the limits.
func TestFloods(t *testing.T) {
	for what, c := range map[string]struct {
		want error
		act  func(p *peer, i int)
	}{
		"rapid reset (CVE-2023-44487)": {EnhanceYourCalm, func(p *peer, i int) {
			p.a.hold = true
			p.post(uint32(2*i+1), "/dns-query", []byte("q"))
			p.framer.WriteRSTStream(uint32(2*i+1), http2.ErrCodeCancel)
		}},
		"continuation (CVE-2024-27316, CVE-2023-45288)": {EnhanceYourCalm, func(p *peer, i int) {
			if i == 0 {
				p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.fields("a", strings.Repeat("b", 1000))})
			}
			p.framer.WriteContinuation(1, false, p.fields("a", strings.Repeat("c", 1000)))
		}},
		"pings (CVE-2019-9512)":    {EnhanceYourCalm, func(p *peer, i int) { p.framer.WritePing(false, [8]byte{}) }},
		"settings (CVE-2019-9515)": {EnhanceYourCalm, func(p *peer, i int) { p.framer.WriteSettings() }},
		"empty data (CVE-2019-9518)": {EnhanceYourCalm, func(p *peer, i int) {
			if i == 0 {
				p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: p.fields(
					":method", "POST", ":scheme", "https", ":path", "/dns-query", "content-type", TypeMessage)})
			}
			p.framer.WriteData(1, false, nil)
		}},
		"priorities (CVE-2019-9513)": {EnhanceYourCalm, func(p *peer, i int) {
			p.framer.WritePriority(uint32(2*i+1), http2.PriorityParam{})
		}},
		"made to reset (CVE-2025-8671)":         {ProtocolError, made(func(p *peer, id uint32) { p.framer.WriteWindowUpdate(id, 0) })},
		"made to reset by a window too large":   {FlowControlError, made(func(p *peer, id uint32) { p.framer.WriteWindowUpdate(id, 1<<31-1) })},
		"made to reset by a body after its end": {EnhanceYourCalm, made(func(p *peer, id uint32) { p.framer.WriteData(id, false, []byte("x")) })},
		"made to reset by fields after the end": {StreamClosed, made(func(p *peer, id uint32) {
			p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: p.fields("a", "b")})
		})},
		"made to reset by a priority of another length": {FrameSizeError, made(func(p *peer, id uint32) { p.framer.WriteRawFrame(http2.FramePriority, 0, id, []byte{1}) })},
		"data that dribbles (CVE-2019-9511)": {EnhanceYourCalm, func(p *peer, i int) {
			if i == 0 {
				p.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
				p.a.size = 60000
				p.post(1, "/dns-query", []byte("q"))
			}
			p.framer.WriteWindowUpdate(1, 1)
		}},
		"windows that go up and down": {EnhanceYourCalm, func(p *peer, i int) {
			if p.a.hold = true; i < MaxStreams {
				p.post(uint32(2*i+1), "/dns-query", []byte("q"))
			}
			p.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i % 2)})
		}},
		"one field again and again (CVE-2016-6581)": {EnhanceYourCalm, func(p *peer, i int) {
			block := p.fields("a", strings.Repeat("b", 4000))
			p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), EndHeaders: true, BlockFragment: append(block, bytes.Repeat([]byte{0xbe}, 100)...)})
		}},
		"window overflow": {FlowControlError, func(p *peer, i int) { p.framer.WriteWindowUpdate(0, 1<<31-1) }},
		"replies that nobody reads (CVE-2019-9517)": {EnhanceYourCalm, func(p *peer, i int) {
			if i == 0 {
				p.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			}
			p.a.size = 60000
			p.post(uint32(2*i+1), "/dns-query", []byte("q"))
		}},
		"bodies without an end": {FlowControlError, func(p *peer, i int) {
			p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), EndHeaders: true, BlockFragment: p.fields(
				":method", "POST", ":scheme", "https", ":path", "/dns-query", "content-type", TypeMessage)})
			p.framer.WriteData(uint32(2*i+1), false, make([]byte, 16000))
		}},
		"fields without names (CVE-2019-9516)": {EnhanceYourCalm, func(p *peer, i int) {
			p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), EndHeaders: true, BlockFragment: bytes.Repeat([]byte{0x82}, 1000)})
		}},
	} {
		p := newPeer(t)
		i := 0
		for ; i < 5000 && p.err == nil; i++ {
			c.act(p, i)
			p.run()
			if len(p.s.streams) > MaxStreams || p.s.bodies > maxBodies || p.s.waiting > maxWaiting+MaxMessage || len(p.s.block) > maxFields {
				t.Fatalf("%s: %d streams, %d octets of bodies, %d of replies", what, len(p.s.streams), p.s.bodies, p.s.waiting)
			}
		}
		if !errors.Is(p.err, c.want) || !strings.Contains(strings.Join(p.read(p.out), " "), "goaway") {
			t.Errorf("%s: %v after %d, want %v", what, p.err, i, c.want)
		}
	}
}

// A client that asks and now and then cancels, pings and updates its windows may go on for
// ever.
func TestOrdinaryClientGoesOn(t *testing.T) {
	p := newPeer(t)
	for i := range 5000 {
		id := uint32(2*i + 1)
		p.a.hold = i%10 == 0
		p.post(id, "/dns-query", make([]byte, 128))
		if p.a.hold {
			p.framer.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		if i%50 == 0 {
			p.framer.WritePing(false, [8]byte{})
		}
		p.framer.WriteWindowUpdate(0, 600)
		p.run()
		if p.err != nil {
			t.Fatalf("request %d: %v", i, p.err)
		}
	}
}

// More requests than may be open are refused, and the others answered; the client's window is given back.
func TestStreamsAreBounded(t *testing.T) {
	p := newPeer(t)
	p.a.hold = true
	for i := range MaxStreams + 5 {
		p.post(uint32(2*i+1), "/dns-query", []byte("q"))
	}
	frames := strings.Join(p.run(), "\n")
	if p.err != nil || strings.Count(frames, "REFUSED_STREAM") != 5 || len(p.a.held) != MaxStreams {
		t.Fatalf("%v, %d held, %s", p.err, len(p.a.held), frames)
	}
	for _, id := range p.a.held {
		p.s.Reply(nil, id, []byte("reply"), false, 1)
	}
	if len(p.s.streams) != 0 {
		t.Errorf("%d streams are left", len(p.s.streams))
	}
}

// A long reply is sent as far as the client's windows go.
func TestFlowControl(t *testing.T) {
	p := newPeer(t)
	p.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
	p.a.size = 50_000
	p.post(1, "/dns-query", []byte("q"))
	total := 0
	count := func(frames []string) {
		for _, f := range frames {
			var id, n, of int
			if _, err := fmt.Sscanf(f, "%d: %d of %d", &id, &n, &of); err == nil {
				total += of
			}
		}
	}
	count(p.run())
	if total != 1000 {
		t.Fatalf("%d octets in a window of 1000", total)
	}
	p.framer.WriteWindowUpdate(1, 100)
	count(p.run())
	p.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 60_000})
	count(p.run())
	if total != p.a.size || len(p.s.streams) != 0 || p.s.waiting != 0 || p.err != nil {
		t.Errorf("%d octets sent, %d wait, %v", total, p.s.waiting, p.err)
	}
	// The connection's window is left with what the client was not told to give.
	p.post(3, "/dns-query", []byte("q"))
	count(p.run())
	if total != defaultWindow {
		t.Errorf("%d octets sent in a window of %d", total, defaultWindow)
	}
	p.framer.WriteWindowUpdate(0, 1<<20)
	count(p.run())
	if total != 2*p.a.size {
		t.Errorf("%d octets sent in the end", total)
	}
}

func TestMalformed(t *testing.T) {
	good := []string{":method", "POST", ":scheme", "https", ":path", "/dns-query", "content-type", TypeMessage}
	for what, pairs := range map[string][]string{
		"no path":             {":method", "GET", ":scheme", "https"},
		"two methods":         append([]string{":method", "POST"}, good...),
		"pseudo-header later": append(good[:len(good):len(good)], ":authority", "a"),
		"unknown one":         append([]string{":protocol", "websocket"}, good...),
		"upper case":          append(good[:len(good):len(good)], "Accept", "a"),
		"connection":          append(good[:len(good):len(good)], "connection", "close"),
		"two lengths":         append(good[:len(good):len(good)], "content-length", "1", "content-length", "2"),
	} {
		p := newPeer(t)
		p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true, BlockFragment: p.fields(pairs...)})
		if p.run(); p.err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	p := newPeer(t)
	p.sent.Reset()
	p.sent.WriteString("GET / HTTP/1.1\r\n\r\n")
	if p.run(); p.err == nil {
		t.Error("HTTP/1.1 is taken for HTTP/2")
	}
	p = newPeer(t)
	p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: p.fields(append(good, "content-length", "9")...)})
	p.framer.WriteData(1, true, []byte("q"))
	if frames := p.run(); !strings.Contains(strings.Join(frames, " "), "1: 400") {
		t.Errorf("a body of another length than it says: %v", frames)
	}
}

// Two paths of one length may be told apart by their code's.
func TestHuffmanBits(t *testing.T) {
	if a, b := HuffmanBits("/dns-query"), HuffmanBits("/dns-fully"); a != b || a != 60 {
		t.Errorf("%d and %d bits", a, b)
	}
	if a, b := HuffmanBits("/dns-query"), HuffmanBits("/dns-clear"); a == b {
		t.Error("these differ")
	}
}

// FuzzSession: whatever comes, however it is cut, leads to the same frames, and to no more
// than the limits.
func FuzzSession(f *testing.F) {
	p := newPeer(f)
	p.post(1, "/dns-query", []byte("question"))
	p.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
	p.post(3, "/dns-fully", []byte("question"))
	p.framer.WriteWindowUpdate(3, 100)
	p.framer.WriteRSTStream(3, http2.ErrCodeCancel)
	p.framer.WritePing(false, [8]byte{})
	p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, EndHeaders: true, BlockFragment: p.fields(
		":method", "POST", ":scheme", "https", ":path", "/proxy?targethost=a", "content-type", TypeOblivious)})
	p.framer.WriteData(5, true, []byte("octets"))
	f.Add(bytes.Clone(p.sent.Bytes()), uint16(7))
	f.Add(p.sent.Bytes()[24:], uint16(60))
	f.Fuzz(func(t *testing.T, sent []byte, cut uint16) {
		if !bytes.HasPrefix(sent, []byte("PRI")) {
			sent = append([]byte(preface), sent...)
		}
		run := func(step int) (out []byte, got []string, err error) {
			s := NewSession([]Route{{Path: "/dns-query", Oblivious: true}, {Path: "/dns-fully", View: 1}, {Path: "/proxy", Relay: true}})
			a := &asker{s: s}
			at := 0
			for end := min(step, len(sent)); err == nil; end = min(end+step, len(sent)) {
				var used int
				used, out, err = s.Consume(sent[at:end], out, time.Unix(1, 0), a)
				at += used
				if len(s.streams) > MaxStreams || s.bodies < 0 || s.bodies > maxBodies || s.waiting < 0 || s.waiting > maxWaiting+MaxMessage {
					t.Fatalf("%d streams, %d octets of bodies, %d of replies", len(s.streams), s.bodies, s.waiting)
				}
				if end == len(sent) {
					break
				}
			}
			return out, a.got, err
		}
		whole, gotWhole, errWhole := run(len(sent) + 1)
		parts, gotParts, errParts := run(int(cut) + 1)
		if errWhole != errParts || strings.Join(gotWhole, "\n") != strings.Join(gotParts, "\n") {
			t.Fatalf("whole: %v, %v; in parts: %v, %v", errWhole, gotWhole, errParts, gotParts)
		}
		for _, out := range [][]byte{whole, parts} {
			for len(out) > 0 { // whole frames, all of them
				n := frameHeader + int(binary.BigEndian.Uint32(out)>>8)
				if n > len(out) {
					t.Fatalf("a frame of %d octets in %d", n, len(out))
				}
				out = out[n:]
			}
		}
	})
}

// FuzzParameter: what is read is what encodes to the text.
func FuzzParameter(f *testing.F) {
	f.Add("dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB")
	f.Add("ct=x&dns=AA&dns=BB")
	f.Fuzz(func(t *testing.T, query string) {
		b, err := Parameter(nil, query)
		if err != nil {
			return
		}
		if len(b) == 0 || len(b) > MaxMessage {
			t.Fatalf("%d octets", len(b))
		}
		text := base64.RawURLEncoding.EncodeToString(b) // trailing bits are not looked at
		if !strings.Contains("&"+query, "&dns="+text[:len(text)-1]) {
			t.Fatalf("%q became %q", query, text)
		}
	})
}

// What came of a request that was carried on has its status, where that is from, and no padding: the message has
// its own. A request is told apart from those that are answered here.
func TestRelayed(t *testing.T) {
	p := newPeer(t)
	p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: p.fields(
		":method", "POST", ":scheme", "https", ":path", "/proxy?targethost=a", "content-type", TypeOblivious)})
	p.framer.WriteData(1, true, []byte("octets"))
	frames := strings.Join(p.run(), "\n")
	if want := "1: 200 " + TypeOblivious + " no-store shoji; received-status=200\n1: 19 of 19, end true"; p.err != nil || !strings.HasSuffix(frames, want) {
		t.Errorf("%v, %s, want %s", p.err, frames, want)
	}
	for cause := range causes {
		r := Relayed{Status: 499, Cause: cause}
		if text := r.ProxyStatus(); !strings.HasPrefix(text, "shoji; ") || (cause == CauseTarget) != strings.HasSuffix(text, "=499") || strings.HasSuffix(text, "; ") {
			t.Errorf("%d: %s", cause, text)
		}
	}
}
