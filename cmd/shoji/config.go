package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/resolve"
)

// configCmd checks configuration files.
type configCmd struct {
	Check  configCheckCmd  `cmd:"" help:"Read a configuration file and say what is wrong with it."`
	Schema configSchemaCmd `cmd:"" help:"Print the JSON Schema of the configuration file."`
}

type configCheckCmd struct {
	File string `arg:"" help:"The configuration file." type:"path"`
}

func (c *configCheckCmd) Run(t terminal) error {
	conf, err := config.Load(c.File)
	if err != nil {
		return err
	}
	if err := convertible(conf); err != nil {
		return err
	}
	_, err = fmt.Fprintln(t.out, c.File+": ok")
	return err
}

type configSchemaCmd struct{}

func (configSchemaCmd) Run(t terminal) error {
	b, err := config.Schema()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.out, "%s\n", b)
	return err
}

// convertible holds that every value is one that serve can take.
func convertible(conf config.Config) error {
	_, err1 := hints(conf)
	_, err2 := anchors(conf)
	_, err3 := names("resolve.negative_trust_anchors", conf.Resolve.Insecure)
	_, err4 := guard(conf)
	return errors.Join(err1, err2, err3, err4)
}

// guard refuses listings that would harm this resolver itself.
func guard(conf config.Config) (curate.Guard, error) {
	var addrs []netip.Addr
	for _, h := range resolve.RootHints() {
		addrs = append(addrs, h.Addrs...)
	}
	for _, h := range conf.Resolve.RootHints {
		addrs = append(addrs, h.Addr)
	}
	for _, s := range slices.Concat(conf.Listen.Filtered, conf.Listen.Unfiltered) {
		addrs = append(addrs, s.Addr())
	}
	g, err := curate.NewGuard(conf.Names, addrs)
	if err != nil {
		return g, fmt.Errorf("configuration: names: %w", err)
	}
	return g, nil
}

// settings are the flags that every verb with a state shares.
type settings struct {
	Config string `help:"Configuration file (YAML)." type:"path" placeholder:"FILE"`
	State  string `help:"Folder of the log and the list; overrides the configuration's." type:"path" placeholder:"DIR"`
}

// load reads the configuration that the flags name, or the defaults.
func (s settings) load() (config.Config, error) {
	c := config.Default()
	if s.Config != "" {
		var err error
		if c, err = config.Load(s.Config); err != nil {
			return c, err
		}
	}
	if s.State != "" {
		c.State = s.State
	}
	return c, nil
}
