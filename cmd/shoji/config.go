package main

import (
	"fmt"

	"github.com/shoji-dns/shoji/internal/config"
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
	if _, err := config.Load(c.File); err != nil {
		return err
	}
	_, err := fmt.Fprintln(t.out, c.File+": ok")
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
