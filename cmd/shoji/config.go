package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/ech"
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
	served, err8 := zones(conf)
	_, err5 := ownAnswers(conf, served, false, conf.Encrypted.Filtered, nil)
	_, err6 := inForce(conf)
	_, err7 := sources(conf)
	_, err9 := network(conf)
	_, err10 := structuredError(conf, origins(conf)...)
	_, err11 := logConfig(conf)
	_, err12 := carrier(conf, slog.Default())
	if _, err := certificates(conf.Encrypted.ACME.CA); err != nil {
		return fmt.Errorf("configuration: encrypted.acme.ca: %w", err)
	}
	if name := conf.Encrypted.Public(); name != "" {
		if err := ech.CheckName(name); err != nil {
			return fmt.Errorf("configuration: encrypted.ech.public_name: %w", err)
		}
	}
	return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12, readable(conf), transferable(conf), followable(conf), encryptable(conf))
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
