package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/forger"
)

// reason is the text of a filtered answer's error.
func reason(t *testing.T, server, question string) string {
	t.Helper()
	r := ask(t, server, question)
	if len(r.Errors) != 1 || !strings.Contains(strings.Join(r.Answer, ""), "127.83.72.1") {
		t.Fatalf("%s is not filtered: %+v", question, r)
	}
	return r.Errors[0].Text
}

// TestNodeFollowsTwoLogs: what either log lists is filtered, and the answer says by whose entry. One
// of them forks: it stops, loudly, and keeps its last good list, while the other goes on. And it is
// the same after a new start, with the first log out of reach.
func TestNodeFollowsTwoLogs(t *testing.T) {
	t.Parallel()
	one := logOf(1, "one.example", "c2.evil.test", "www.shop.test")
	two := logOf(2, "two.example", "www.bank.test", "www.shop.test")
	url1, shown := shownLog(t, one)
	url2, _ := shownLog(t, two)
	node := startBare(t, "metrics: {listen: ['127.0.0.1:0']}\n"+followLogs(logAt{url1, one.VKey}, logAt{url2, two.VKey}))
	at := node.filtered[0]
	awaits(t, at, "c2.evil.test", "127.83.72.1")
	for question, want := range map[string]string{
		"c2.evil.test": "log entry 0 of one.example", "www.shop.test": "log entry 1 of one.example", "www.bank.test": "log entry 0 of two.example",
	} {
		if got := reason(t, at, question); got != want { // of both from the first answer on
			t.Errorf("%s: %q, want %q", question, got, want)
		}
	}
	out, status := shoji(t, "", "query", "www.bank.test", "--server", at, "--structured")
	if status != exitOK || !strings.Contains(out, "two.example") {
		t.Errorf("the structured error: %s", out)
	}

	one.Add(forger.Delisting("www.shop.test")) // which is the first's alone
	one.Epoch()
	got := ""
	for range 20_000 {
		if got = reason(t, at, "www.shop.test"); got == "log entry 1 of two.example" {
			break
		}
	}
	if got != "log entry 1 of two.example" {
		t.Fatalf("after one log's delisting: %s", got)
	}

	fork := one.Twin(3)
	fork.Add(forger.Delisting("c2.evil.test"))
	fork.Epoch()
	shown.Store(fork)
	r, text := awaitsStatus(t, node.unfiltered[0], `"log1=forked"`)
	if len(r.Errors) != 1 || !strings.Contains(r.Errors[0].Text, "log1, one.example") || !strings.Contains(r.Errors[0].Text, "forked") ||
		!strings.Contains(text, `"logs=2"`) || !strings.Contains(text, `"log1=forked"`) || !strings.Contains(text, `"log2=current"`) {
		t.Fatalf("nobody is told of the fork: %+v", r)
	}
	if metric(t, node, `shoji_follow_alarm{log="one.example"}`) != 1 || metric(t, node, `shoji_follow_alarm{log="two.example"}`) != 0 || metric(t, node, "shoji_list_listings") != 3 {
		t.Error("the metrics do not say which log is not right, or how much is listed")
	}
	two.Add(forger.Listing("www.example.com"))
	two.Epoch()
	awaits(t, at, "www.example.com", "127.83.72.1") // the other one goes on
	if got := reason(t, at, "c2.evil.test"); got != "log entry 0 of one.example" {
		t.Errorf("the last good list of the log that forked: %q", got)
	}
	out, status = shoji(t, "", "list", "status", "--config", node.conf)
	if status != exitOK || !strings.Contains(out, "one.example") || !strings.Contains(out, "two.example") || strings.Count(out, "forks     1") != 1 {
		t.Errorf("list status: %d: %s", status, out)
	}
	if out, status := shoji(t, "", "log", "key", "--config", node.conf); status != exitOK || out != one.VKey+"\n"+two.VKey+"\n" {
		t.Errorf("log key: %d: %s", status, out)
	}
	for _, args := range [][]string{{"list", "export", "--rpz"}, {"desk"}} {
		var out strings.Builder
		if status := run(t.Context(), append(args, "--config", node.conf), terminal{strings.NewReader(""), &out, &out}); status != exitUsage || !strings.Contains(out.String(), "several logs") {
			t.Errorf("%v: status %d: %s", args, status, out.String())
		}
	}

	state := copyOf(t, node)
	one.SetDown(true)
	shown.Store(one)
	again := startBare(t, followLogs(logAt{url1, one.VKey}, logAt{url2, two.VKey}), "--state", state)
	for question, want := range map[string]string{"c2.evil.test": "log entry 0 of one.example", "www.bank.test": "log entry 0 of two.example"} {
		if got := reason(t, again.filtered[0], question); got != want {
			t.Errorf("after a new start: %s: %q, want %q", question, got, want)
		}
	}
}

// TestNodeWithOneLogOutOfReach: of two logs, one was never read. The node waits until it was looked
// for, then answers by the other, says that one is missing, and takes it in when it comes.
func TestNodeWithOneLogOutOfReach(t *testing.T) {
	one, two := logOf(1, "one.example", "c2.evil.test"), logOf(2, "two.example", "www.bank.test")
	one.SetDown(true)
	url1, _ := shownLog(t, one)
	url2, _ := shownLog(t, two)
	node := startNode(t, logAt{url1, one.VKey}, logAt{url2, two.VKey})
	awaits(t, node.filtered[0], "www.bank.test", "127.83.72.1")
	awaits(t, node.filtered[0], "c2.evil.test", "192.0.2.66")
	if _, text := statusOf(t, node.filtered[0]); !strings.Contains(text, `"log1=unreachable"`) {
		t.Errorf("the status: %s", text)
	}
	one.SetDown(false)
	awaits(t, node.filtered[0], "c2.evil.test", "127.83.72.1")
	if got := reason(t, node.filtered[0], "c2.evil.test"); got != "log entry 0 of one.example" {
		t.Error(got)
	}
}

