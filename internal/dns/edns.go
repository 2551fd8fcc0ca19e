package dns

// EDNS option codes (IANA registry "DNS EDNS0 Option Codes").
const (
	OptionNSID      uint16 = 3  // RFC 5001
	OptionECS       uint16 = 8  // RFC 7871; read by nothing here, on purpose
	OptionCookie    uint16 = 10 // RFC 7873
	OptionKeepalive uint16 = 11 // RFC 7828
	OptionPadding   uint16 = 12 // RFC 7830
	OptionEDE       uint16 = 15 // RFC 8914

	// OptionStructuredError asks for structured error data
	// (draft-ietf-dnsop-structured-dns-error, with the code that IANA assigned to it).
	OptionStructuredError uint16 = 26
)

const (
	// MinUDPSize is what every requestor can take over UDP (RFC 1035 §4.2.1); a smaller
	// EDNS size means this one (RFC 6891 §6.2.3).
	MinUDPSize = 512
	// DefaultUDPSize is the EDNS size that this resolver offers and the most it sends
	// over UDP: it fits an IPv6 path's smallest MTU unfragmented (DNS Flag Day 2020,
	// RFC 9715 §3.1).
	DefaultUDPSize = 1232

	// MaxOptions is the most options that one OPT record may hold before it counts as
	// malformed. RFC 6891 sets none; those registered are fewer.
	MaxOptions = 32

	optFixedLen  = 11 // an OPT record without options: root, type, size, TTL, RDLENGTH
	optionLen    = 4  // an option's code and length
	optFlagDO    = 1 << 15
	clientCookie = 8  // octets of a client cookie, RFC 7873 §4.1
	minServer    = 8  // octets of the shortest server cookie, RFC 7873 §4.2
	maxServer    = 32 // octets of the longest server cookie, RFC 7873 §4.2
)

// Option is one EDNS option. Data is as in the packet.
type Option struct {
	Code uint16
	Data []byte
}

// EDNS is what an OPT record says (RFC 6891 §6.1). Its part of the response code is
// in Message.RCode.
type EDNS struct {
	UDPSize uint16 // as sent; less than MinUDPSize means MinUDPSize
	Version uint8
	DO      bool
	Options []Option
}

// Option is the data of the first option with the given code.
func (e *EDNS) Option(code uint16) ([]byte, bool) {
	if e != nil {
		for _, o := range e.Options {
			if o.Code == code {
				return o.Data, true
			}
		}
	}
	return nil, false
}

// Error is the first Extended DNS Error (RFC 8914 §2).
func (e *EDNS) Error() (code ErrorCode, text string, ok bool) {
	data, ok := e.Option(OptionEDE)
	if !ok || len(data) < 2 {
		return 0, "", false
	}
	return ErrorCode(be16(data)), string(data[2:]), true
}

// ErrorOption is an Extended DNS Error as an option (RFC 8914 §2).
func ErrorOption(code ErrorCode, text string) Option {
	data := append(make([]byte, 0, 2+len(text)), byte(code>>8), byte(code))
	return Option{OptionEDE, append(data, text...)}
}

// nextOption reads the option at the start of data, the RDATA of an OPT record.
func nextOption(data []byte) (o Option, rest []byte, ok bool) {
	if len(data) < optionLen {
		return Option{}, nil, false
	}
	end := optionLen + int(be16(data[2:]))
	if end > len(data) {
		return Option{}, nil, false
	}
	return Option{be16(data), data[optionLen:end:end]}, data[end:], true
}

// unpackOPT reads an OPT record's size, TTL word and options. The options' data are
// parts of data.
func unpackOPT(size uint16, ttl uint32, data []byte) (*EDNS, Error) {
	e := &EDNS{UDPSize: size, Version: uint8(ttl >> 16), DO: ttl&optFlagDO != 0}
	for len(data) > 0 {
		o, rest, ok := nextOption(data)
		if !ok || len(e.Options) == MaxOptions {
			return nil, ErrOPT
		}
		e.Options = append(e.Options, o)
		data = rest
	}
	return e, 0
}
