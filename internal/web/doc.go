// Package web is the shell of the desk: what every page that the public or the staff
// sees has in common. It knows the layout, the two languages, the limits, the headers
// and the error pages, and nothing of what the pages say: that is for the packages that
// give it [Route]s, such as desk.
//
// # How a page is made
//
// A package embeds its templates, parses each with [ParsePage], and adds routes:
//
//	page, err := web.ParsePage(files, "case.html")     // {{define "main"}} … {{end}}
//	site.Handle(web.Route{Pattern: "GET /case/{id}", Answer: func(r *web.Request) (*web.Reply, error) {
//		c, err := store.Case(r.Context(), r.PathValue("id"))
//		if errors.Is(err, appeal.ErrUnknown) {
//			return nil, web.NotFound
//		}
//		return page.Reply(web.Text{EN: "Case", JA: "申し立て"}, c), err
//	}})
//	site.Nav("/appeal", web.Text{EN: "Appeal", JA: "異議"})  // in the order of the calls
//
// An Answer is a function from a request to a [Reply]; nothing is written before it
// returns. An [Error] that it returns becomes an error page in the reader's language, or
// application/problem+json (RFC 9457) where JSON was asked for, by a path that ends in .json or by Accept;
// any other error is logged, without anything of the request but its route, and becomes
// a page that says no more than that.
//
// In a template the dot is a [View], so $.T "English" "日本語" is a text in the page's
// language, $.In a [Text] or a policy's text, $.Link "/list" a path that keeps the
// language, and .Data what the Answer gave. In a form that is sent by POST nothing need
// be hidden against forgery: see below.
//
// # Languages
//
// /en/… and /ja/… are the pages in that language; without either, Accept-Language
// decides. A page links to itself in the other language. There is no cookie for it.
// [Request.Lang] is "en" or "ja"; paths in patterns have no such prefix.
//
// # What holds for every request
//
//   - The Host is one of the configured address's, localhost or an IP address; others
//     are refused (421), so that a page elsewhere cannot make a browser speak to a desk on
//     loopback under a name of its own (DNS rebinding).
//   - A request that changes something and comes from another site is refused (403), by
//     Sec-Fetch-Site and Origin ([net/http.CrossOriginProtection]).
//   - The Content Security Policy allows the page's own style by its hash, scripts and
//     requests to the same origin alone, no inline script, no frame, no plug-in.
//   - Header, body, URL, time and rate are limited: see limits.go and [Route]. A flood of one
//     network's costs that network its connections and turns first, and nobody else's.
//   - Nothing of a request is kept or logged. The client's network is known to the limits
//     alone, as a place in a table under a key that is thrown away when the process ends.
//
// # Limits and known faults
//
// HTTP/1.1 without TLS: before the open Internet belongs a web server that has it; tell
// [Config.Proxies] where it connects from, or all its clients share one network's limits.
// Networks that share a place in the limits' table share their bounds.
package web
