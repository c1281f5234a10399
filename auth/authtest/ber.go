package authtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// The tags of LDAP messages (RFC 4511), each with its class and whether it
// holds others.
const (
	tagBoolean    = 0x01
	tagInteger    = 0x02
	tagOctets     = 0x04
	tagEnumerated = 0x0a
	tagSequence   = 0x30
	tagSet        = 0x31
	constructed   = 0x20
)

const (
	maxMessage = 4 << 20
	maxDepth   = 64
)

// An element is one value in BER as far as LDAP uses it: tags of one byte and
// definite lengths.
type element struct {
	tag  byte
	data []byte    // of one that holds no others
	in   []element // of one that does
	// any is made of a long "or" about one attribute that names entries: the
	// names, in one spelling.
	any map[string]bool
}

// readMessage reads one message, no longer than a server takes.
func readMessage(r *bufio.Reader) (element, error) {
	tag, err := r.ReadByte()
	if err != nil {
		return element{}, err
	}
	if tag != tagSequence {
		return element{}, fmt.Errorf("a message begins with tag %#x", tag)
	}
	n, err := readLength(r)
	if err != nil {
		return element{}, err
	}
	if n > maxMessage {
		return element{}, fmt.Errorf("a message of %d bytes", n)
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(data) < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return element{}, err
	}
	in, err := parseAll(data, 1)
	return element{tag: tag, in: in}, err
}

func readLength(r io.ByteReader) (int, error) {
	b, err := r.ReadByte()
	if err != nil || b < 0x80 {
		return int(b), err
	}
	count := int(b & 0x7f)
	if count == 0 || count > 4 {
		return 0, fmt.Errorf("a length of %d bytes", count)
	}
	n := 0
	for range count {
		if b, err = r.ReadByte(); err != nil {
			return 0, err
		}
		n = n<<8 | int(b)
	}
	return n, nil
}

// parseAll reads elements until the data ends.
func parseAll(data []byte, depth int) ([]element, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	var all []element
	for len(data) > 0 {
		e, rest, err := parse(data, depth)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
		data = rest
	}
	return all, nil
}

// A cursor is an io.ByteReader over what is left.
type cursor struct{ data []byte }

// ReadByte returns the next byte.
func (c *cursor) ReadByte() (byte, error) {
	if len(c.data) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	b := c.data[0]
	c.data = c.data[1:]
	return b, nil
}

func parse(data []byte, depth int) (e element, rest []byte, err error) {
	c := &cursor{data}
	if e.tag, err = c.ReadByte(); err != nil {
		return e, nil, err
	}
	if e.tag&0x1f == 0x1f {
		return e, nil, errors.New("a tag of several bytes")
	}
	n, err := readLength(c)
	if err != nil {
		return e, nil, err
	}
	if n > len(c.data) {
		return e, nil, fmt.Errorf("%d bytes of %d", len(c.data), n)
	}
	body, rest := c.data[:n], c.data[n:]
	if e.tag&constructed != 0 {
		e.in, err = parseAll(body, depth+1)
	} else {
		e.data = body
	}
	return e, rest, err
}

// at returns the element at the place, an empty one if there is none.
func (e element) at(i int) element {
	if i < len(e.in) {
		return e.in[i]
	}
	return element{}
}

func (e element) text() string { return string(e.data) }

// number returns the integer, 0 for one of more than eight bytes.
func (e element) number() int64 {
	if len(e.data) == 0 || len(e.data) > 8 {
		return 0
	}
	n := int64(int8(e.data[0]))
	for _, b := range e.data[1:] {
		n = n<<8 | int64(b)
	}
	return n
}

// bytes writes the element.
func (e element) bytes() []byte {
	body := e.data
	if e.tag&constructed != 0 {
		body = nil
		for _, c := range e.in {
			body = append(body, c.bytes()...)
		}
	}
	out := []byte{e.tag}
	switch n := len(body); {
	case n < 0x80:
		out = append(out, byte(n))
	default:
		out = append(out, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(out, body...)
}

func octets(text string) element { return element{tag: tagOctets, data: []byte(text)} }

func integer(tag byte, n int64) element {
	data := []byte{byte(n)}
	for n > 0x7f || n < -0x80 {
		n >>= 8
		data = append([]byte{byte(n)}, data...)
	}
	return element{tag: tag, data: data}
}

func sequence(tag byte, in ...element) element { return element{tag: tag, in: in} }
