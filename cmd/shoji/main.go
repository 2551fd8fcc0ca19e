// Command shoji is protective DNS that an operator can run, a customer can
// verify, and anyone can leave without standing out. See the README.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
	"k8s.io/klog/v2"
)

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1 // what was asked could not be done
	exitUsage   = 2 // what was asked makes no sense

	exitUnchecked = 3 // verify: no fault was found, and not everything could be checked
)

// cli is the command line: one field a verb, one file a verb.
type cli struct {
	Serve     serveCmd     `cmd:"" help:"Run the filtered resolver and its unfiltered twin."`
	Setup     setupCmd     `cmd:"" help:"Ask three questions and write a configuration for a node of one's own."`
	Sinkhole  sinkholeCmd  `cmd:"" help:"Run what filtered names lead to, or show what it captured."`
	Desk      deskCmd      `cmd:"" help:"Run the pages where people look names up, beside a state folder."`
	List      listCmd      `cmd:"" help:"Change or show the list of what is filtered."`
	Sources   sourcesCmd   `cmd:"" help:"Show the configured sources of evidence, and which of them fail."`
	Verify    verifyCmd    `cmd:"" help:"Check a public log from outside: signatures, history, policy and list."`
	Lookup    lookupCmd    `cmd:"" help:"Ask a public log whether a name is listed, with proof, without telling which name."`
	Log       logCmd       `cmd:"" help:"Show what readers of the public log need."`
	Explain   explainCmd   `cmd:"" help:"Say why a name or an address is filtered, or is not, and what would change that."`
	Policy    policyCmd    `cmd:"" help:"Check or show the definition of what is filtered."`
	Query     queryCmd     `cmd:"" help:"Ask a resolver and show its answer and errors in words."`
	Discovery discoveryCmd `cmd:"" help:"Print what tells clients of the encrypted addresses: DDR records, options of DHCP and router advertisements."`
	Config    configCmd    `cmd:"" help:"Check a configuration file or print its schema."`
	Staff     staffCmd     `cmd:"" help:"Say who decides appeals, and show what they did."`
	Backup    backupCmd    `cmd:"" help:"Write all that cannot be made anew into one file, while serve runs."`
	Restore   restoreCmd   `cmd:"" help:"Make a state folder of a backup, without forking the log."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// terminal is where a verb reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends the process at once
	// The log's storage tells by klog what it does; what it cannot do, it returns as well.
	klog.SetSlogLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	status := run(ctx, os.Args[1:], terminal{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(status)
}

// run carries one command line out and returns the exit status.
func run(ctx context.Context, args []string, t terminal) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("shoji"),
		kong.Description("Protective DNS: malware's control names lead to a sinkhole, an unfiltered twin beside it, and a public log of what is filtered."),
		kong.UsageOnError(),
		kong.Writers(t.out, t.err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(t),
	)
	if err != nil {
		fmt.Fprintln(t.err, "shoji:", err)
		return exitFailure
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if exited >= 0 { // --help has printed
		return exited
	}
	if err != nil {
		fmt.Fprintf(t.err, "shoji: %v (see shoji --help)\n", err)
		return exitUsage
	}
	err = k.Run()
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(t.err, "shoji: interrupted")
	default:
		fmt.Fprintln(t.err, "shoji:", err)
	}
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	var status statusError
	if errors.As(err, &status) {
		return status.status
	}
	return exitFailure
}

// statusError is an error with an exit status of its own.
type statusError struct {
	error
	status int
}

func (e statusError) Unwrap() error { return e.error }

// usageError is an error in what was asked, not in doing it.
type usageError struct{ error }

// versionCmd prints the version.
type versionCmd struct{}

func (versionCmd) Run(t terminal) error {
	_, err := fmt.Fprintln(t.out, "shoji", version())
	return err
}

// version is the module's version and commit as the Go toolchain recorded them.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	return v + " " + info.GoVersion
}
