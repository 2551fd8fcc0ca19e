package main

import "syscall"

// bindAddressNoPort is IP_BIND_ADDRESS_NO_PORT of ip(7): the port is chosen when the connection is made, so that
// one port serves many addresses.
const bindAddressNoPort = 24

func portLater(fd int) error {
	return syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, bindAddressNoPort, 1)
}
