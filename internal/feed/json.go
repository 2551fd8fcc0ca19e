package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Limits of a JSON file. It is read token by token, so that memory does not grow with it.
const (
	maxJSONDepth   = 16      // objects and arrays within one another; MISP's have 7
	maxJSONMembers = 64      // members of one object that are looked at; the widest known has 40
	maxJSONToken   = 1 << 20 // octets of one token: MISP attributes hold whole reports
)

// errJSONToken ends a file with a token that is too long.
var errJSONToken = fmt.Errorf("a string of more than %d octets", maxJSONToken)

// rationed is a reader that fails where more is read than was allotted.
type rationed struct {
	r    io.Reader
	left int
}

func (r *rationed) Read(b []byte) (int, error) {
	if r.left <= 0 {
		return 0, errJSONToken
	}
	n, err := r.r.Read(b[:min(len(b), r.left)])
	r.left -= n
	return n, err
}

// object is a JSON object on the way: its members that are strings, numbers or booleans.
type object map[string]string

// first is the first of some members that is there and not empty.
func (o object) first(names []string) string {
	for _, name := range names {
		if v := o[name]; v != "" {
			return v
		}
	}
	return ""
}

// jsonParser walks a JSON file. Every object, at whatever depth, goes to the format.
type jsonParser struct {
	*parser
	dec    *json.Decoder
	ration *rationed
}

// runJSON parses a file of one of the JSON formats. A file that ends too early is refused as
// a whole.
func (p *parser) runJSON(r io.Reader) error {
	j := &jsonParser{parser: p, ration: &rationed{r: r}}
	j.dec = json.NewDecoder(j.ration)
	j.dec.UseNumber()
	err := j.value("", nil, 0)
	if err == nil {
		if _, err = j.token(); err == io.EOF {
			return nil
		}
		err = errJSONMore
	}
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		err = fmt.Errorf("at octet %d: %w", syntax.Offset, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("it ends in the middle: it was cut off")
	case errors.Is(err, errJSONToken), errors.Is(err, errJSONDepth), errors.Is(err, errJSONMore):
	default: // of yield, or of the reader
		return err
	}
	return &Refused{Report: p.rep, Why: "it is no whole JSON document: " + err.Error()}
}

func (j *jsonParser) token() (json.Token, error) {
	j.ration.left = maxJSONToken
	return j.dec.Token()
}

var errJSONMore = errors.New("something follows the end of the document")

var errJSONDepth = fmt.Errorf("more than %d levels of objects and arrays", maxJSONDepth)

// value walks one value: a scalar becomes the member key of the object around it.
func (j *jsonParser) value(key string, around object, depth int) error {
	t, err := j.token()
	if err != nil {
		return err
	}
	switch t {
	case json.Delim('{'):
		return j.object(depth + 1)
	case json.Delim('['):
		return j.array(key, depth+1)
	}
	if around != nil && len(around) < maxJSONMembers {
		if s := scalar(t); s != "" {
			around[key] = s
		}
	}
	return nil
}

// scalar is a token's text; null has none.
func scalar(t json.Token) string {
	switch v := t.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

func (j *jsonParser) object(depth int) error {
	if depth > maxJSONDepth {
		return errJSONDepth
	}
	o := make(object)
	for j.dec.More() {
		t, err := j.token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return errors.New("a member without a name")
		}
		if err := j.value(key, o, depth); err != nil {
			return err
		}
	}
	if _, err := j.token(); err != nil {
		return err
	}
	return j.entry(func() error { return j.record(o) })
}

func (j *jsonParser) array(key string, depth int) error {
	if depth > maxJSONDepth {
		return errJSONDepth
	}
	for j.dec.More() {
		element := make(object)
		if err := j.value(key, element, depth); err != nil {
			return err
		}
		if s := element[key]; s != "" && key == "list" && j.rep.Format == MISP {
			if err := j.entry(func() error { return j.whole(s, Claim{}) }); err != nil {
				return err
			}
		}
	}
	_, err := j.token()
	return err
}

// entry runs fn as the parsing of one line: what would be a line of text is an object here.
func (j *jsonParser) entry(fn func() error) error {
	j.line++
	j.used, j.bad = false, false
	j.rep.Lines++
	err := fn()
	switch {
	case j.used:
		j.rep.Used++
	case !j.bad:
		j.rep.Comments++ // structure around the entries
	}
	return err
}

