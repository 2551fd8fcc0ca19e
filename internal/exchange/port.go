package exchange

import (
	"crypto/rand"
	"encoding/binary"
)

// randomPort draws a source port from minPort to 65535, each as likely.
func randomPort() uint16 {
	const span = 1<<16 - minPort
	var b [4]byte
	rand.Read(b[:])
	// 32 bits over a span of 64,512: the bias is below 2^-16.
	return uint16(minPort + uint64(binary.LittleEndian.Uint32(b[:]))*span>>32)
}
