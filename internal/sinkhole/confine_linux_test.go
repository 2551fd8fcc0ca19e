package sinkhole

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What an intruder would try. Each is tried by a process of its own, because most end it.
var intrusions = map[string]func(dir string) error{
	"execute":              func(string) error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
	"start a program":      func(string) error { return exec.Command("/bin/true").Run() },
	"connect":              func(string) error { return dialed("tcp", "127.0.0.1:9") },
	"send a datagram":      func(string) error { return dialed("udp", "127.0.0.1:9") },
	"listen":               func(string) error { _, err := net.Listen("tcp", "127.0.0.1:0"); return err },
	"read another file":    func(string) error { _, err := os.ReadFile("/etc/hostname"); return err },
	"list another folder":  func(string) error { _, err := os.ReadDir("/etc"); return err },
	"write another file":   func(dir string) error { return os.WriteFile(dir+".outside", nil, 0o600) },
	"become somebody else": func(string) error { return syscall.Setuid(12345) },
	"trace":                func(string) error { return syscall.PtraceAttach(1) },
	"make a link":          func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "link")) },
}

func dialed(network, to string) error {
	c, err := net.Dial(network, to)
	if err == nil {
		_, err = c.Write([]byte("x"))
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil // the packet went out
	}
	return err
}

const (
	intrusionVariable = "SHOJI_SINKHOLE_INTRUSION"
	folderVariable    = "SHOJI_SINKHOLE_FOLDER"
	prevented         = "prevented"
	happened          = "happened"
)

// TestIntruder is the process that TestConfine starts.
func TestIntruder(t *testing.T) {
	what, dir := os.Getenv(intrusionVariable), os.Getenv(folderVariable)
	if what == "" {
		t.Skip("started by TestConfine")
	}
	j, err := openJournal(Config{Dir: dir, Disk: DefaultDisk, Retain: DefaultRetain})
	if err != nil {
		t.Fatal(err)
	}
	holds, err := Confine(dir)
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString(strings.Join(holds, "; ") + "\n")
	if what == "write captures" {
		j.add(sample("x", 1).append2)
		if err := errors.Join(j.check(), j.write(j.pending, someTime)); err != nil {
			t.Fatal(err)
		}
		j.finish()
		os.Stdout.WriteString(happened + "\n")
		return
	}
	if err := intrusions[what](dir); err != nil {
		os.Stdout.WriteString(prevented + ": " + err.Error() + "\n")
		return
	}
	os.Stdout.WriteString(happened + "\n")
}

// An intruder who runs code in the sinkhole's process can write captures, and nothing else.
func TestConfine(t *testing.T) {
	attempt := func(what string) (out string, killed bool) {
		dir := t.TempDir()
		c := exec.Command(os.Args[0], "-test.run=^TestIntruder$")
		c.Env = append(os.Environ(), intrusionVariable+"="+what, folderVariable+"="+dir)
		b, err := c.CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			status, ok := exit.Sys().(syscall.WaitStatus)
			killed = ok && status.Signaled() && status.Signal() == syscall.SIGSYS
		}
		return string(b), killed
	}
	out, _ := attempt("write captures")
	if strings.Contains(out, "seccomp is not supported") {
		t.Skip(out)
	}
	if !strings.Contains(out, happened) {
		t.Fatalf("captures cannot be written in confinement: %s", out)
	}
	landlocked := !strings.Contains(out, "no Landlock")
	for what := range intrusions {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(what, "another") && !landlocked {
				t.Skip("this kernel has no Landlock")
			}
			if out, killed := attempt(what); !killed && !strings.Contains(out, prevented) {
				t.Errorf("not prevented: %s", out)
			}
		})
	}
}
