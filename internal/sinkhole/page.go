package sinkhole

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
)

// pageSource is the page, with places for the desk's address.
//
//go:embed page.html
var pageSource []byte

// maxDesk is how long the desk's address may be: with it the page still fits one reply.
const maxDesk = 512

// Page is the HTTP response (RFC 9112) that everybody gets, whatever they asked. desk is
// what the visitor's browser puts the page's host name after, such as
// https://desk.example/lookup?name=; without one the page has no link.
//
// The status is 403, so that no program takes the page for what it asked for; it is not
// to be stored, since the name may be delisted at any time.
func Page(desk string) ([]byte, error) {
	if err := checkDesk(desk); err != nil {
		return nil, err
	}
	page := bytes.ReplaceAll(pageSource, []byte("{{desk}}"), []byte(desk))
	if desk == "" {
		page = without(page, "<!--desk-->", "<!--/desk-->\n")
		page = without(page, "<script>", "</script>\n")
	}
	policy := "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src " + hashOf(page, "<style>", "</style>")
	if desk != "" {
		policy += "; script-src " + hashOf(page, "<script>", "</script>")
	}
	head := fmt.Sprintf("HTTP/1.1 403 Forbidden\r\n"+
		"Content-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\nContent-Security-Policy: %s\r\n"+
		"Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
		len(page), policy)
	return append([]byte(head), page...), nil
}

// checkDesk holds that an address can stand in an attribute as it is.
func checkDesk(desk string) error {
	switch {
	case desk == "":
		return nil
	case len(desk) > maxDesk:
		return fmt.Errorf("sinkhole: the desk's address has %d octets of at most %d", len(desk), maxDesk)
	case !bytes.HasPrefix([]byte(desk), []byte("https://")) && !bytes.HasPrefix([]byte(desk), []byte("http://")):
		return errors.New("sinkhole: the desk's address must begin with https:// or http://")
	}
	for _, c := range []byte(desk) {
		if c <= ' ' || c > '~' || c == '"' || c == '\'' || c == '<' || c == '>' || c == '&' || c == '`' {
			return fmt.Errorf("sinkhole: the desk's address has %q, which has to be percent-encoded", c)
		}
	}
	return nil
}

// without is page without what lies between two marks, and without the marks.
func without(page []byte, from, to string) []byte {
	for {
		before, rest, found := bytes.Cut(page, []byte(from))
		_, after, ends := bytes.Cut(rest, []byte(to))
		if !found || !ends {
			return page
		}
		page = append(bytes.Clone(before), after...)
	}
}

// hashOf is the CSP source (Content Security Policy Level 3, section 2.3.1) of what lies between two tags.
func hashOf(page []byte, from, to string) string {
	_, rest, _ := bytes.Cut(page, []byte(from))
	text, _, _ := bytes.Cut(rest, []byte(to))
	sum := sha256.Sum256(text)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
