package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// chromium starts the browser, or skips the test where there is none. Each context of what it returns is a
// tab with storage of its own.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no chromium: install Debian's package chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WSURLReadTimeout(time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// patience is how long a step of a story may take on a machine that has much else to do.
const patience = time.Minute

// tab is a tab of the browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func newTab(t *testing.T, browser context.Context) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return &tab{t, ctx}
}

func (b *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		defer cancel()
		page, _ := chromedp.Run(ctx, chromedp.OuterHTML("body"))
		b.t.Fatalf("%s: %v\n%s", what, err, page)
	}
}

// press uses a link or a button by the keyboard, which finds it wherever the page has moved it
// meanwhile: the mouse may miss.
func press[S chromedp.Selectable](sel S) chromedp.Action[chromedp.Void] {
	return chromedp.SendKeys(sel, "\r")
}

// shows waits until the page shows a text, and keeps a picture of it.
func (b *tab) shows(name, text string) {
	b.t.Helper()
	b.do(name, chromedp.WaitVisible(`//main[contains(., "`+text+`")]`))
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), picture, 0o600); err != nil {
		b.t.Error(err)
	}
}

// Somebody looks a name up, appeals, and follows the case; a member of staff joins by the console's
// link with a passkey, signs out and in, and decides; the next DNS answer is right.
func TestAppealsAsPeopleMakeThem(t *testing.T) {
	t.Parallel()
	browser := chromium(t)
	l, _ := accused(t, "www.bank.test")
	desk := strings.Replace(deskOf(t, l), "127.0.0.1", "localhost", 1)
	link := regexp.MustCompile(`(?m)^  staff +(http://localhost:\d+/staff/join/\S+) `).FindStringSubmatch(l.banner)
	if link == nil {
		t.Fatalf("no link for staff in\n%s", l.banner)
	}
	appellant := newTab(t, browser)
	appellant.do("the look-up", chromedp.Navigate(desk+"/en/lookup?name=www.bank.test"))
	appellant.do("to the appeal", press(`//a[contains(., "Appeal against this listing")]`))
	appellant.do("the form", chromedp.WaitVisible(chromedp.CSS("#appeal")),
		chromedp.SetValue(chromedp.CSS("#cause"), "cleaned"), chromedp.SendKeys(chromedp.CSS("#words"), "It was <b>cleaned</b>."), chromedp.SendKeys(chromedp.CSS("#contact"), "owner@bank.test"))
	appellant.shows("form", "Name or address")
	appellant.do("sending it", press(chromedp.CSS("#appeal button")))
	appellant.shows("receipt", "a person decides")

	member := newTab(t, browser)
	member.do("an authenticator", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		if _, err := cdp.Call(ctx, t, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return chromedp.Void{}, err
		}
		_, err := cdp.Call(ctx, t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}})
		return chromedp.Void{}, err
	})
	member.do("joining", chromedp.Navigate(link[1]), chromedp.SendKeys(chromedp.CSS("#name"), "Ann"), press(chromedp.CSS("#join button")))
	member.shows("queue", "www.bank.test")
	member.do("signing out", press(`//button[contains(., "Sign out")]`), chromedp.WaitVisible(chromedp.CSS("#signin button")))
	member.shows("signin", "Sign in with a passkey")
	member.do("signing in", press(chromedp.CSS("#signin button")), chromedp.WaitVisible(`//a[contains(., "www.bank.test")]`))
	member.do("the case", press(`//a[contains(., "www.bank.test")]`))
	member.shows("case", "It was <b>cleaned</b>.")
	member.do("deciding", chromedp.SetValue(chromedp.CSS("#verdict"), "delisted"), chromedp.SendKeys(chromedp.CSS("#reason"), "The owner has cleaned it."), press(`//button[. = "Vote"]`))
	member.shows("decided", "Reason given")
	until(t, l, "www.bank.test", "192.0.2.20")

	appellant.do("the receipt again", chromedp.Reload())
	appellant.shows("outcome", "a person decided that the listing ends")
	appellant.do("in Japanese", press(chromedp.CSS(".tongue")))
	appellant.shows("outcome-ja", "掲載を終えると決めました")
	member.do("the trail", chromedp.Navigate(desk+"/ja/staff/trail"))
	member.shows("trail", "The owner has cleaned it.")
}
