package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/follow"
	"github.com/shoji-dns/shoji/internal/forger"
	"github.com/shoji-dns/shoji/internal/forks"
	"github.com/shoji-dns/shoji/internal/sequence"
)

// shownLog is a log on a web server, which can be exchanged for another.
func shownLog(t *testing.T, l *forger.Log) (url string, shown *atomic.Pointer[forger.Log]) {
	t.Helper()
	shown = new(atomic.Pointer[forger.Log])
	shown.Store(l)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { shown.Load().ServeHTTP(w, r) }))
	t.Cleanup(web.Close)
	return web.URL, shown
}

// logOf is a log that lists names.
func logOf(seed byte, origin string, names ...string) *forger.Log {
	l := forger.Named(seed, origin)
	for _, name := range names {
		l.Add(forger.Listing(name))
	}
	l.EpochWithMap()
	return l
}

// logAt is a log that a node follows.
type logAt struct{ log, key string }

// followLogs is a configuration that follows logs.
func followLogs(logs ...logAt) string {
	text := "reporting: {level: error}\nfollow:\n"
	for _, l := range logs {
		text += fmt.Sprintf("  - {log: %q, key: %q, every: 1s}\n", l.log, l.key)
	}
	return text
}

// startNode runs a resolver over the lab that follows logs.
func startNode(t *testing.T, logs ...logAt) *lab {
	t.Helper()
	return startBare(t, followLogs(logs...))
}

// copyOf is a copy of what a node has in its state folder.
func copyOf(t *testing.T, node *lab) (state string) {
	t.Helper()
	state = t.TempDir()
	if err := os.CopyFS(state, os.DirFS(node.state)); err != nil {
		t.Fatal(err)
	}
	return state
}

// statusOf is what a resolver says of itself.
func statusOf(t *testing.T, server string) (r reply, text string) {
	t.Helper()
	r = ask(t, server, "status.shoji TXT", "--class", "CH")
	return r, strings.Join(r.Answer, "")
}

// awaitsStatus asks until a resolver says this of itself; what it said last is for the caller to judge.
func awaitsStatus(t *testing.T, server, want string) (r reply, text string) {
	t.Helper()
	for range 20_000 {
		if r, text = statusOf(t, server); strings.Contains(text, want) {
			break
		}
	}
	return r, text
}

// awaits asks until an answer is what it should be.
func awaits(t *testing.T, server, question, want string, flags ...string) reply {
	t.Helper()
	var r reply
	for range 20_000 { // a node looks once a second; each question takes a while
		r = ask(t, server, question, flags...)
		if strings.Contains(strings.Join(r.Answer, " "), want) || strings.Contains(r.RCode, want) {
			return r
		}
	}
	t.Fatalf("%s: never %s: %+v", question, want, r)
	return r
}

// TestNodeFollowsOperator runs an operator and a node that follows him: what he lists and
// delists, the node does; the node's own list cannot be changed; and it starts again without him.
func TestNodeFollowsOperator(t *testing.T) {
	operator := startLab(t)
	key, err := sequence.ReadVerifierKey(operator.state)
	if err != nil {
		t.Fatal(err)
	}
	node := startNode(t, logAt{operator.log, key})
	awaits(t, node.filtered[0], "c2.evil.test", "127.83.72.1")
	if r := ask(t, node.unfiltered[0], "c2.evil.test"); !strings.Contains(r.Answer[0], "192.0.2.66") {
		t.Errorf("unfiltered: %+v", r)
	}
	awaits(t, node.filtered[0], "www.shop.test", "192.0.2.10")
	if out, status := shoji(t, "www.shop.test\n", "list", "import", "-", "--source", "test", "--kind", "c2", "--state", operator.state); status != exitOK {
		t.Fatal(out)
	}
	r := awaits(t, node.filtered[0], "www.shop.test", "127.83.72.1")
	if s := ask(t, operator.filtered[0], "www.shop.test"); len(s.Errors) != 1 || len(r.Errors) != 1 || s.Errors[0] != r.Errors[0] {
		t.Errorf("the operator's reason is %+v, the node's %+v", s.Errors, r.Errors)
	}
	if out, status := shoji(t, "", "list", "remove", "www.shop.test", "--reason", "a test", "--state", operator.state); status != exitOK {
		t.Fatal(out)
	}
	awaits(t, node.filtered[0], "www.shop.test", "192.0.2.10")

	if s, text := statusOf(t, node.filtered[0]); len(s.Errors) != 0 || !strings.Contains(text, `"log=current"`) {
		t.Errorf("the node's status: %+v", s)
	}
	mine, status := shoji(t, "", "list", "status", "--config", node.conf)
	his, _ := shoji(t, "", "list", "status", "--state", operator.state)
	if digest := strings.Fields(his)[len(strings.Fields(his))-1]; status != exitOK || !strings.Contains(mine, digest) {
		t.Errorf("the node has\n%s\nthe operator\n%s", mine, his)
	}
	if out, status := shoji(t, "x.example\n", "list", "import", "-", "--source", "test", "--kind", "c2", "--config", node.conf); status != exitFailure {
		t.Errorf("a list that is followed was changed: %s", out)
	}
	if out, status := shoji(t, "", "list", "export", "--rpz", "--config", node.conf); status != exitOK || !strings.Contains(out, "c2.evil.test") {
		t.Errorf("export: status %d: %s", status, out)
	}
	if out, status := shoji(t, "", "log", "key", "--config", node.conf); status != exitOK || strings.TrimSpace(out) != key {
		t.Errorf("log key: status %d: %s", status, out)
	}
}

