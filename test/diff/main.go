// Diff compares shoji's replies with those of other resolvers over one signed tree of
// zones, as respdiff does over the Internet.
//
//	diff tree [-seed N] DIR    write the zones, and what servers and resolvers need
//	diff ask [-seed N] [-names N] [-times N] [-json FILE] -shoji ADDR [-filtered ADDR] -peer NAME=ADDR...
//
// The tree is a function of the seed and the day: the root, top-level domains, and some
// hundred zones of all kinds of signing, breaking and delegating (kinds.go, content.go).
// The questions are a function of the seed (questions.go). Each is put to shoji's two
// views and to all peers, and the replies are compared field by field (compare.go).
// Where they differ a rule must say why (rules.go); run.sh makes the network and starts
// the servers.
//
// It exits with 0 where each difference is explained, with 1 where one is not, and with 2
// where it could not run.
//
// Limits: the tree's servers are NSD alone, and all answer at once. Extended DNS Errors
// and the additional section are not compared.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	ok, err := command(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "diff:", err)
		os.Exit(2)
	case !ok:
		os.Exit(1)
	}
}

func command(args []string) (ok bool, err error) {
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	f := flag.NewFlagSet("diff "+verb, flag.ContinueOnError)
	seed := f.Uint64("seed", 1, "of the tree's keys and of the questions")
	switch verb {
	case "tree":
		if err := f.Parse(args); err != nil {
			return false, err
		}
		if f.NArg() != 1 {
			return false, errors.New("tree: name one folder to write to")
		}
		return true, writeTree(*seed, f.Arg(0))
	case "ask":
		return askAll(f, seed, args)
	}
	return false, fmt.Errorf("%q is neither tree nor ask", verb)
}

func askAll(f *flag.FlagSet, seed *uint64, args []string) (ok bool, err error) {
	r := &run{show: terminal(os.Stderr)}
	names := f.Int("names", 10000, "distinct names to ask for")
	times := f.Int("times", 3, "questions for each name, of different types and flags")
	f.IntVar(&r.workers, "workers", 24, "questions under way at a time")
	f.StringVar(&r.shoji, "shoji", "", "address of shoji's unfiltered view")
	f.StringVar(&r.filtered, "filtered", "", "address of its filtered view")
	file := f.String("json", "", "file to write the whole report to")
	f.Func("peer", "NAME=ADDRESS of another resolver; may be given again", func(s string) error {
		name, addr, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("want NAME=ADDRESS:PORT")
		}
		r.peers = append(r.peers, peer{name, addr})
		return nil
	})
	if err := f.Parse(args); err != nil {
		return false, err
	}
	if r.shoji == "" || len(r.peers) == 0 || f.NArg() > 0 {
		return false, errors.New("ask: give -shoji and at least one -peer, and nothing but flags")
	}
	r.began = time.Now()
	if r.tree, err = makeTree(*seed, time.Now(), tops()); err != nil {
		return false, err
	}
	all, unsteady := r.again(r.compare(r.tree.questions(*seed, *names, *times), r.workers))
	out := r.judge(all, unsteady)
	if *file != "" {
		if err := writeFile(*file, out.writeJSON); err != nil {
			return false, err
		}
	}
	return len(out.Unexplained) == 0, out.write(os.Stdout)
}

// writeTree writes a zone file for each zone below zones/; servers, a line for each
// server with its name, its addresses and its zones as ORIGIN:FILE, separated by tabs; the
// root hints; and the trust anchor.
func writeTree(seed uint64, dir string) error {
	t, err := makeTree(seed, time.Now(), tops())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "zones"), 0o755); err != nil {
		return err
	}
	held := make(map[string][]string)
	for i, z := range t.zones {
		file := fmt.Sprintf("%d", i)
		text, err := t.records(z)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "zones", file), []byte(text), 0o644); err != nil {
			return err
		}
		held[z.host] = append(held[z.host], z.origin+":"+file)
	}
	var servers strings.Builder
	for _, name := range []string{serverRoot, serverTLD, serverLeaf, serverLame} {
		fmt.Fprintf(&servers, "%s\t%s\t%s\n", name, strings.Join(addresses()[name], " "), strings.Join(held[name], " "))
	}
	anchor, err := t.anchor()
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"servers": servers.String(),
		"anchor":  anchor + "\n",
		"hints":   fmt.Sprintf(". 3600000 NS %s\n%s 3600000 A %s\n", rootServer, rootServer, addrRoot),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
