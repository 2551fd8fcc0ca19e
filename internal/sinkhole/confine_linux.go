package sinkhole

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// Confine takes from the process, and for good, what answering and writing to dir does
// not need. It is called when sockets are open and before anybody is answered, and
// returns in words what holds. An error is a step that failed: what came before it holds.
func Confine(dir string) (holds []string, err error) {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		holds = append(holds, "no Landlock (the kernel has none)")
	} else {
		if err := landlock.V8.BestEffort().Restrict(landlock.RWDirs(dir)); err != nil {
			return holds, fmt.Errorf("sinkhole: confinement: Landlock: %w", err)
		}
		holds = append(holds, fmt.Sprintf("Landlock ABI %d: files in the folder of captures alone", abi))
	}
	if err := dropCapabilities(); err != nil {
		return holds, fmt.Errorf("sinkhole: confinement: capabilities: %w", err)
	}
	holds = append(holds, "no capabilities")
	if err := filterCalls(); err != nil {
		return holds, fmt.Errorf("sinkhole: confinement: seccomp: %w", err)
	}
	return append(holds, "no new privileges", fmt.Sprintf("seccomp: %d system calls", len(needed))), nil
}

// dropCapabilities leaves no thread a capability, nor one to gain.
func dropCapabilities() error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		// EINVAL: the kernel does not know it. EPERM: without CAP_SETPCAP, and then nothing
		// but execve could gain one, which no_new_privs and seccomp forbid.
		psx.Syscall3(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0)
	}
	psx.Syscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, 0)
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	var pinned runtime.Pinner // the kernel is told addresses once a thread
	defer pinned.Unpin()
	pinned.Pin(&head)
	pinned.Pin(&none)
	_, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&none)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// needed are the system calls of the Go runtime and the C library's threads, of
// answering on sockets that are open, and of writing files.
var needed = []string{
	// sockets
	"accept4", "getsockname", "getpeername", "getsockopt", "setsockopt", "shutdown", "recvfrom", "recvmsg",
	"epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "pipe2",
	// files
	"openat", "close", "read", "write", "pread64", "pwrite64", "writev", "lseek", "fstat", "newfstatat", "statx", "fsync", "fdatasync",
	"ftruncate", "unlinkat", "mkdirat", "getdents64", "fcntl", "faccessat", "faccessat2",
	// memory, threads, time, signals
	"mmap", "munmap", "mprotect", "madvise", "mremap", "brk", "futex", "clone", "clone3", "set_robust_list", "rseq",
	"set_tid_address", "sched_yield", "sched_getaffinity", "nanosleep", "clock_nanosleep", "clock_gettime", "gettimeofday",
	"getrandom", "getpid", "gettid", "getuid", "tgkill", "kill", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
	"sigaltstack", "restart_syscall", "prlimit64", "timer_create", "timer_settime", "timer_delete", "exit", "exit_group", "membarrier",
}

// fatal are calls that only an intruder makes: the process ends.
var fatal = []string{
	"execve", "execveat", "connect", "socket", "socketpair", "bind", "listen", "sendto", "sendmsg", "sendmmsg", "ptrace",
	"process_vm_readv", "process_vm_writev", "pidfd_getfd", "bpf", "io_uring_setup", "userfaultfd", "keyctl", "add_key",
	"mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "init_module", "finit_module", "kexec_load",
	"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups",
}

// filterCalls lets every thread make the calls in needed; others fail (EPERM) or are fatal.
func filterCalls() error {
	calls := needed
	if runtime.GOARCH == "amd64" { // others have only the newer forms
		calls = append([]string{"epoll_wait", "open", "stat", "unlink", "arch_prctl"}, needed...)
	}
	runtime.LockOSThread() // no_new_privs is the thread's, and TSYNC gives it to the others
	defer runtime.UnlockOSThread()
	return seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionErrno,
			Syscalls: []seccomp.SyscallGroup{
				{Action: seccomp.ActionKillProcess, Names: fatal},
				{Action: seccomp.ActionAllow, Names: calls},
			},
		},
	})
}

// destination is the address and port that a connection was made to, before a redirect
// by the packet filter (SO_ORIGINAL_DST, which connection tracking answers).
func destination(c *net.TCPConn) netip.AddrPort {
	local := c.LocalAddr().(*net.TCPAddr).AddrPort()
	raw, err := c.SyscallConn()
	if err != nil {
		return local
	}
	raw.Control(func(fd uintptr) {
		if local.Addr().Unmap().Is4() {
			// An option of 16 octets: a struct sockaddr_in, whose port and address are in network order.
			if m, err := unix.GetsockoptIPv6Mreq(int(fd), unix.SOL_IP, unix.SO_ORIGINAL_DST); err == nil {
				b := m.Multiaddr
				local = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[2])<<8|uint16(b[3]))
			}
			return
		}
		// A struct sockaddr_in6, which is how the option of 32 octets begins.
		if m, err := unix.GetsockoptIPv6MTUInfo(int(fd), unix.SOL_IPV6, unix.SO_ORIGINAL_DST); err == nil {
			port := binary.NativeEndian.AppendUint16(nil, m.Addr.Port) // which is in network order
			local = netip.AddrPortFrom(netip.AddrFrom16(m.Addr.Addr), binary.BigEndian.Uint16(port))
		}
	})
	return local
}

// connectionLimit is how many connections may be open: descriptors bound it too.
func connectionLimit() int {
	const others = 128 // sockets, segments, the runtime's
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil || r.Cur > MaxConnections+others {
		return MaxConnections
	}
	return max(int(r.Cur)-others, 16)
}