// TestNodeIsShownAFork has a node follow a log that is exchanged for another by the same key,
// and then comes back.
func TestNodeIsShownAFork(t *testing.T) {
	l := logOf(1, forger.Origin, "c2.evil.test")
	url, shown := shownLog(t, l)
	node := startNode(t, logAt{url, l.VKey})
	awaits(t, node.filtered[0], "c2.evil.test", "127.83.72.1")

	fork := l.Twin(1)
	fork.Add(forger.Delisting("c2.evil.test"))
	fork.Epoch()
	shown.Store(fork)
	r, text := awaitsStatus(t, node.unfiltered[0], `"log=forked"`)
	if len(r.Errors) != 1 || r.Errors[0].Code != 0 || !strings.Contains(r.Errors[0].Text, "forked") || !strings.Contains(text, `"log=forked"`) {
		t.Fatalf("nobody is told of the fork: %+v", r)
	}
	if r := ask(t, node.filtered[0], "c2.evil.test"); !strings.Contains(strings.Join(r.Answer, ""), "127.83.72.1") {
		t.Errorf("the last good list did not stay: %+v", r)
	}
	kept, err := forks.Kept(follow.ForkFolder(node.state, l.VKey))
	if err != nil || len(kept) != 1 || forks.Check(kept[0], l.Key) != nil {
		t.Errorf("the proof: %v, %v", kept, err)
	}
	if out, status := shoji(t, "", "list", "status", "--config", node.conf); status != exitOK || !strings.Contains(out, "forks     1") {
		t.Errorf("list status: %d: %s", status, out)
	}
	l.Add(forger.Delisting("c2.evil.test"))
	l.Epoch()
	shown.Store(l)
	awaits(t, node.filtered[0], "c2.evil.test", "192.0.2.66")
	if r, text := statusOf(t, node.filtered[0]); len(r.Errors) != 1 || !strings.Contains(text, `"log=current" `) {
		t.Errorf("after a fork that is over: %+v", r)
	}
}

// TestNodeWithoutLog starts where the log cannot be reached: the unfiltered view answers, the
// filtered one says that it is not ready, until the log is there.
func TestNodeWithoutLog(t *testing.T) {
	l := logOf(1, forger.Origin, "c2.evil.test")
	l.SetDown(true)
	url, _ := shownLog(t, l)
	node := startNode(t, logAt{url, l.VKey})
	if !strings.Contains(node.banner, "list        none yet") {
		t.Errorf("the banner:\n%s", node.banner)
	}
	if r := ask(t, node.filtered[0], "www.shop.test"); r.RCode != "SERVFAIL" || len(r.Errors) != 1 || r.Errors[0].Code != 14 {
		t.Errorf("filtered: %+v", r)
	}
	if r := ask(t, node.unfiltered[0], "www.shop.test"); r.RCode != "NOERROR" {
		t.Errorf("unfiltered: %+v", r)
	}
	l.SetDown(false)
	awaits(t, node.filtered[0], "c2.evil.test", "127.83.72.1")
	awaits(t, node.filtered[0], "www.shop.test", "192.0.2.10")
}

// TestNodeFollowsFolder follows a log in a folder, whose list is built from it.
func TestNodeFollowsFolder(t *testing.T) {
	operator := startLab(t)
	key, err := sequence.ReadVerifierKey(operator.state)
	if err != nil {
		t.Fatal(err)
	}
	node := startNode(t, logAt{sequence.Folder(operator.state), key})
	awaits(t, node.filtered[0], "c2.evil.test", "127.83.72.1")
}

