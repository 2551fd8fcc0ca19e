package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// do runs actions with patience.
func do(tab context.Context, actions ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	return chromedp.Do(ctx, actions...)
}

// text is what stands in the first place that a CSS selector names.
func text(tab context.Context, selector string) (string, error) {
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Text(chromedp.CSS(selector)))
}

// scripts turns scripts on and off.
func scripts(on bool) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return chromedp.Void{}, err
	}
}

// watched lets a tab tell what it asks for.
func watched(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	_, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{})
	return chromedp.Void{}, err
}

// has reports an error unless text has all parts.
func has(text string, parts ...string) error {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return fmt.Errorf("it does not say %q:\n%s", p, text)
		}
	}
	return nil
}

// lookUp asks for the name in both languages, by the browser's own look-up, and follows the reason
// to the log.
func (v *visit) lookUp(tab context.Context) error {
	var asked requests
	if err := asked.watch(tab); err != nil {
		return err
	}
	verdict, what := ".verdict.listed", map[string][]string{
		"en": {v.name, "filtered", "Since", "In the log", "Checked in this browser"}, "ja": {v.name, "遮断", "掲載日時", "ログ", "このブラウザで確認"},
	}
	if v.free {
		verdict, what = ".verdict.clear", map[string][]string{"en": {v.name, "not filtered", "Checked in this browser"}, "ja": {v.name, "遮断されていません", "このブラウザで確認"}}
	}
	for _, lang := range []string{"en", "ja"} {
		asked.forget()
		if err := do(tab, watched, chromedp.Navigate(v.desk+"/"+lang+"/lookup"), chromedp.WaitReady(chromedp.CSS("#name"))); err != nil {
			return err
		}
		how, err := text(tab, "#how")
		if err != nil {
			return err
		}
		err = do(tab, chromedp.SendKeys(chromedp.CSS("#name"), "hxxp://"+v.name+"/gate.php"), chromedp.Click(chromedp.CSS("#ask button")),
			chromedp.WaitVisible(chromedp.CSS("#result "+verdict)), v.shot("lookup-"+lang))
		if err != nil {
			return err
		}
		said, err := text(tab, "#result")
		if err := errors.Join(err, has(said, what[lang]...), has(how, "shoji lookup")); err != nil { // it says that it does not tell
			return err
		}
		if url := asked.with(v.name); url != "" {
			return fmt.Errorf("the server was told the name: %s", url)
		}
	}
	if v.free {
		return nil
	}
	if err := do(tab, chromedp.Click(chromedp.CSS(`#result a[href*="/entry/"]`)), chromedp.WaitVisible(chromedp.CSS("details"))); err != nil {
		return err
	}
	entry, err := text(tab, "main")
	return errors.Join(err, has(entry, v.name, "証明", "チェックポイント"))
}

// withoutScript asks as a browser without JavaScript does: the form sends the name, and the page says so.
func (v *visit) withoutScript(tab context.Context) error {
	if err := do(tab, scripts(false), chromedp.Navigate(v.desk+"/en/lookup"), chromedp.WaitReady(chromedp.CSS("#name"))); err != nil {
		return err
	}
	how, err := text(tab, "#how")
	if err != nil {
		return err
	}
	if err := do(tab, chromedp.SendKeys(chromedp.CSS("#name"), v.name), chromedp.Click(chromedp.CSS("#ask button")), chromedp.WaitVisible(chromedp.CSS("#result .verdict"))); err != nil {
		return err
	}
	said, err := text(tab, "#result")
	if err != nil {
		return err
	}
	url, err := chromedp.Run(tab, chromedp.Location())
	return errors.Join(err, do(tab, scripts(true)), has(how, "sends what you enter to this server"), has(said, v.name), has(url, "name="+v.name))
}

// throughName opens a filtered name, which leads to the sinkhole, reads its page, and follows its link
// to the desk.
func (v *visit) throughName(tab context.Context) error {
	if v.visitor == "" {
		return errSkipped
	}
	var asked requests
	if err := asked.watch(tab); err != nil {
		return err
	}
	if err := do(tab, watched, chromedp.Navigate(v.visitor), chromedp.WaitVisible(chromedp.CSS("a.desk")), v.shot("sinkhole-page")); err != nil {
		return err
	}
	page, err := text(tab, "main")
	if err != nil {
		return err
	}
	if err := do(tab, chromedp.Click(chromedp.CSS("a.desk")), chromedp.WaitVisible(chromedp.CSS("#result .verdict.listed"))); err != nil {
		return err
	}
	said, err := text(tab, "#result")
	if err != nil {
		return err
	}
	url, err := chromedp.Run(tab, chromedp.Location())
	if told := asked.with("lookup?name="); told != "" {
		return fmt.Errorf("the desk was told the name: %s", told)
	}
	return errors.Join(err, has(page, "This name is filtered", "この名前はフィルタされています"), has(said, v.name), has(url, "/lookup#"+v.name))
}

// requests are the addresses that a tab asks for, to the desk, as they are sent: without what
// stands behind #.
type requests struct {
	mu  sync.Mutex
	all []string
}

func (r *requests) watch(tab context.Context) error {
	return chromedp.Listen(tab, func(e any) {
		if sent, ok := e.(*network.EventRequestWillBeSent); ok {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.all = append(r.all, sent.Request.URL+" "+fmt.Sprint(sent.Request.Headers))
		}
	})
}

func (r *requests) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = nil
}

// with is a request that has text in it; "" where none has.
func (r *requests) with(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, url := range r.all {
		if strings.Contains(url, text) {
			return url
		}
	}
	return ""
}
