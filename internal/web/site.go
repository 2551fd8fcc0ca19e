package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// Config is what a Site needs.
type Config struct {
	// Address is where readers find the site, such as https://desk.example, without a
	// path; "": wherever it listens.
	Address  string
	Operator string         // who runs it; shown on every page
	Feed     string         // path of an Atom feed that every page names; "": none
	Proxies  []netip.Prefix // web servers before this one, whose X-Forwarded-For is believed
	Logger   *slog.Logger   // told of what fails; nil: nobody

	// Now is the clock of the limits of rate; nil is time.Now.
	Now func() time.Time
}

// Site is a desk's pages. Routes are added before it serves.
type Site struct {
	conf    Config
	host    string // of Address
	log     *slog.Logger
	mux     *http.ServeMux
	errors  *Page
	style   template.CSS
	policy  string // Content Security Policy
	matcher language.Matcher
	nav     []navigation
	turns   *turns
	answers chan struct{} // has one for each that is being made
	forgery *http.CrossOriginProtection
}

type navigation struct {
	path string
	text Text
}

// Answer answers a request.
type Answer func(*Request) (*Reply, error)

// Route is a page, or what takes a form.
type Route struct {
	Pattern string // as of http.ServeMux, with a method: "GET /case/{id}"
	Answer  Answer
	Body    int64         // octets of a body at most; 0: MaxBody
	Time    time.Duration // that it may take; 0: ten seconds
}

// New makes a site that has no page yet.
func New(conf Config) (*Site, error) {
	s := &Site{
		conf: conf, log: conf.Logger, mux: http.NewServeMux(), matcher: languages(), turns: newTurns(), answers: make(chan struct{}, maxAnswers),
		forgery: http.NewCrossOriginProtection(),
	}
	if s.conf.Now == nil {
		s.conf.Now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if conf.Address != "" {
		u, err := url.Parse(conf.Address)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" {
			return nil, fmt.Errorf("web: the site's address %q: write it like https://desk.example, without a path", conf.Address)
		}
		s.conf.Address, s.host = u.Scheme+"://"+u.Host, u.Hostname()
	}
	var err error
	if s.errors, err = ParsePage(shellFiles, "error.html"); err != nil {
		return nil, err
	}
	var source string
	if s.style, source, err = readStyle(); err != nil {
		return nil, err
	}
	s.policy = "default-src 'none'; style-src " + source + "; script-src 'self'; connect-src 'self'; img-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	s.mux.Handle("/", s.page(Route{Answer: s.nothing}))
	return s, nil
}

// Handle adds a route. A pattern that makes no sense, or that another one has, panics, as
// that of http.ServeMux does: it is a fault of the program's.
func (s *Site) Handle(r Route) { s.mux.Handle(r.Pattern, s.page(r)) }

// Mount adds a handler of its own for what lies below a path, such as the log's files. It
// has the shell's limits and headers, and no language.
func (s *Site) Mount(below string, h http.Handler) {
	s.mux.Handle(below+"/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix(below, h).ServeHTTP(w.(carrier).ResponseWriter, r)
	}))
}

// Nav adds a link to the navigation of every page.
func (s *Site) Nav(path string, text Text) { s.nav = append(s.nav, navigation{path, text}) }

// ServeHTTP implements http.Handler.
func (s *Site) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", s.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "browsing-topics=()")
	r := &Request{Request: hr, site: s, of: s.turns.network(s.client(hr))}
	lang, path := splitLanguage(hr.URL.Path)
	if lang != "" {
		r.prefix = "/" + lang
	} else {
		lang = negotiate(s.matcher, hr.Header.Get("Accept-Language"))
		h.Add("Vary", "Accept-Language")
	}
	r.Lang = lang
	u := *hr.URL
	u.Path, u.RawPath = path, ""
	r.Request = hr.WithContext(hr.Context())
	r.URL = &u
	if err := s.admit(r); err != nil {
		s.refuse(w, r, err)
		return
	}
	s.mux.ServeHTTP(carrier{w, r}, r.Request)
}

// carrier takes a Request through the mux, which knows of none.
type carrier struct {
	http.ResponseWriter
	request *Request
}

// admit applies the limits that hold for every request.
func (s *Site) admit(r *Request) error {
	if wait, ok := s.turns.take(r.of, 1, s.conf.Now()); !ok {
		return tooMany(wait)
	}
	switch {
	case !s.knows(r.Host):
		return otherHost
	case len(r.RequestURI) > maxTarget:
		return longTarget
	case !validPath(r.URL.Path):
		return NotFound
	case s.forgery.Check(r.Request) != nil:
		return otherSite
	}
	return nil
}

