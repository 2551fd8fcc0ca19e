package dns_test

import (
	"fmt"

	"github.com/shoji-dns/shoji/internal/dns"
)

// A server parses a request into a Query that it uses again and again, and builds the
// reply in a buffer of its own.
func Example() {
	request := dns.Message{ID: 7, Flags: dns.FlagRD, EDNS: &dns.EDNS{UDPSize: 1232}}
	request.Question = []dns.Question{{Name: dns.MustName("WWW.example.org"), Type: dns.TypeA, Class: dns.ClassIN}}
	packet, err := request.Append(nil)
	if err != nil {
		panic(err)
	}

	var q dns.Query
	if err := q.Parse(packet); err != nil {
		panic(err)
	}
	var b dns.Builder
	b.Reset(make([]byte, 0, 1232), q.MaxReply)
	b.Header(q.ID, q.ReplyFlags())
	b.Question(q.RawName(), q.Type, q.Class)
	b.RawRR(dns.SectionAnswer, q.Name(), dns.TypeA, dns.ClassIN, 60, []byte{192, 0, 2, 1})
	b.OPT(dns.DefaultUDPSize, dns.RCodeSuccess, q.DO)
	b.Error(dns.EDEForgedAnswer, "entry 4711")

	var reply dns.Message
	if err := reply.Unpack(b.Bytes()); err != nil {
		panic(err)
	}
	code, text, _ := reply.EDNS.Error()
	fmt.Println(reply.Flags, reply.RCode)
	fmt.Println(reply.Answer[0])
	fmt.Println(code, "-", text)
	// Output:
	// qr rd ra NOERROR
	// WWW.example.org.	60	IN	A	192.0.2.1
	// Forged Answer - entry 4711
}
