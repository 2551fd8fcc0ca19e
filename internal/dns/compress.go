package dns

import "encoding/binary"

// pointerMark is the two high bits of a compression pointer (RFC 1035 §4.1.4).
const pointerMark = 0xC000

// appendRR is Builder.RR for an owner's name in either form.
func appendRR[N ~string | ~[]byte](b *Builder, s Section, name N, t Type, c Class, ttl uint32, data []byte) bool {
	n, ok := nameLen(name)
	if !ok || n != len(name) || s < b.section || s < SectionAnswer || s > SectionAdditional || b.opt != 0 {
		return false
	}
	room := b.limit - b.reserve - len(b.buf) - rrFixedLen
	if len(data) > room && (len(data) > maxMessage || !compressible(layout(t))) {
		return false
	}
	length, suffixes := len(b.buf), b.suffixes
	appendName(b, name, true)
	b.buf = append(b.buf, byte(t>>8), byte(t), byte(c>>8), byte(c),
		byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl), 0, 0)
	start := len(b.buf)
	b.appendData(t, data)
	binary.BigEndian.PutUint16(b.buf[start-2:], uint16(len(b.buf)-start))
	return b.commit(length, suffixes, b.limit-b.reserve, s)
}

// appendData appends RDATA with those names compressed that may be (RFC 3597 §4).
func (b *Builder) appendData(t Type, data []byte) {
	fields := layout(t)
	if !compressible(fields) || !checkData(t, data) {
		b.buf = append(b.buf, data...)
		return
	}
	for i := 0; i < len(fields); i++ {
		if fields[i] == 'c' {
			n, _ := nameLen(data)
			appendName(b, data[:n], false)
			data = data[n:]
			continue
		}
		n, _ := fieldLen(fields[i], data)
		b.buf = append(b.buf, data[:n]...)
		data = data[n:]
	}
}

// compressible reports whether a layout has a name that may be compressed.
func compressible(fields string) bool {
	for i := 0; i < len(fields); i++ {
		if fields[i] == 'c' {
			return true
		}
	}
	return false
}

// appendName appends a well-formed name to the message: its longest suffix that the
// message holds already becomes a pointer, its other labels are remembered.
//
// An owner's name matches without regard to case (fold); a name in RDATA matches only
// as it is spelled, so that data keep their case (RFC 1035 §2.3.3).
//
// The work is bounded whatever a stranger puts into a zone: each label is compared
// with at most maxSuffixes others, by key first, and all labels together are MaxName
// octets at most.
func appendName[N ~string | ~[]byte](b *Builder, name N, fold bool) {
	if len(name) == 1 {
		b.buf = append(b.buf, 0)
		return
	}
	if len(name) == b.asked {
		asked := b.buf[b.start+headerLen:]
		if sameOctets(name, asked[:b.asked], fold) {
			b.buf = binary.BigEndian.AppendUint16(b.buf, pointerMark|headerLen)
			return
		}
	}
	if isAt(b, b.last, name, fold) {
		b.buf = binary.BigEndian.AppendUint16(b.buf, pointerMark|b.offsets[b.last-1])
		return
	}
	var labels [maxLabels]uint8
	left := labelOffsets(name, &labels)
	cut := len(name) - 1 // where the suffix found begins
	found := 0           // its index + 1; 0 is the root
	for left > 0 {
		at := int(labels[left-1])
		i := findLabel(b, found, name[at:cut], fold)
		if i < 0 {
			break
		}
		found, cut = i+1, at
		left--
	}
	b.last = remember(b, name[:cut], labels[:left], found)
	b.buf = append(b.buf, name[:cut]...)
	if found == 0 {
		b.buf = append(b.buf, 0)
		return
	}
	b.buf = binary.BigEndian.AppendUint16(b.buf, pointerMark|b.offsets[found-1])
}

// labelKey tells labels apart before their octets are compared: by the suffix below
// which they are, their length and their first octet.
func labelKey[N ~string | ~[]byte](parent int, label N) uint32 {
	return uint32(parent)<<16 | uint32(label[0])<<8 | uint32(lowerOctet(label[1]))
}

// sameOctets compares octets, ASCII letters without case where fold says so.
func sameOctets[N ~string | ~[]byte](a N, b []byte, fold bool) bool {
	return fold && equalFold(a, b) || string(a) == string(b)
}

// findLabel is the index of a label, given with its length octet, below a parent; -1
// if the message has none yet.
func findLabel[N ~string | ~[]byte](b *Builder, parent int, label N, fold bool) int {
	key := labelKey(parent, label)
	for i, k := range b.keys[:b.suffixes] {
		if k != key {
			continue
		}
		if at := b.start + int(b.offsets[i]); sameOctets(label, b.buf[at:at+len(label)], fold) {
			return i
		}
	}
	return -1
}

// remember notes the labels that are about to be appended, from the last to the first.
// Where the table is full, or a pointer does not reach, the labels before go unnoted
// too: they would lack their parent. The result is the whole name's index + 1, 0 if
// it was not noted.
func remember[N ~string | ~[]byte](b *Builder, name N, labels []uint8, parent int) int {
	base := len(b.buf) - b.start
	for i := len(labels) - 1; i >= 0; i-- {
		at := int(labels[i])
		if b.suffixes == maxSuffixes || base+at > maxPointer {
			return 0
		}
		b.keys[b.suffixes] = labelKey(parent, name[at:])
		b.offsets[b.suffixes] = uint16(base + at)
		b.suffixes++
		parent = b.suffixes
	}
	return parent
}

// isAt reports whether the suffix whose index + 1 is node is that name: the records of
// a set have one owner, and a chain goes on where the last target was.
func isAt[N ~string | ~[]byte](b *Builder, node int, name N, fold bool) bool {
	if node == 0 {
		return false
	}
	at := 0
	for node > 0 {
		label := name[at : at+1+int(name[at])]
		in := b.start + int(b.offsets[node-1])
		if b.buf[in] != label[0] || !sameOctets(label, b.buf[in:in+len(label)], fold) {
			return false
		}
		at += len(label)
		node = int(b.keys[node-1] >> 16)
	}
	return name[at] == 0
}
