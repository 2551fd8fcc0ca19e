package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/policy"
)

// policyCmd is about the definition of malware.
type policyCmd struct {
	Check policyCheckCmd `cmd:"" help:"Type-check a policy and run its examples."`
	Show  policyShowCmd  `cmd:"" help:"Print a policy: its clauses in order, with their reasons."`
}

// policyFile is the policy that a verb is about.
type policyFile struct {
	File string `arg:"" optional:"" help:"The policy; - for standard input. Default: the one that ships with shoji."`
}

// load reads the policy, from in where the file is named -.
func (f policyFile) load(in io.Reader) (*policy.Policy, error) {
	switch f.File {
	case "":
		return policy.Default()
	case "-":
		f.File = "standard input"
	default:
		file, err := os.Open(f.File)
		if err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
		defer file.Close()
		in = file
	}
	b, err := io.ReadAll(io.LimitReader(in, policy.MaxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	p, err := policy.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.File, err)
	}
	return p, nil
}

// inForce is the policy that the configuration names.
func inForce(conf config.Config) (*policy.Policy, error) {
	return policyFile{conf.Policy}.load(strings.NewReader(""))
}

// evidenceAddress is where evidence is kept.
func evidenceAddress(conf config.Config) string {
	if conf.Evidence != "" {
		return conf.Evidence
	}
	return filepath.Join(conf.State, evidenceFile)
}

// store opens the evidence that the configuration names.
func store(ctx context.Context, conf config.Config) (*evidence.Store, error) {
	if conf.Evidence == "" {
		if err := os.MkdirAll(conf.State, 0o755); err != nil {
			return nil, fmt.Errorf("state folder: %w", err)
		}
	}
	return evidence.Open(ctx, evidenceAddress(conf))
}

func (f policyFile) name() string {
	if f.File == "" {
		return "default policy"
	}
	return f.File
}

type policyCheckCmd struct {
	policyFile `embed:""`
}

func (c *policyCheckCmd) Run(t terminal) error {
	p, err := c.load(t.in)
	if err != nil {
		return err
	}
	if p.Examples() == 0 {
		fmt.Fprintf(t.err, "%s: it has no examples: nothing shows that it decides as it is meant to\n", c.name())
	}
	_, err = fmt.Fprintf(t.out, "%s: ok: version %s, %d clauses, %d examples decided as they say, SHA-256 %s\n",
		c.name(), p.Version, len(p.Clauses), p.Examples(), p.Digest)
	return err
}

type policyShowCmd struct {
	policyFile `embed:""`
	JSON       bool   `name:"json" help:"Print JSON, in both languages."`
	YAML       bool   `name:"yaml" help:"Print the document itself, to start an own one from."`
	Lang       string `help:"en or ja. Default: by the locale." enum:"en,ja," default:""`
}

func (c *policyShowCmd) Run(t terminal) error {
	p, err := c.load(t.in)
	switch {
	case err != nil:
		return err
	case c.YAML:
		_, err = t.out.Write(p.Document)
		return err
	case c.JSON:
		return encodePolicy(t.out, p)
	}
	_, err = io.WriteString(t.out, describe(p, language(c.Lang)))
	return err
}

// encodePolicy writes a policy for machines: its digest in hexadecimal digits, ages in seconds.
func encodePolicy(w io.Writer, p *policy.Policy) error {
	ages := make(map[string]int64)
	for name, d := range p.Ages {
		ages[name] = int64(d.Seconds())
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(struct {
		*policy.Policy
		Digest string           `json:"digest"`
		Ages   map[string]int64 `json:"ages"`
	}{p, p.Digest.String(), ages})
}

// describe is a policy for people.
func describe(p *policy.Policy, lang string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n(%s, SHA-256 %s)\n", p.Title.In(lang), p.Version, p.Digest)
	for i := range p.Clauses {
		c := &p.Clauses[i]
		fmt.Fprintf(&b, "\n%d. %s → %s\n   %s\n   %s\n   %s\n", i+1, c.ID, c.Then, c.Title.In(lang), c.Reason.In(lang), c.When)
		if c.People > 1 {
			fmt.Fprintf(&b, "   "+say(lang, "an appeal is decided by %d people who agree", "異議は %d 人の一致で決まる")+"\n", c.People)
		}
	}
	if p.Appeals.Standing {
		b.WriteString("\n" + say(lang, "On appeal, an accusation counts only while its source makes it.", "異議があれば、情報源が今も述べている証拠だけを数える。") + "\n")
	}
	return b.String()
}

// say is a text in one of the two languages.
func say(lang, en, ja string) string {
	if lang == "ja" {
		return ja
	}
	return en
}

// language is the language to show texts in: as chosen, or by the locale (POSIX:
// LC_ALL before LC_MESSAGES before LANG).
func language(chosen string) string {
	if chosen != "" {
		return chosen
	}
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := os.Getenv(name); v != "" {
			if strings.HasPrefix(v, "ja") {
				return "ja"
			}
			return "en"
		}
	}
	return "en"
}
