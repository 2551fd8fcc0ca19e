package main

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/forger"
)

// TestNodeFindsTheLogByItself starts a machine's only resolver: the name of the log's host is
// found by the node itself, although the list that its filtered view waits for comes from there.
func TestNodeFindsTheLogByItself(t *testing.T) {
	l := forger.New(1)
	l.Add(forger.Listing("c2.example.net"), forger.Listing("isp.example.net")) // the log's own host is filtered too
	l.Epoch()
	web := httptest.NewServer(l)
	defer web.Close()
	asked := new(atomic.Int64)
	internet := &foreign.Server{Addr: "127.0.0.1:0", Net: "udp", Handler: foreign.HandlerFunc(func(w foreign.ResponseWriter, q *foreign.Msg) {
		m := new(foreign.Msg).SetReply(q)
		m.RecursionAvailable = true
		if name := q.Question[0].Name; strings.EqualFold(name, "isp.example.net.") && q.Question[0].Qtype == foreign.TypeA {
			asked.Add(1)
			rr, _ := foreign.NewRR("isp.example.net. 60 IN A 127.0.0.1")
			m.Answer = append(m.Answer, rr)
		}
		w.WriteMsg(m)
	})}
	up := make(chan struct{})
	internet.NotifyStartedFunc = func() { close(up) }
	go internet.ListenAndServe()
	<-up
	defer internet.Shutdown()
	_, port, _ := strings.Cut(strings.TrimPrefix(web.URL, "http://"), ":")
	node := startWith(t, fmt.Sprintf("reporting: {level: error}\nforward: [%q]\nresolve: {trust_anchors: []}\nfollow: [{log: 'http://isp.example.net:%s/', key: %q, every: 1s}]\n",
		internet.PacketConn.LocalAddr(), port, l.VKey))
	awaits(t, node.filtered[0], "c2.example.net", "127.83.72.1")
	if asked.Load() == 0 {
		t.Error("the log's host was found by somebody else")
	}
	if r := ask(t, node.filtered[0], "isp.example.net"); !strings.Contains(strings.Join(r.Answer, ""), "127.83.72.1") {
		t.Errorf("the log's host is listed: %+v", r)
	}
	l.Add(forger.Listing("new.example.net"))
	l.Epoch()
	awaits(t, node.filtered[0], "new.example.net", "127.83.72.1") // and is found nevertheless
}

// TestLogInResinfo has RESINFO name the log that is followed, where the operator names none.
func TestLogInResinfo(t *testing.T) {
	key := forger.New(1).VKey
	for text, want := range map[string]string{
		"follow: [{log: 'https://log.isp.example/', key: '" + key + "'}]":                                                    "https://log.isp.example/",
		"follow: [{log: 'https://log.isp.example/', key: '" + key + "'}]\ninformation: {log: 'https://www.isp.example/log'}": "https://www.isp.example/log",
		"follow: [{log: 'http://127.0.0.1:5380/', key: '" + key + "'}]":                                                      "",
		"state: x": "",
	} {
		conf, err := config.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(publicLogs(conf), " "); got != want {
			t.Errorf("%s: %q", text, got)
		}
		if _, err := ownAnswers(conf, nil, false, conf.Encrypted.Filtered, nil); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