// What goes by the entries of one log is refused beside several, and so are logs that answers could not tell apart.
func TestWhatDoesNotGoWithSeveralLogs(t *testing.T) {
	two := fmt.Sprintf("follow: [{log: a, key: %q}, {log: b, key: %q}]\n", forger.Named(1, "one.example").VKey, forger.Named(2, "two.example").VKey)
	many := "follow:\n"
	for i := range config.MaxFollow + 1 {
		many += fmt.Sprintf("  - {log: a, key: %q}\n", forger.Named(byte(i), fmt.Sprintf("log%d.example", i)).VKey)
	}
	long := forger.Named(2, strings.Repeat("x", 200)).VKey
	for text, want := range map[string]string{
		two + "transfer: {listen: ['127.0.0.1:0']}":        "transfer.listen: several logs",
		two + "desk: {listen: ['127.0.0.1:0']}":            "desk.listen: several logs",
		two + "information: {database: x}":                 "information.database: several logs",
		two + "information: {log: 'https://log.example/'}": "information.log: several logs",
		many: fmt.Sprintf("at most %d can be followed", config.MaxFollow),
		fmt.Sprintf("follow: [{log: a, key: %q}, {log: b, key: %q}]", forger.New(1).VKey, forger.New(1).VKey): "follow[0] has the same key",
		fmt.Sprintf("follow: [{log: a, key: %q}, {log: b, key: %q}]", forger.New(1).VKey, long):               "longer than 128 octets",
		fmt.Sprintf("follow: [{log: a, key: %q}, {log: b, key: x}]", forger.New(1).VKey):                      "follow[1].key",
	} {
		if out := checked(t, text); !strings.Contains(out, want) {
			t.Errorf("%s: %s", text, out)
		}
	}
}

// TestLogsOfOneName: where logs have one name, such as the one that a log has by default, answers and
// metrics tell them apart by their keys' hashes.
func TestLogsOfOneName(t *testing.T) {
	one, two := logOf(1, "shoji-log", "c2.evil.test"), logOf(2, "shoji-log", "www.bank.test")
	url1, _ := shownLog(t, one)
	url2, _ := shownLog(t, two)
	node := startBare(t, "metrics: {listen: ['127.0.0.1:0']}\n"+followLogs(logAt{url1, one.VKey}, logAt{url2, two.VKey}))
	awaits(t, node.filtered[0], "c2.evil.test", "127.83.72.1")
	for question, l := range map[string]*forger.Log{"c2.evil.test": one, "www.bank.test": two} {
		name := strings.Join(strings.Split(l.VKey, "+")[:2], "+")
		if got := reason(t, node.filtered[0], question); got != "log entry 0 of "+name {
			t.Errorf("%s: %s, want %s", question, got, name)
		}
		if metric(t, node, fmt.Sprintf(`shoji_follow_listings{log="%s"}`, name)) != 1 {
			t.Errorf("the metrics of %s", name)
		}
	}
	if out, status := shoji(t, "", "query", "www.bank.test", "--server", node.filtered[0], "--prove", "--log", url2, "--key", two.VKey, "--json"); status != exitOK {
		t.Errorf("the proof by the log that is named: status %d: %s", status, out)
	}
	var out strings.Builder
	if status := run(t.Context(), []string{"query", "c2.evil.test", "--server", node.filtered[0], "--prove", "--log", url2, "--key", two.VKey}, terminal{strings.NewReader(""), &out, &out}); status == exitOK {
		t.Errorf("the other log proves it: %s", out.String())
	}
}

// TestSetupFollowsTwoLogs: somebody names two logs, and has a configuration that follows both.
func TestSetupFollowsTwoLogs(t *testing.T) {
	one, two := logOf(1, "one.example", "c2.evil.test"), logOf(2, "two.example", "www.bank.test")
	url1, _ := shownLog(t, one)
	url2, _ := shownLog(t, two)
	file := filepath.Join(t.TempDir(), "shoji.yaml")
	out, status := shoji(t, "", "setup", "--lang", "en", "--file", file, "--view", "filtered", "--through", "-", "--follow", url1+","+url2, "--key", one.VKey+","+two.VKey)
	if status != exitOK || !strings.Contains(out, "one.example") || !strings.Contains(out, "two.example") {
		t.Fatalf("status %d\n%s", status, out)
	}
	conf, err := config.Load(file)
	if err != nil || len(conf.Follow) != 2 || conf.Follow[1].Log != url2 || conf.Follow[1].Key != two.VKey || conf.Follow[0].Key != one.VKey {
		t.Errorf("%+v, %v", conf.Follow, err)
	}
	for _, args := range [][]string{{"--key", one.VKey}, {"--key", two.VKey + "," + one.VKey}} {
		if out, status := shoji(t, "", append([]string{"setup", "--force", "--file", file, "--view", "filtered", "--through", "-", "--follow", url1 + "," + url2}, args...)...); status == exitOK {
			t.Errorf("%v: %s", args, out)
		}
	}
}
