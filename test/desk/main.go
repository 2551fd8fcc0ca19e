// Command desk reads the desk's pages as a person would, in headless Chromium, and as an
// automatic check of accessibility does (axe-core). It fails on the first page that cannot be
// read, and prints all that axe finds. test/desk.sh runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/chromedp/chromedp"
)

// visit is who visits which desk.
type visit struct {
	desk    string // address without a slash at its end
	name    string // a listed one
	free    bool   // it is not listed any more
	shots   string // folder of screenshots; "": none
	axe     string // axe-core's script; "": do not check
	visitor string // http address of a filtered name; "": do not open it
	join    string // where the first member of staff joins; not "": only that, and the staff's pages
	chrome  string

	staff map[string]string // the staff's pages, by a name for their screenshots
}

// patience is how long one step may take.
const patience = 30 * time.Second

func main() {
	var v visit
	flag.StringVar(&v.desk, "desk", "http://127.0.0.1:5381", "the desk's address")
	flag.StringVar(&v.name, "name", "c2.evil.test", "a listed name")
	flag.BoolVar(&v.free, "free", false, "it is not listed any more")
	flag.StringVar(&v.shots, "shots", "", "folder for screenshots")
	flag.StringVar(&v.axe, "axe", "", "axe-core's script, to check accessibility by")
	flag.StringVar(&v.visitor, "filtered", "", "address of a filtered name, to be opened")
	flag.StringVar(&v.join, "join", "", "a link to join staff by: the staff's pages are visited, and no others")
	flag.StringVar(&v.chrome, "chromium", "chromium", "the browser")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := v.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "desk:", err)
		os.Exit(1)
	}
}

func (v *visit) run(ctx context.Context) error {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(v.chrome), chromedp.NoSandbox,
		chromedp.Flag("disable-features", "HttpsUpgrades,HttpsFirstBalancedModeAutoEnable"))
	browser, end := chromedp.NewExecAllocator(ctx, options...)
	defer end()
	tab, close := chromedp.NewContext(browser)
	defer close()
	if err := chromedp.Do(tab); err != nil {
		return fmt.Errorf("the browser does not start: %w", err)
	}
	steps := []step{
		{"look up, and read the reason", v.lookUp}, {"without JavaScript", v.withoutScript},
		{"a part of the list that was tampered with", v.tampered}, {"through a filtered name", v.throughName},
		{"a page with faults is found out", v.checkFaults}, {"every page, by axe-core", v.checkAll},
	}
	if v.join != "" {
		steps = steps[:0]
		steps = append(steps, step{"joining staff, and confirming what waits", v.joinStaff}, step{"every page of the staff's, by axe-core", v.checkAll})
	}
	for _, s := range steps {
		start := time.Now()
		if err := s.do(tab); err != nil && !errors.Is(err, errSkipped) {
			return fmt.Errorf("%s: %w", s.what, err)
		} else if err == nil {
			fmt.Printf("%s: passed in %v\n", s.what, time.Since(start).Round(time.Millisecond))
		}
	}
	return nil
}

// step is one thing that is done.
type step struct {
	what string
	do   func(context.Context) error
}

// errSkipped is of a step that was not asked for.
var errSkipped = errors.New("skipped")
