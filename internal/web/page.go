package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

//go:embed layout.html error.html desk.css
var shellFiles embed.FS

// Page is a page's template in the layout.
type Page struct{ template *template.Template }

// ParsePage parses a page of the named files of files, of which one defines "main".
func ParsePage(files fs.FS, names ...string) (*Page, error) {
	t, err := template.ParseFS(shellFiles, "layout.html")
	if err != nil {
		return nil, err
	}
	if t, err = t.ParseFS(files, names...); err != nil {
		return nil, err
	}
	if t.Lookup("main") == nil {
		return nil, fmt.Errorf("web: %s: no template \"main\"", strings.Join(names, ", "))
	}
	return &Page{t}, nil
}

// Reply is the page with what its template shows as .Data.
func (p *Page) Reply(title Text, data any) *Reply {
	return &Reply{page: p, title: title, data: data}
}

// Reply is an answer that is ready to be sent.
type Reply struct {
	Status int         // 0: 200
	Header http.Header // more headers, which may replace the shell's own
	Cache  string      // Cache-Control; "": no-store
	Cookie bool        // the page is for who has a cookie, which its foot then does not deny
	Script string      // path of a script of this site that the page has; "": none

	page  *Page
	title Text
	data  any

	kind string // of body
	body []byte

	location string
}

// Raw is a reply of octets of a media type.
func Raw(kind string, body []byte) *Reply { return &Reply{kind: kind, body: body} }

// JSON is v as a reply for machines.
func JSON(v any) (*Reply, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	return Raw("application/json; charset=utf-8", append(b, '\n')), nil
}

// Redirect sends the reader to a path of this site, which he is to ask for by GET (303).
func Redirect(r *Request, path string) *Reply {
	return &Reply{Status: http.StatusSeeOther, location: r.Link(path)}
}

// View is what a template sees.
type View struct {
	Data any

	r     *Request
	title Text
	reply *Reply
}

// NavItem is a link of the site's navigation.
type NavItem struct {
	Path, Text string
	Current    bool
}

// With is this view with other data, for a template that shows a part of the page.
func (v *View) With(data any) *View {
	w := *v
	w.Data = data
	return &w
}

// Lang is the page's language.
func (v *View) Lang() string { return v.r.Lang }

// JA reports whether the page is in Japanese.
func (v *View) JA() bool { return v.r.Lang == Japanese }

// Title is the page's title.
func (v *View) Title() string { return v.title.In(v.r.Lang) }

// T is a text in the page's language, formatted as by fmt.Sprintf where there are args.
func (v *View) T(en, ja string, args ...any) string {
	text := Text{en, ja}.In(v.r.Lang)
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// In is a text in the page's language.
func (v *View) In(t Translated) string { return t.In(v.r.Lang) }

// Link is Request.Link.
func (v *View) Link(path string) string { return v.r.Link(path) }

// Number is n with marks between thousands.
func (v *View) Number(n any) string {
	switch n := n.(type) {
	case int:
		return Number(n)
	case int64:
		return Number(n)
	case uint64:
		return Number(n)
	}
	return fmt.Sprint(n)
}

// Day is a day in the page's language.
func (v *View) Day(t time.Time) string { return Day(t, v.r.Lang) }

// Moment is a day and a time of it.
func (v *View) Moment(t time.Time) string { return Moment(t, v.r.Lang) }

// Machine is a time as a machine reads it.
func (v *View) Machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Other is this page in the other language: without its query where it was sent by POST.
func (v *View) Other() string {
	lang := Japanese
	if v.JA() {
		lang = English
	}
	u := *v.r.URL
	u.Path, u.RawPath = "/"+lang+u.Path, ""
	if v.r.Method != http.MethodGet && v.r.Method != http.MethodHead {
		u.RawQuery = ""
	}
	return u.RequestURI()
}

// Nav is the site's navigation.
func (v *View) Nav() []NavItem {
	var all []NavItem
	for _, n := range v.r.site.nav {
		all = append(all, NavItem{v.r.Link(n.path), n.text.In(v.r.Lang), n.path == v.r.URL.Path})
	}
	return all
}

// Feed is the path of the site's feed; "" where it has none.
func (v *View) Feed() string { return v.r.site.conf.Feed }

// Operator is who runs the site; "" where it is not told.
func (v *View) Operator() string { return v.r.site.conf.Operator }

// Script is the path of the page's script; "" where it has none.
func (v *View) Script() string { return v.reply.Script }

// Cookie reports whether the page is for who has a cookie.
func (v *View) Cookie() bool { return v.reply.Cookie }

// Style is the style of every page. Its hash is in the Content Security Policy.
func (v *View) Style() template.CSS { return v.r.site.style }

// render makes a page's octets.
func (p *Page) render(r *Request, reply *Reply) ([]byte, error) {
	var b bytes.Buffer
	err := p.template.ExecuteTemplate(&b, "layout.html", &View{Data: reply.data, r: r, title: reply.title, reply: reply})
	return b.Bytes(), err
}

// readStyle is the style as pages carry it, and its source in a Content Security Policy
// (Content Security Policy Level 3, section 2.3.1).
func readStyle() (template.CSS, string, error) {
	b, err := shellFiles.ReadFile("desk.css")
	if err != nil {
		return "", "", err
	}
	style := squeeze(string(b))
	sum := sha256.Sum256([]byte(style))
	return template.CSS(style), "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", nil
}

// squeeze takes comments and the blanks at lines' ends out of a style that keeps each
// declaration on one line.
func squeeze(css string) string {
	var b strings.Builder
	for line := range strings.Lines(css) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "/*") {
			b.WriteString(line)
		}
	}
	return b.String()
}
