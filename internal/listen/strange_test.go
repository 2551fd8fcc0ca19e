package listen

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/rogue"
)

// What a client does with the records of its connection, whole handshake behind it, ends that
// connection, and has the server write next to nothing.
func TestRecordsOfStrangers(t *testing.T) {
	s := serveSecure(t, secured(t))
	for what, one := range map[string]func(t *testing.T, r *rogue.Records, out []byte) []byte{
		"key updates": func(t *testing.T, r *rogue.Records, out []byte) []byte {
			out, err := r.AppendKeyUpdate(out)
			if err != nil {
				t.Fatal(err)
			}
			return out
		},
		"empty records": func(_ *testing.T, r *rogue.Records, out []byte) []byte {
			return r.Append(out, rogue.RecordApplication, nil)
		},
		"warnings": func(_ *testing.T, r *rogue.Records, out []byte) []byte { return r.Append(out, 21, []byte{1, 90}) },
		"another ClientHello": func(_ *testing.T, r *rogue.Records, out []byte) []byte {
			return r.Append(out, rogue.RecordHandshake, []byte{1, 0, 0, 1, 0})
		},
		"handshakes without end": func(_ *testing.T, r *rogue.Records, out []byte) []byte {
			return r.Append(out, rogue.RecordHandshake, append([]byte{4, 255, 255, 255}, make([]byte, 16000)...))
		},
		"no kind": func(_ *testing.T, r *rogue.Records, out []byte) []byte { return r.Append(out, 0, make([]byte, 100)) },
	} {
		t.Run(what, func(t *testing.T) {
			var log bytes.Buffer
			conf := clientTLS("one.example")
			conf.KeyLogWriter = &log
			raw := dial(t, "tcp", "", s.DoTAddrs()[0])
			c := tls.Client(raw, conf)
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			_, line, _ := strings.Cut(log.String(), "CLIENT_TRAFFIC_SECRET_0 ")
			secret, err := hex.DecodeString(strings.Fields(line)[1])
			if err != nil {
				t.Fatal(err)
			}
			r, err := rogue.NewRecords(c.ConnectionState().CipherSuite, secret)
			if err != nil {
				t.Fatal(err)
			}
			var out []byte
			for range 1000 {
				out = one(t, r, out)
			}
			go raw.Write(out) // as far as the server reads
			if n, err := io.Copy(io.Discard, raw); n > 4096 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%d octets came back, %v", n, err)
			}
			raw.Close()
		})
	}
	for s.conns.count() > 0 { // each connection has ended
		runtime.Gosched()
	}
}