// validPath refuses what no path of ours has: the mux would answer it with a redirect.
func validPath(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.Contains(path, "//") && !strings.Contains(path, "/.") &&
		!strings.ContainsFunc(path, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' || c == 0xfffd })
}

// knows reports whether a Host is one that this site may be asked for by.
func (s *Site) knows(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return strings.EqualFold(name, "localhost") || s.host != "" && strings.EqualFold(name, s.host)
}

// client is the address that a request came from, or that a proxy says it came from.
func (s *Site) client(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	peer := at.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.proxy(peer); i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		peer = a.Unmap()
	}
	return peer
}

func (s *Site) proxy(a netip.Addr) bool {
	return slices.ContainsFunc(s.conf.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// nothing answers what no route takes.
func (s *Site) nothing(r *Request) (*Reply, error) {
	other := r.Request.Clone(r.Context())
	var allow []string
	for _, other.Method = range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		if _, pattern := s.mux.Handler(other); pattern != "/" {
			allow = append(allow, other.Method)
		}
	}
	if allow == nil {
		return nil, NotFound
	}
	err := badMethod
	err.allow = strings.Join(allow, ", ")
	return nil, err
}

// page is a route as the mux calls it.
func (s *Site) page(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		c := w.(carrier)
		w, r := c.ResponseWriter, *c.request
		ctx, cancel := context.WithTimeout(hr.Context(), cmp.Or(route.Time, answerTime))
		defer cancel()
		r.Request = hr.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, hr.Body, cmp.Or(route.Body, MaxBody))
		reply, err := s.answer(route, &r)
		if err == nil {
			err = s.send(w, &r, reply)
		}
		if err == nil {
			return
		}
		if known := (Error{}); !errors.As(err, &known) && hr.Context().Err() == nil {
			if ctx.Err() != nil {
				err = Busy
			} else {
				s.log.Error("a page failed", "route", route.Pattern, "cause", err)
			}
		}
		s.refuse(w, &r, err)
	})
}

// answer makes a route's answer, when there is room for one.
func (s *Site) answer(route Route, r *Request) (*Reply, error) {
	select {
	case s.answers <- struct{}{}:
		defer func() { <-s.answers }()
		return route.Answer(r)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// send writes a reply. Nothing was written when it returns an error.
func (s *Site) send(w http.ResponseWriter, r *Request, reply *Reply) error {
	body, kind := reply.body, reply.kind
	if reply.page != nil {
		var err error
		if body, err = reply.page.render(r, reply); err != nil {
			return err
		}
		kind = "text/html; charset=utf-8"
		w.Header().Set("Content-Language", r.Lang)
	}
	h := w.Header()
	h.Set("Cache-Control", cmp.Or(reply.Cache, "no-store"))
	if kind != "" {
		h.Set("Content-Type", kind)
	}
	if reply.location != "" {
		h.Set("Location", reply.location)
	}
	for name, values := range reply.Header {
		h[name] = values
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(cmp.Or(reply.Status, http.StatusOK))
	w.Write(body) // whoever does not want it does not get it
	return nil
}

// refuse sends an error, as a page or to a machine.
func (s *Site) refuse(w http.ResponseWriter, r *Request, err error) {
	known := failed
	errors.As(err, &known)
	title := Text{EN: http.StatusText(known.Status), JA: statusJA(known.Status)}
	reply := s.errors.Reply(title, known)
	if r.machine() {
		reply = problem(r, title, known)
	}
	reply.Status = known.Status
	if reply.Header == nil {
		reply.Header = http.Header{}
	}
	if known.retry > 0 {
		reply.Header.Set("Retry-After", strconv.Itoa(int(known.retry.Seconds())+1))
	}
	if known.allow != "" { // RFC 9110 section 15.5.6
		reply.Header.Set("Allow", known.allow)
	}
	if err := s.send(w, r, reply); err != nil {
		s.log.Error("an error page failed", "cause", err)
		http.Error(w, known.Text.In(r.Lang), known.Status)
	}
}

// statusJA is a status in Japanese.
func statusJA(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "リクエストの誤り"
	case http.StatusForbidden:
		return "受け付けられません"
	case http.StatusNotFound:
		return "ページがありません"
	case http.StatusMethodNotAllowed:
		return "受け付けられないリクエスト"
	case http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong:
		return "大きすぎます"
	case http.StatusTooManyRequests:
		return "リクエストが多すぎます"
	case http.StatusServiceUnavailable:
		return "混み合っています"
	}
	return "エラー"
}
