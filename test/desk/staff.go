package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// passkeys gives a tab an authenticator that verifies its user, who is always there.
func passkeys(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	if _, err := cdp.Call(ctx, t, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		return chromedp.Void{}, err
	}
	_, err := cdp.Call(ctx, t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	return chromedp.Void{}, err
}

// joinStaff joins by the link, looks at what waits for a person's word, and says one word of two on it.
func (v *visit) joinStaff(tab context.Context) error {
	v.staff = map[string]string{"staff-queue": "/staff", "staff-reviews": "/staff/review", "staff-members": "/staff/members", "staff-trail": "/staff/trail"}
	err := do(tab, passkeys, chromedp.Navigate(v.join), chromedp.SendKeys(chromedp.CSS("#name"), "Ann"), chromedp.Click(chromedp.CSS("#join button")),
		chromedp.WaitVisible(`//a[contains(@href, "/staff/case/")]`))
	if err != nil {
		return err
	}
	for name, link := range map[string]string{"staff-case": `a[href*="/staff/case/"]`, "staff-review": `a[href*="/staff/review/one"]`} {
		page := "/staff"
		if name == "staff-review" {
			page = "/staff/review"
		}
		if err := do(tab, chromedp.Navigate(v.desk+page), chromedp.WaitVisible(chromedp.CSS(link)), chromedp.Click(chromedp.CSS(link)), chromedp.WaitVisible(chromedp.CSS("#verdict"))); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		url, err := chromedp.Run(tab, chromedp.Location())
		if err != nil {
			return err
		}
		v.staff[name] = strings.TrimPrefix(url, v.desk)
	}
	err = do(tab, chromedp.Navigate(v.desk+v.staff["staff-review"]), chromedp.SetValue(chromedp.CSS("#verdict"), "confirmed"), chromedp.SendKeys(chromedp.CSS("#reason"), "It is what its sources say."),
		chromedp.Click(`//button[. = "Vote"]`), chromedp.WaitVisible(`//h2[. = "Votes"]`))
	if err != nil {
		return err
	}
	said, err := text(tab, "main")
	return errors.Join(err, has(said, "Ann", "filter it", "It is what its sources say.", "2 members of staff who agree"))
}
