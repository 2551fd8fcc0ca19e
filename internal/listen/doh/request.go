package doh

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
)

// Route is a path, and what is behind it.
type Route struct {
	Path string
	// View is what a request for the path says which view it is for.
	View int
	// Oblivious has oblivious queries taken too (RFC 9230), by POST.
	Oblivious bool
	// Relay has oblivious queries taken, by POST, that are for another target; what the path's query says of
	// it is Request.Query.
	Relay bool
	// File is given to GET, instead of asking; nil: the path takes queries.
	File func() (content []byte, contentType string)
}

// Request is one query.
type Request struct {
	Stream    uint32
	View      int
	Oblivious bool   // Message is an oblivious query, and so is the reply to be
	Relay     bool   // it is to be carried on
	Query     string // where to, behind the path's question mark
	Message   []byte // valid during Ask
}

// asked are a request's header fields as far as they matter.
type asked struct {
	method, path, contentType string
	scheme                    bool
	length                    int
	size                      int
	regular                   bool // a field that is no pseudo-header has come
	fault                     bool
}

// take takes one header field (RFC 9113 §8.3).
func (f *asked) take(h hpack.HeaderField) {
	if f.size += len(h.Name) + len(h.Value) + 32; f.size > maxFields {
		f.fault = true
		return
	}
	if !strings.HasPrefix(h.Name, ":") {
		f.regular = true
		f.ordinary(h)
		return
	}
	to := (*string)(nil)
	switch h.Name {
	case ":method":
		to = &f.method
	case ":path":
		to = &f.path
	case ":scheme":
		f.fault = f.fault || f.scheme
		f.scheme = true
	case ":authority":
	default:
		f.fault = true
	}
	if to != nil {
		f.fault = f.fault || *to != "" || h.Value == ""
		*to = h.Value
	}
	f.fault = f.fault || f.regular
}

func (f *asked) ordinary(h hpack.HeaderField) {
	switch h.Name {
	case "content-type":
		f.contentType = h.Value
	case "content-length":
		n, err := strconv.ParseUint(h.Value, 10, 31)
		f.fault = f.fault || err != nil || f.length >= 0 && f.length != int(n)
		f.length = int(n)
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		f.fault = true // RFC 9113 §8.2.2
	default:
		f.fault = f.fault || h.Name == "" || strings.ContainsFunc(h.Name, func(r rune) bool { return 'A' <= r && r <= 'Z' })
	}
}

// headers takes the beginning of a request, or the trailers at its end.
func (s *Session) headers(flags byte, id uint32, p, out []byte, now time.Time, to Asker) ([]byte, error) {
	p, ok := unpad(flags, p)
	if ok && flags&flagPriority != 0 {
		if ok = len(p) >= noPriority; ok {
			p = p[noPriority:]
		}
	}
	if !ok || id%2 == 0 {
		return out, ProtocolError
	}
	if st := s.streams[id]; id <= s.last && (st == nil || st.since.IsZero() || flags&flagEnd == 0) {
		return out, StreamClosed
	}
	s.last = max(s.last, id)
	if flags&flagEndHeaders == 0 {
		s.block, s.blockOf, s.blockEnd = append(s.block[:0], p...), id, flags&flagEnd != 0
		return out, nil
	}
	return s.fieldsOf(id, flags&flagEnd != 0, p, out, now, to)
}

// continuation takes more of a header block.
func (s *Session) continuation(flags byte, id uint32, p, out []byte, now time.Time, to Asker) ([]byte, error) {
	if s.blockOf == 0 {
		return out, ProtocolError
	}
	if len(s.block)+len(p) > maxFields {
		return out, EnhanceYourCalm
	}
	s.block = append(s.block, p...)
	if flags&flagEndHeaders == 0 {
		return out, nil
	}
	block := s.block
	s.block, s.blockOf = nil, 0
	return s.fieldsOf(id, s.blockEnd, block, out, now, to)
}

