package config

import (
	"errors"
	"fmt"
	"slices"
)

// check refuses addresses that cannot all be listened on, or allowed.
func (l *Listen) check() error {
	for _, a := range l.Filtered {
		if a.Port() != 0 && slices.Contains(l.Unfiltered, a) {
			return fmt.Errorf("listen: both views have %s: a view is known by its address", a)
		}
	}
	all := slices.Concat(l.Filtered, l.Unfiltered)
	if len(all) == 0 {
		return errors.New("listen: neither view has an address")
	}
	for i, a := range all {
		if a.Addr().Is4In6() {
			return fmt.Errorf("listen: %s is an IPv4 address in IPv6 form: write %s", a, a.Addr().Unmap())
		}
		for _, b := range all[:i] {
			if overlap(a, b) {
				return fmt.Errorf("listen: %s and %s cannot both be had: one port of one address has one place", b, a)
			}
		}
	}
	for i, p := range l.Allow {
		if p.Addr().Is4In6() {
			return fmt.Errorf("listen.allow[%d]: %s is of IPv4 addresses in IPv6 form: write it as a prefix of IPv4", i, p)
		}
	}
	for i, p := range l.Balancers {
		if p.Addr().Is4In6() {
			return fmt.Errorf("listen.balancers[%d]: %s is of IPv4 addresses in IPv6 form: write it as a prefix of IPv4", i, p)
		}
		if p.Bits() == 0 {
			return fmt.Errorf("listen.balancers[%d]: %s is everybody, who could then say to be anybody: name the balancers alone", i, p)
		}
	}
	return nil
}

// overlap reports that two sockets have an address and port in common. That of all IPv6
// addresses takes IPv6 alone.
func overlap(a, b Socket) bool {
	same := a.Addr() == b.Addr() ||
		a.Addr().Is4() == b.Addr().Is4() && (a.Addr().IsUnspecified() || b.Addr().IsUnspecified())
	return same && a.Port() == b.Port() && a.Port() != 0
}
