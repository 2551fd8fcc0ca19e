package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"unicode/utf8"
)

// check says what makes a record that was scanned no entry.
func (r *record) check() error {
	if !r.has.has(mKind) {
		return errors.New(`member "kind" is missing`)
	}
	r.kind = internKind(r.text[mKind])
	required, permitted, ok := shape(r.kind)
	if !ok {
		return fmt.Errorf("unknown kind %q", r.text[mKind])
	}
	if extra := r.has &^ permitted; extra != 0 {
		return fmt.Errorf("member %q does not belong into an entry of kind %q", memberName(extra.first()), r.kind)
	}
	if missing := required &^ r.has; missing != 0 {
		return fmt.Errorf("member %q is missing in an entry of kind %q", memberName(missing.first()), r.kind)
	}
	for rest := r.has; rest != 0; rest &= rest - 1 {
		m := rest.first()
		if err := r.checkMember(m); err != nil {
			return fmt.Errorf("member %q: %w", memberName(m), err)
		}
	}
	for i := range r.evidence {
		if err := r.evidence[i].check(); err != nil {
			return fmt.Errorf(`member "evidence": number %d: %w`, i, err)
		}
	}
	return r.checkSubject()
}

func internKind(b []byte) Kind {
	switch string(b) {
	case "list":
		return KindList
	case "delist":
		return KindDelist
	case "policy":
		return KindPolicy
	case "source":
		return KindSource
	case "case":
		return KindCase
	case "epoch":
		return KindEpoch
	}
	return ""
}

