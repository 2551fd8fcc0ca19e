package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/database"
	"github.com/shoji-dns/shoji/internal/docket"
	"github.com/shoji-dns/shoji/internal/staff"
)

// staffCmd is about who decides appeals, for whoever has the console.
type staffCmd struct {
	Invite staffInviteCmd `cmd:"" help:"Print a link with which somebody joins staff, once."`
	List   staffListCmd   `cmd:"" help:"Show who is staff."`
	Remove staffRemoveCmd `cmd:"" help:"End somebody's membership, with the passkeys and sessions."`
	Trail  staffTrailCmd  `cmd:"" help:"Show what staff did, the latest first."`
}

// openStaff opens what is kept of staff, in a state folder that is there.
func openStaff(ctx context.Context, conf config.Config) (*staff.Store, *database.DB, error) {
	if !database.IsPostgres(deskDatabase(conf)) {
		if _, err := os.Stat(conf.State); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("%s is not there: shoji serve makes it", conf.State)
		}
	}
	db, err := openDeskDatabase(conf)
	if err != nil {
		return nil, nil, err
	}
	s, err := staff.OpenStore(ctx, db, nil)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return s, db, nil
}

// staffed runs something with what is kept of staff.
func (s settings) staffed(ctx context.Context, do func(config.Config, *staff.Store, *database.DB) error) error {
	conf, err := s.load()
	if err != nil {
		return err
	}
	store, db, err := openStaff(ctx, conf)
	if err != nil {
		return err
	}
	return errors.Join(do(conf, store, db), db.Close())
}

type staffInviteCmd struct{ settings }

func (c *staffInviteCmd) Run(ctx context.Context, t terminal) error {
	return c.staffed(ctx, func(conf config.Config, s *staff.Store, _ *database.DB) error {
		token, err := s.Invite(ctx, "")
		if err != nil {
			return err
		}
		address := strings.TrimSuffix(conf.Desk.Address, "/")
		if address == "" {
			_, port, _ := strings.Cut(defaultDeskListen, ":")
			if conf.Desk.Listen != nil && len(*conf.Desk.Listen) > 0 {
				port = fmt.Sprint((*conf.Desk.Listen)[0].Port())
			}
			address = "http://localhost:" + port
		}
		_, err = fmt.Fprintf(t.out, "%s%s\n", address, staff.JoinPath(token))
		fmt.Fprintf(t.err, "It works once, within %s. Earlier links of the console do not work any more.\n", staff.InvitationTime)
		return err
	})
}

type staffListCmd struct {
	settings
	JSON bool `name:"json" help:"Print JSON for a machine."`
}

func (c *staffListCmd) Run(ctx context.Context, t terminal) error {
	return c.staffed(ctx, func(_ config.Config, s *staff.Store, _ *database.DB) error {
		all, err := s.Members(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			out := []map[string]any{}
			for _, m := range all {
				one := map[string]any{"id": m.ID, "name": m.Name, "since": m.Created, "passkeys": m.Passkeys, "member": m.Removed.IsZero()}
				if m.External != "" {
					one["openid"] = m.External
				}
				out = append(out, one)
			}
			return json.NewEncoder(t.out).Encode(out)
		}
		for _, m := range all {
			how := fmt.Sprintf("%d passkeys", m.Passkeys)
			if m.External != "" {
				how = m.External
			}
			if !m.Removed.IsZero() {
				how = "removed on " + m.Removed.Format(time.DateOnly)
			}
			fmt.Fprintf(t.out, "%s  %s  since %s  %s\n", m.ID, m.Name, m.Created.Format(time.DateOnly), how)
		}
		if len(all) == 0 {
			_, err = fmt.Fprintln(t.out, "nobody is staff; shoji staff invite prints a link to join by")
		}
		return err
	})
}

type staffRemoveCmd struct {
	settings
	Member string `arg:"" help:"The member's identity, as staff list shows it." placeholder:"ID"`
}

func (c *staffRemoveCmd) Run(ctx context.Context, t terminal) error {
	return c.staffed(ctx, func(conf config.Config, s *staff.Store, db *database.DB) error {
		if err := s.Remove(ctx, c.Member, ""); err != nil {
			return fmt.Errorf("%s: %w", c.Member, err)
		}
		cases, err := docket.Open(ctx, docket.Config{Database: db, Dir: conf.State})
		if err == nil {
			err = cases.Disqualify(ctx, c.Member)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(t.out, c.Member+": removed")
		return err
	})
}

type staffTrailCmd struct {
	settings
	Last int  `help:"How many lines." default:"100" placeholder:"N"`
	JSON bool `name:"json" help:"Print JSON for a machine."`
}

func (c *staffTrailCmd) Run(ctx context.Context, t terminal) error {
	if c.Last < 1 {
		return usageError{errors.New("--last: give a number of lines")}
	}
	return c.staffed(ctx, func(_ config.Config, s *staff.Store, _ *database.DB) error {
		all, err := s.Trail(ctx, c.Last, 0)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(t.out).Encode(append([]staff.Event{}, all...))
		}
		for _, e := range all {
			who := e.Member
			if who == "" {
				who = "console"
			}
			fmt.Fprintln(t.out, strings.TrimSpace(fmt.Sprintf("%s  %s  %s  %s  %s", e.At.Format(time.RFC3339), who, e.Action, e.About, e.Detail)))
		}
		return nil
	})
}
