package config

import (
	"fmt"
	"time"
)

// Log says how the public log is kept and given to readers.
type Log struct {
	Listen     *[]Socket `yaml:"listen" json:"listen,omitempty" jsonschema:"description=Addresses (TCP\\, HTTP without TLS) where the log is published as static files\\, ADDRESS:PORT. Default: 127.0.0.1:5380. An empty list publishes nothing; any web server can serve the folder log in the state folder instead."`
	Witnesses  string    `yaml:"witnesses" json:"witnesses,omitempty" jsonschema:"description=Which witnesses have to cosign the log before anything of it comes into force: a policy as https://c2sp.org/tlog-policy writes it\\, or the path of a file with one. Default: none."`
	Uncosigned string    `yaml:"uncosigned" json:"uncosigned,omitempty" jsonschema:"enum=wait,enum=publish,description=What happens while too few witnesses can be reached. wait (default): nothing new comes into force\\, neither listings nor delistings\\, until enough have cosigned. publish: it comes into force without them\\, an alert is raised\\, and the cosignatures are asked for again."`
	Patience   Duration  `yaml:"witness_timeout" json:"witness_timeout,omitempty" jsonschema:"description=How long the witnesses have to answer. Default: 5s."`
	Database   string    `yaml:"database" json:"database,omitempty" jsonschema:"description=A MySQL or MariaDB database that keeps the log\\, as mysql://USER:PASSWORD@HOST:PORT/NAME or mysql://USER@/NAME?socket=PATH; tls=true asks for TLS. Default: the state folder keeps it. What is published lies in the state folder in either case."`
}

func defaultLog() Log { return Log{Uncosigned: "wait", Patience: Duration(5 * time.Second)} }

func (l *Log) check() error {
	switch {
	case l.Uncosigned != "wait" && l.Uncosigned != "publish":
		return fmt.Errorf("log.uncosigned: %q is neither wait nor publish", l.Uncosigned)
	case time.Duration(l.Patience) < 100*time.Millisecond || time.Duration(l.Patience) > time.Minute:
		return fmt.Errorf("log.witness_timeout: %s is not between 100ms and 1m", time.Duration(l.Patience))
	}
	return nil
}