// fieldsOf decodes a whole header block and begins its request, or ends it by trailers.
func (s *Session) fieldsOf(id uint32, end bool, block, out []byte, now time.Time, to Asker) ([]byte, error) {
	if s.decoder == nil {
		s.decoder = hpack.NewDecoder(tableSize, func(h hpack.HeaderField) { s.fields.take(h) })
		s.decoder.SetMaxStringLength(maxFields)
	}
	s.fields = asked{length: -1}
	if _, err := s.decoder.Write(block); err != nil {
		return out, CompressionError
	}
	if s.decoder.Close() != nil {
		return out, CompressionError
	}
	if s.fields.size > maxFields {
		return out, EnhanceYourCalm
	}
	if st := s.streams[id]; st != nil { // trailers say nothing here
		return s.whole(st, out, to)
	}
	f := &s.fields
	if f.fault || f.method == "" || f.path == "" || !f.scheme {
		return out, ProtocolError
	}
	if len(s.streams) >= MaxStreams {
		return appendReset(out, id, RefusedStream), nil
	}
	s.credit = min(s.credit+perRequest, patience)
	st := s.open(id)
	st.since, st.length = now, f.length
	st.status = s.route(st, f)
	if end {
		return s.whole(st, out, to)
	}
	return out, nil
}

// route reads what a request wants. It returns the status to answer where that is nothing.
func (s *Session) route(st *stream, f *asked) int {
	path, query, _ := strings.Cut(f.path, "?")
	for i := range s.routes {
		r := &s.routes[i]
		if r.Path != path {
			continue
		}
		st.request, st.route = Request{Stream: st.id, View: r.View}, r
		switch f.method {
		case "GET":
			switch {
			case r.File != nil:
				return statusFile
			case r.Relay:
				return statusMethod
			}
			var err error
			if s.scratch, err = Parameter(s.scratch[:0], query); err != nil {
				return statusBad
			}
			st.body = append(st.body, s.scratch...)
			s.bodies += len(st.body)
			return statusQuery
		case "POST":
			switch {
			case r.File != nil:
				return statusMethod
			case r.Relay && f.contentType == TypeOblivious:
				st.request.Relay, st.request.Query = true, query
				return 0
			case r.Relay:
				return statusType
			case f.contentType == TypeMessage:
				return 0
			case f.contentType == TypeOblivious && r.Oblivious:
				st.request.Oblivious = true
				return 0
			}
			return statusType
		}
		return statusMethod
	}
	return statusNone
}

// data takes a piece of a body.
func (s *Session) data(flags byte, id uint32, p, out []byte, to Asker) ([]byte, error) {
	if id == noStream || id > s.last {
		return out, ProtocolError
	}
	if s.owed += len(p); s.owed > maxBodies {
		return out, FlowControlError
	}
	p, ok := unpad(flags, p)
	if !ok {
		return out, ProtocolError
	}
	if len(p) > 0 {
		s.credit++ // it brings something
	}
	st := s.streams[id]
	if st == nil || st.since.IsZero() { // such as a body whose request was refused
		s.credit--
		return out, nil
	}
	if st.status == 0 {
		if len(st.body)+len(p) > MaxMessage {
			return out, FlowControlError
		}
		st.body = append(st.body, p...)
		s.bodies += len(p)
	}
	if flags&flagEnd == 0 {
		return out, nil
	}
	return s.whole(st, out, to)
}

// whole asks what a request asks that has come to its end.
func (s *Session) whole(st *stream, out []byte, to Asker) ([]byte, error) {
	s.bodies -= len(st.body)
	st.since = time.Time{}
	switch {
	case st.status == statusFile:
		content, contentType := st.route.File()
		out = s.send(st, appendFields(out, st.id, fields{status: statusOK, contentType: contentType, keep: true, ttl: fileLife}), content, padding(content))
		return out, s.full()
	case st.status == statusQuery:
	case st.status == 0 && len(st.body) == 0, st.status == 0 && st.length >= 0 && st.length != len(st.body):
		st.status = statusBad
		fallthrough
	case st.status != 0:
		f := fields{status: st.status, end: true}
		if st.route != nil && st.route.Relay {
			f.proxy = (&Relayed{Cause: CauseRequest}).ProxyStatus()
		}
		out = appendFields(out, st.id, f)
		s.close(st)
		return out, nil
	}
	st.request.Message = st.body
	out = to.Ask(&st.request, out)
	return out, s.full()
}

func (s *Session) full() error {
	if s.Overfull() {
		return EnhanceYourCalm
	}
	return nil
}