// record takes an object that has ended.
func (j *jsonParser) record(o object) error {
	switch j.rep.Format {
	case MISP:
		return j.attribute(o)
	case STIX:
		return j.indicator(o)
	}
	text := o.first(subjectColumns)
	if text == "" {
		return nil
	}
	switch o.first(kindColumns) {
	case "", "domain", "url", "ip:port", "ip", "ipv4", "ipv6":
	default:
		j.skip(SkipOther)
		return nil
	}
	return j.subject(text, o)
}

// subject claims what text names, with what the object says besides.
func (j *jsonParser) subject(text string, o object) error {
	sub, pr := parseSubject(text)
	if !pr.ok() {
		j.fail(text, pr)
		return nil
	}
	return j.claim(sub, Claim{
		Family:    bounded(o.first(familyColumns), MaxFamily),
		Reference: bounded(o.first(referenceColumns), MaxReference),
		First:     parseTime(o.first(firstColumns)),
		Last:      parseTime(o.first(lastColumns)),
	})
}

// attribute takes an attribute of a MISP event (https://www.misp-standard.org/rfc/misp-standard-core.txt §2.4).
// Where it has two values, the first is the host.
func (j *jsonParser) attribute(o object) error {
	value, typ := o["value"], o["type"]
	if value == "" || typ == "" {
		return nil
	}
	switch typ {
	case "domain", "hostname", "ip-dst", "ip-src", "url", "uri", "domain|ip", "hostname|port", "ip-dst|port", "ip-src|port":
	default:
		j.skip(SkipOther)
		return nil
	}
	if o["to_ids"] == "false" {
		j.skip(SkipContext)
		return nil
	}
	host, _, _ := strings.Cut(value, "|")
	if seconds, err := strconv.ParseInt(o["timestamp"], 10, 64); err == nil && o["last_seen"] == "" && seconds > 0 {
		o["last_seen"] = time.Unix(seconds, 0).UTC().Format(time.RFC3339)
	}
	return j.subject(host, o)
}

// pattern is one comparison of a STIX pattern that names a host (STIX 2.1 §9).
var pattern = regexp.MustCompile(`(?:domain-name|ipv4-addr|ipv6-addr|url):value\s*=\s*'((?:[^'\\]|\\.)*)'`)

// maxPatterns is how many hosts one STIX pattern may name.
const maxPatterns = 256

// indicator takes a STIX indicator (STIX 2.1 §4.7). Other objects are what it is about.
func (j *jsonParser) indicator(o object) error {
	if o["type"] != "indicator" {
		return nil
	}
	if t := o["pattern_type"]; t != "" && t != "stix" {
		j.skip(SkipPattern)
		return nil
	}
	if o["revoked"] == "true" {
		j.skip(SkipException)
		return nil
	}
	if strings.Contains(o["pattern"], " NOT ") || strings.Contains(o["pattern"], "!=") {
		j.skip(SkipPattern)
		return nil
	}
	found := pattern.FindAllStringSubmatch(o["pattern"], maxPatterns)
	if len(found) == 0 {
		j.skip(SkipOther)
		return nil
	}
	o["first_seen"], o["last_seen"] = o["valid_from"], o["modified"]
	o["reference"] = o["id"]
	for _, m := range found {
		if err := j.subject(strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(m[1]), o); err != nil {
			return err
		}
	}
	return nil
}

// detectJSON says which of the JSON formats a file that starts with head has; "" for none.
func detectJSON(head []byte) Format {
	head = bytes.TrimSpace(trimBOM(head))
	if len(head) == 0 || head[0] != '{' && (head[0] != '[' || !bytes.Contains(head[:min(len(head), 64)], []byte("{"))) {
		return ""
	}
	compact := bytes.ReplaceAll(bytes.ReplaceAll(head, []byte(" "), nil), []byte("\n"), nil)
	switch {
	case bytes.Contains(compact, []byte(`"type":"bundle"`)), bytes.Contains(compact, []byte(`"spec_version":"2.1"`)):
		return STIX
	case bytes.Contains(compact, []byte(`"Event":{`)), bytes.Contains(compact, []byte(`"list":[`)):
		return MISP
	}
	return JSON
}