// TestNodeWantsWitnesses follows an operator's log as long as two of three witnesses cosign it.
func TestNodeWantsWitnesses(t *testing.T) {
	state, file, _, all := witnessed(t, "\n  uncosigned: publish\n  witness_timeout: 1s")
	key, err := sequence.ReadVerifierKey(state)
	if err != nil {
		t.Fatal(err)
	}
	list(t, "c2.evil.test\n", "import", "-", "--source", "test", "--kind", "c2", "--config", file)
	policy := all[0].line + all[1].line + all[2].line + "group most 2 a b c\nquorum most\n"
	node := startBare(t, fmt.Sprintf("reporting: {level: error}\nfollow: [{log: %q, key: %q, every: 1s, witnesses: %q}]\n", sequence.Folder(state), key, policy))
	awaits(t, node.filtered[0], "c2.evil.test", "127.83.72.1")
	for _, w := range all {
		w.away.Store(true)
	}
	if out, status := shoji(t, "www.shop.test\n", "list", "import", "-", "--source", "test", "--kind", "c2", "--config", file); status != exitOK {
		t.Fatal(out)
	}
	r, text := awaitsStatus(t, node.filtered[0], `"log=unwitnessed"`)
	if len(r.Errors) != 1 || !strings.Contains(r.Errors[0].Text, "unwitnessed") || !strings.Contains(text, `"log=unwitnessed"`) {
		t.Fatalf("nobody is told: %+v", r)
	}
	if r := ask(t, node.filtered[0], "www.shop.test"); !strings.Contains(strings.Join(r.Answer, ""), "192.0.2.10") {
		t.Errorf("what no witness saw is in force: %+v", r)
	}
	for _, w := range all {
		w.away.Store(false)
	}
	if out, status := shoji(t, "", "log", "publish", "--config", file); status != exitOK {
		t.Fatal(out)
	}
	awaits(t, node.filtered[0], "www.shop.test", "127.83.72.1")
}

// What cannot be followed is refused, with the key that is wrong.
func TestWhatCannotBeFollowed(t *testing.T) {
	key := forger.New(1).VKey
	for text, want := range map[string]string{
		"follow: [{log: 'https://log.example/'}]":                                               "follow[0].key",
		"follow: [{key: '" + key + "'}]":                                                        "follow[0].log",
		"follow: [{log: 'https://log.example/', key: x}]":                                       "no verifier key",
		"follow: [{log: 'ftp://log.example/', key: '" + key + "'}]":                             "no address of a log",
		"follow: [{log: a, key: '" + key + "', every: 10ms}]":                                   "between 1s and 24h",
		"follow: [{log: a, key: '" + key + "'}]\nlog: {listen: ['127.0.0.1:1']}":                "log.listen",
		"follow: [{log: a, key: '" + key + "'}]\nsources: [{id: a, location: /a, kinds: [c2]}]": "sources",
	} {
		if out := checked(t, text); !strings.Contains(out, want) {
			t.Errorf("%s: %s", text, out)
		}
	}
}

// checked is what config check says against a configuration.
func checked(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shoji.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if status := run(t.Context(), []string{"config", "check", path}, terminal{strings.NewReader(""), &out, &out}); status != exitFailure {
		t.Errorf("%s: status %d", text, status)
	}
	return out.String()
}

// TestNodeWithDamagedCheckpoint starts a node whose memory of the log is damaged, while the log
// cannot be reached: it answers by its last good list, and tells everybody who asks.
func TestNodeWithDamagedCheckpoint(t *testing.T) {
	l := logOf(1, forger.Origin, "c2.evil.test")
	url, _ := shownLog(t, l)
	node := startNode(t, logAt{url, l.VKey})
	awaits(t, node.filtered[0], "c2.evil.test", "127.83.72.1")
	l.SetDown(true)
	state := copyOf(t, node)
	if err := os.WriteFile(filepath.Join(follow.Folder(state, l.VKey), "checkpoint"), []byte("\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := startBare(t, followLogs(logAt{url, l.VKey}), "--state", state)
	if r := ask(t, again.filtered[0], "c2.evil.test"); !strings.Contains(strings.Join(r.Answer, ""), "127.83.72.1") {
		t.Errorf("%+v", r)
	}
	r, text := statusOf(t, again.filtered[0])
	if len(r.Errors) != 1 || !strings.Contains(r.Errors[0].Text, "damaged on this machine") || !strings.Contains(text, `"damaged=1"`) {
		t.Errorf("nobody is told: %+v", r)
	}
	out, status := shoji(t, "", "list", "status", "--config", again.conf, "--state", state)
	if status != exitOK || !strings.Contains(out, "remove that once the cause is mended") {
		t.Errorf("list status: %d: %s", status, out)
	}
	l.SetDown(false)
	l.Add(forger.Listing("www.shop.test"))
	l.Epoch()
	awaits(t, again.filtered[0], "www.shop.test", "127.83.72.1")
}

// What a node remembers of a log is found however the log's key is written.
func TestNodeKnowsItsLog(t *testing.T) {
	key := forger.New(1).VKey
	name, rest, _ := strings.Cut(key, "+")
	hash, public, _ := strings.Cut(rest, "+")
	for _, text := range []string{key, " " + key + "\n", name + "+" + strings.ToUpper(hash) + "+" + public} {
		if got := following(config.Config{Follow: []config.Follow{{Key: text}}}).Key; got != key {
			t.Errorf("%q is followed by %q", text, got)
		}
	}
}