func (r *record) checkMember(m member) error {
	switch b := r.text[m]; m {
	case mCase, mCause, mClause, mFormat, mGroup, mSource, mStatus, mVersion:
		return checkToken(b)
	case mLicense, mLocation, mTitle:
		return checkText(b, MaxText, false)
	case mNote:
		return checkText(b, MaxText, true)
	case mDocument:
		return r.checkDocument(b)
	case mCommitment, mDigest, mMap, mPolicy:
		return checkDigest(b)
	case mSalt:
		if !isHex(b, 2*len(Salt{})) {
			return fmt.Errorf("%q is not %d lower-case hexadecimal digits", b, 2*len(Salt{}))
		}
		if string(b) == string(bytes.Repeat([]byte{'0'}, len(b))) {
			return errors.New("the salt is all zero")
		}
	case mName:
		return checkName(b)
	case mPrefix:
		return r.checkPrefix(b)
	case mTime:
		_, err := parseTime(b)
		return err
	case mInterval:
		if r.number[m] == 0 {
			return errors.New("0 stands for no interval, which is written by leaving it out")
		}
	case mLayout:
		if n := r.number[m]; n == 0 || n > MaxLayout {
			return fmt.Errorf("a version of %d; it is from 1 to %d", n, uint32(MaxLayout))
		}
	case mClaims:
		for _, c := range r.claims {
			if err := checkToken(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkSubject says what is wrong with a subject: a scope and exactly one of
// name, prefix and commitment, of the right sort.
func (r *record) checkSubject() error {
	subject := r.has & subjectMembers
	if subject == 0 {
		return nil
	}
	if !subject.has(mScope) {
		return fmt.Errorf(`member %q without member "scope"`, memberName(subject.first()))
	}
	switch string(r.text[mScope]) {
	case "exact":
		r.scope = ScopeExact
	case "subtree":
		r.scope = ScopeSubtree
	case "prefix":
		r.scope = ScopePrefix
	default:
		return fmt.Errorf(`member "scope": unknown scope %q`, r.text[mScope])
	}
	const (
		name      = 1<<mScope | 1<<mName
		prefix    = 1<<mScope | 1<<mPrefix
		committed = 1<<mScope | 1<<mCommitment | 1<<mSalt
	)
	if r.scope == ScopePrefix && subject != prefix {
		return errors.New(`scope "prefix" goes with member "prefix" alone`)
	}
	if r.scope != ScopePrefix && subject != name && subject != committed {
		return fmt.Errorf(`scope %q goes with member "name", or with "commitment" and "salt"`, r.scope)
	}
	return nil
}

func (r *record) checkPrefix(b []byte) error {
	p, err := netip.ParsePrefix(string(b))
	if err != nil {
		return fmt.Errorf("%q is not an address prefix", b)
	}
	if p != p.Masked() {
		return fmt.Errorf("prefix %q has host bits; it is written %q", b, p.Masked())
	}
	if p.Addr().Is4In6() {
		return fmt.Errorf("prefix %q is an IPv4 address in IPv6 form", b)
	}
	if s := p.String(); s != string(b) {
		return fmt.Errorf("prefix %q is written %q (RFC 5952)", b, s)
	}
	r.prefix = p
	return nil
}

// checkDocument wants the document that the digest beside it names.
func (r *record) checkDocument(b []byte) error {
	if err := checkText(b, MaxEntry, true); err != nil {
		return err
	}
	if uint64(len(b)) != r.number[mBytes] {
		return fmt.Errorf(`it has %d octets and member "bytes" says %d`, len(b), r.number[mBytes])
	}
	if d := digestOf(b); d.String() != string(r.text[mPolicy]) {
		return fmt.Errorf(`its digest is %s, not what member "policy" says`, d)
	}
	return nil
}

func (c *claim) check() error {
	if c.kind == nil {
		return errors.New(`member "kind" is missing`)
	}
	if c.source == nil {
		return errors.New(`member "source" is missing`)
	}
	if err := checkToken(c.kind); err != nil {
		return fmt.Errorf(`member "kind": %w`, err)
	}
	if err := checkToken(c.source); err != nil {
		return fmt.Errorf(`member "source": %w`, err)
	}
	if c.family != nil {
		if err := checkText(c.family, MaxText, false); err != nil {
			return fmt.Errorf(`member "family": %w`, err)
		}
	}
	if c.reference != nil {
		if err := checkText(c.reference, MaxText, false); err != nil {
			return fmt.Errorf(`member "reference": %w`, err)
		}
	}
	return c.checkTimes()
}

func (c *claim) checkTimes() error {
	if c.first != nil {
		if _, err := parseTime(c.first); err != nil {
			return fmt.Errorf(`member "first": %w`, err)
		}
	}
	if c.last != nil {
		if _, err := parseTime(c.last); err != nil {
			return fmt.Errorf(`member "last": %w`, err)
		}
	}
	if c.first != nil && c.last != nil && string(c.first) > string(c.last) {
		return fmt.Errorf("first seen %s, after last seen %s", c.first, c.last)
	}
	return nil
}

// CheckToken says what keeps s from being a token; see the package comment.
func CheckToken(s string) error { return checkToken([]byte(s)) }

func checkToken(b []byte) error {
	if len(b) == 0 {
		return errors.New("the token is empty")
	}
	if len(b) > MaxToken {
		return fmt.Errorf("a token of %d octets; the longest is %d", len(b), MaxToken)
	}
	for i, c := range b {
		switch {
		case 'a' <= c && c <= 'z', isDigit(c):
			continue
		case i > 0 && (c == '.' || c == '_' || c == '-' || c == '+' || c == '/' || c == ':'):
			continue
		}
		return fmt.Errorf("token %q: character %d is not one of a-z 0-9 . _ - + / :, or one of the latter six at the start", b, i)
	}
	return nil
}

// CheckText says what keeps s from being the text of a title, note, location,
// licence, family or reference; see the package comment.
func CheckText(s string) error { return checkText([]byte(s), MaxText, false) }

func checkText(b []byte, most int, lines bool) error {
	if len(b) == 0 {
		return errors.New("the text is empty; what is not there is left out")
	}
	if len(b) > most {
		return fmt.Errorf("a text of %d octets; the longest is %d", len(b), most)
	}
	for i := 0; i < len(b); {
		c, n := rune(b[i]), 1
		if c >= utf8.RuneSelf {
			c, n = utf8.DecodeRune(b[i:])
		}
		if c < ' ' && !(lines && (c == '\n' || c == '\t')) || 0x7F <= c && c <= 0x9F {
			return fmt.Errorf("control character %#U at octet %d", c, i)
		}
		i += n
	}
	return nil
}

func checkDigest(b []byte) error {
	if !isHex(b, 2*len(Digest{})) {
		return fmt.Errorf("%q is not a digest of %d lower-case hexadecimal digits", b, 2*len(Digest{}))
	}
	for _, c := range b {
		if c != '0' {
			return nil
		}
	}
	return errors.New("the digest is all zero")
}
