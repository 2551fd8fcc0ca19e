package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// A page with all that it loads has fewer octets than this.
const maxPage = 50_000

// paths are all pages for the public, or those of the staff's, by a name for their screenshots.
func (v *visit) paths() map[string]string {
	if v.join != "" {
		return v.staff
	}
	return map[string]string{
		"home": "/", "lookup": "/lookup", "filtered": "/lookup?name=" + v.name, "free": "/lookup?name=www.example.com", "wrong": "/lookup?name=a..b",
		"list": "/list", "search": "/list?q=test", "changes": "/changes", "policy": "/policy", "log": "/log", "entry": "/entry/3",
		"opt-out": "/opt-out", "sinkhole": "/sinkhole", "missing": "/no-such-page",
		"appeal": "/appeal", "cases": "/cases", "staff": "/staff",
	}
}

// checkAll opens every page in both languages, light and dark, on a phone, and the light ones at a desk.
func (v *visit) checkAll(tab context.Context) error {
	if v.axe == "" {
		return errSkipped
	}
	script, err := os.ReadFile(v.axe)
	if err != nil {
		return err
	}
	faults, pages := 0, 0
	for name, path := range v.paths() {
		for _, lang := range []string{"en", "ja"} {
			for _, scheme := range []string{"light", "dark"} {
				for _, width := range []int64{360, 1280} {
					if width == 1280 && scheme == "dark" {
						continue
					}
					l := look{name, v.desk + "/" + lang + path, lang, scheme, width}
					found, err := v.check(tab, string(script), l)
					if err != nil {
						return fmt.Errorf("%s: %w", l.url, err)
					}
					pages++
					faults += len(found)
					for _, f := range found {
						fmt.Printf("%s (%s, %d wide): %s\n", l.url, scheme, width, f)
					}
				}
			}
		}
	}
	if faults > 0 {
		return fmt.Errorf("%d faults", faults)
	}
	fmt.Printf("%d views of pages without a fault\n", pages)
	return nil
}

// look is a page as somebody looks at it.
type look struct {
	name, url, lang, scheme string
	width                   int64
}

// weighed is what a page took.
type weighed struct {
	Octets   int
	Blocking []string
	Wide     int
}

const weigh = `(() => {
	const all = performance.getEntriesByType("resource"), page = performance.getEntriesByType("navigation")[0];
	return {
		octets: all.reduce((sum, r) => sum + r.decodedBodySize, page.decodedBodySize),
		blocking: all.filter(r => r.renderBlockingStatus === "blocking").map(r => r.name),
		wide: document.documentElement.scrollWidth - innerWidth,
	};
})()`

const runAxe = `axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(r => JSON.stringify(
	r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html + " " + n.failureSummary)}))))`

// check opens one page and says what is wrong with it.
func (v *visit) check(tab context.Context, axe string, l look) (faults []string, err error) {
	err = do(tab, seen(l), chromedp.Navigate(l.url), chromedp.WaitReady(chromedp.CSS("main")))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	w, err := chromedp.Run(ctx, chromedp.Evaluate[weighed](weigh))
	if err != nil {
		return nil, err
	}
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void](axe)); err != nil {
		return nil, err
	}
	found, err := chromedp.Run(ctx, chromedp.Evaluate[string](runAxe, chromedp.EvalAwaitPromise))
	if err == nil {
		err = do(tab, v.shot(fmt.Sprintf("%s-%s-%s-%d", l.name, l.lang, l.scheme, l.width)))
	}
	if err != nil {
		return nil, err
	}
	if w.Octets >= maxPage {
		faults = append(faults, fmt.Sprintf("%d octets, of fewer than %d", w.Octets, maxPage))
	}
	if w.Wide > 0 {
		faults = append(faults, fmt.Sprintf("it is %d pixels wider than the screen", w.Wide))
	}
	if len(w.Blocking) > 0 {
		faults = append(faults, fmt.Sprintf("it waits for %v before it shows", w.Blocking))
	}
	var violations []struct {
		ID, Help string
		Nodes    []string
	}
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		return faults, err
	}
	for _, x := range violations {
		faults = append(faults, fmt.Sprintf("%s: %s\n    %s", x.ID, x.Help, strings.Join(x.Nodes, "\n    ")))
	}
	return faults, nil
}

// seen makes a tab as wide, and as light or dark, as somebody looks at it.
func seen(l look) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: 800, DeviceScaleFactor: 1, Mobile: l.width < 500})
		if err == nil {
			_, err = cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}})
		}
		return chromedp.Void{}, err
	}
}

// shot keeps a picture of the whole page.
func (v *visit) shot(name string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		if v.shots == "" {
			return chromedp.Void{}, nil
		}
		picture, err := chromedp.FullScreenshot(100)(ctx, t)
		if err != nil {
			return chromedp.Void{}, err
		}
		return chromedp.Void{}, os.WriteFile(filepath.Join(v.shots, name+".png"), picture, 0o644)
	}
}
