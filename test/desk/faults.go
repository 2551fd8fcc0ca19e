package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/chromedp/chromedp"
)

// faulty is a page with one fault of each kind that check is to find.
const faulty = `<!doctype html><html><head><title>Faults</title><link rel="stylesheet" href="/blocking.css"></head>
<body><main><h1>Faults</h1><img src="/none.png"><p style="color:#aaa;background:#fff">Hardly to be read.</p>
<input type="text"><a href="/"></a><div style="width:3000px">Wide.</div></main></body></html>`

// checkFaults shows that check can fail: it finds each fault of a page that has them all.
func (v *visit) checkFaults(tab context.Context) error {
	if v.axe == "" {
		return errSkipped
	}
	script, err := os.ReadFile(v.axe)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, faulty)
	})
	mux.HandleFunc("/blocking.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css")
		io.WriteString(w, strings.Repeat("/* too much */", maxPage/10))
	})
	server := &http.Server{Handler: mux}
	go server.Serve(l)
	defer server.Close()
	blind := *v
	blind.shots = ""
	found, err := blind.check(tab, string(script), look{"faults", "http://" + l.Addr().String() + "/", "en", "light", 360})
	if err != nil {
		return err
	}
	all := strings.Join(found, "\n")
	for _, want := range []string{"image-alt", "color-contrast", "html-has-lang", "label", "link-name", "octets, of fewer", "wider than the screen", "blocking.css"} {
		if !strings.Contains(all, want) {
			return fmt.Errorf("%s was not found among\n%s", want, all)
		}
	}
	fmt.Printf("%d faults found of a page that has them\n", len(found))
	return nil
}

// tamper alters the last octet of a page of the list's map on its way.
const tamper = `(() => {
	const real = window.fetch;
	window.fetch = async (path, ...more) => {
		const reply = await real(path, ...more);
		if (!/\/map\/[0-9a-f]{64}\/\d+$/.test(path)) return reply;
		const bytes = new Uint8Array(await reply.arrayBuffer());
		bytes[bytes.length - 1] ^= 1;
		return new Response(bytes);
	};
})()`

// tampered asks where what the server sends is not what its list holds: nothing is said of the name.
func (v *visit) tampered(tab context.Context) error {
	for lang, words := range map[string]string{"en": "the hashes do not fit", "ja": "ハッシュが合いません"} {
		if err := do(tab, chromedp.Navigate(v.desk+"/"+lang+"/lookup"), chromedp.WaitReady(chromedp.CSS("#name"))); err != nil {
			return err
		}
		if _, err := chromedp.Run(tab, chromedp.Evaluate[chromedp.Void](tamper)); err != nil {
			return err
		}
		err := do(tab, chromedp.SendKeys(chromedp.CSS("#name"), v.name), chromedp.Click(chromedp.CSS("#ask button")), chromedp.WaitVisible(chromedp.CSS("#result .wrong")))
		if err != nil {
			return err
		}
		said, err := text(tab, "#result")
		if err := errors.Join(err, has(said, words)); err != nil {
			return err
		}
	}
	return nil
}
