package rpz

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	mdns "github.com/miekg/dns"
)

// Secondary is a server that is told of a new list.
type Secondary struct {
	To  netip.AddrPort
	Key *Key // that the message is signed with; nil: it is not
}

// tell sends NOTIFY (RFC 1996) until the secondary confirms it, or has not for too long.
func (z *Zone) tell(ctx context.Context, to *Secondary, e *edition) {
	var err error
	wait := notifyWait
	for range notifyTries {
		if err = z.notify(ctx, to, e, wait); err == nil || ctx.Err() != nil {
			break
		}
		wait *= 2
	}
	switch {
	case err == nil:
		z.cfg.Log.Debug("policy zone: secondary told", "zone", z.origin, "serial", e.serial(), "secondary", to.To)
	case ctx.Err() == nil:
		z.cfg.Log.Warn("policy zone: a secondary does not confirm NOTIFY; it finds the new list when it asks by itself", "zone", z.origin, "serial", e.serial(), "secondary", to.To, "cause", err)
	}
}

// notify sends one NOTIFY and waits for its confirmation. It takes all of the time given
// for a failure, so that another try comes no sooner.
func (z *Zone) notify(ctx context.Context, to *Secondary, e *edition, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := z.notifyOnce(ctx, to, e)
	if err != nil {
		<-ctx.Done()
	}
	return err
}

func (z *Zone) notifyOnce(ctx context.Context, to *Secondary, e *edition) error {
	c, err := new(net.Dialer).DialContext(ctx, "udp", to.To.String())
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	m := new(mdns.Msg)
	m.SetNotify(z.origin)
	m.Answer = []mdns.RR{z.cfg.soa(e.list.Epoch())}
	s := session{key: to.Key}
	b, err := s.pack(m)
	if err != nil {
		return err
	}
	if _, err := c.Write(b); err != nil {
		return err
	}
	s.timers = false // the reply is the first of its direction
	buf := make([]byte, mdns.MaxMsgSize)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		if ok, err := confirms(buf[:n], m, s); ok {
			return err
		}
	}
}

// confirms reports whether a message is the reply to NOTIFY m; the error is the reply's. What
// is not the reply is no reason to stop waiting for it: anybody can send it.
func confirms(raw []byte, m *mdns.Msg, s session) (bool, error) {
	var r mdns.Msg
	if r.Unpack(raw) != nil || !r.Response || r.Id != m.Id || r.Opcode != mdns.OpcodeNotify || s.verify(raw, &r) != nil {
		return false, nil
	}
	if r.Rcode != mdns.RcodeSuccess {
		return true, fmt.Errorf("it answers %s", mdns.RcodeToString[r.Rcode])
	}
	return true, nil
}
