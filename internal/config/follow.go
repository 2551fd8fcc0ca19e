package config

import (
	"errors"
	"fmt"
	"time"
)

// Follow is a log that is followed in place of one of one's own. Of several, the first that lists a thing decides.
type Follow struct {
	Log       string   `yaml:"log" json:"log" jsonschema:"required,description=The log's address\\, such as https://log.isp.example/\\, or its folder."`
	Key       string   `yaml:"key" json:"key" jsonschema:"required,description=The log's verifier key\\, as shoji log key prints it. Get it from another place than the log itself."`
	Witnesses string   `yaml:"witnesses" json:"witnesses,omitempty" jsonschema:"description=Which witnesses have to have cosigned what is followed: a policy as https://c2sp.org/tlog-policy writes it\\, or the path of a file with one. As long as enough of them are honest\\, nobody is shown another log. Default: none."`
	Every     Duration `yaml:"every" json:"every,omitempty" jsonschema:"description=Time between two looks at the log; a change is in force that much later. Default: 10s. At least 1s."`
}

// MaxFollow is how many logs can be followed at once: each costs a look-up for every name.
const MaxFollow = 8

// defaultEvery is the time between two looks at a log that is followed.
const defaultEvery = Duration(10 * time.Second)

func (c *Config) checkFollow() error {
	if len(c.Follow) > MaxFollow {
		return fmt.Errorf("follow: %d logs, of which at most %d can be followed", len(c.Follow), MaxFollow)
	}
	for i := range c.Follow {
		f := &c.Follow[i]
		if f.Every == 0 {
			f.Every = defaultEvery
		}
		switch {
		case f.Log == "":
			return fmt.Errorf("follow[%d].log: no address", i)
		case f.Key == "":
			return fmt.Errorf("follow[%d].key: no verifier key: shoji log key prints it where the log is kept", i)
		case time.Duration(f.Every) < time.Second || time.Duration(f.Every) > 24*time.Hour:
			return fmt.Errorf("follow[%d].every: %s is not between 1s and 24h", i, time.Duration(f.Every))
		}
	}
	switch {
	case len(c.Follow) == 0:
		return nil
	case len(c.Sources) > 0:
		return errors.New("sources: what is listed says the log that is followed: leave out sources, or follow")
	case c.Log.Listen != nil && len(*c.Log.Listen) > 0:
		return errors.New("log.listen: there is no log of its own to publish: leave out log.listen, or follow")
	case len(c.Follow) > 1:
		return c.checkSeveral()
	}
	return nil
}

// checkSeveral refuses what goes by the entries of one log where several are followed.
func (c *Config) checkSeveral() error {
	const instead = "several logs are followed, and %s: leave it out, or run it beside this node with a configuration that follows that log alone"
	switch {
	case len(c.Transfer.Listen) > 0:
		return fmt.Errorf("transfer.listen: "+instead, "a policy zone is made of one log's list")
	case c.Desk.Listen != nil && len(*c.Desk.Listen) > 0:
		return fmt.Errorf("desk.listen: "+instead, "the pages are about one log")
	case c.Information.Database != "":
		return errors.New("information.database: several logs are followed, and it names one: leave it out; each entry is then told with its own log's name")
	case c.Information.Log != "":
		return errors.New("information.log: several logs are followed, and it names one: leave it out; those that are followed over https are told")
	}
	return nil
}
