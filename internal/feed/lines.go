package feed

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// headSize is how much of a file its format is detected from.
const headSize = 64 << 10

// lines reads a file line by line in a buffer of MaxLine octets.
type lines struct {
	r    *bufio.Reader
	line int
}

func newLines(r io.Reader) *lines {
	return &lines{r: bufio.NewReaderSize(r, max(MaxLine, headSize))}
}

// head is the file's start. It stays in the buffer.
func (l *lines) head() ([]byte, error) {
	b, err := l.r.Peek(headSize)
	if err == io.EOF {
		err = nil
	}
	return b, err
}

var bom = []byte("\xef\xbb\xbf")

func trimBOM(b []byte) []byte { return bytes.TrimPrefix(b, bom) }

// next returns the next line without its end, valid until the next call. A
// line that is longer than MaxLine is cut there, its rest is passed over, and
// long is set. The error is io.EOF after the last line.
func (l *lines) next() (line []byte, long bool, err error) {
	line, err = l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		kept := bytes.Clone(line[:4*MaxText])
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.r.ReadSlice('\n')
		}
		line, long = kept, true
	}
	if err == io.EOF && len(line) > 0 {
		err = nil
	}
	if err != nil {
		return nil, false, err
	}
	l.line++
	if l.line == 1 {
		line = trimBOM(line)
	}
	return bytes.TrimRight(line, "\r\n"), long, nil
}
