package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/rondo-ci/rondo/ci"
)

// A Line is an event in the book: its number, from 1, and its JSON with what
// chains it to the line before: fields seq, prev and hash behind the others.
type Line struct {
	Seq  uint64
	Text []byte // without the line's end
	Prev Hash   // of the line before; zero for the first
	Hash Hash
}

// A Hash is that of a line: SHA-256 of a zero byte and all of the line before
// its field hash, which makes it a leaf of the tree of RFC 6962.
type Hash [sha256.Size]byte

// String returns the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

const hashField = `,"hash":"`

// chain makes the line of an event, which is a JSON object.
func chain(event []byte, seq uint64, prev Hash) Line {
	b := make([]byte, 0, len(event)+200)
	b = append(b, bytes.TrimSuffix(event, []byte("}"))...)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, `,"prev":"`...)
	b = hex.AppendEncode(b, prev[:])
	b = append(b, '"')
	l := Line{Seq: seq, Prev: prev, Hash: leaf(b)}
	b = append(b, hashField...)
	b = hex.AppendEncode(b, l.Hash[:])
	l.Text = append(b, `"}`...)
	return l
}

// ParseLine reads a line and proves that it is as it was written: each byte
// of it is either hashed or has to be what it is. The text is not copied.
func ParseLine(text []byte) (Line, error) {
	l := Line{Text: text}
	end := len(hashField) + 2*sha256.Size + len(`"}`)
	if len(text) < end {
		return l, fmt.Errorf("it is no line of the book: %w", ci.ErrInvalid)
	}
	body, tail := text[:len(text)-end], text[len(text)-end:]
	if string(tail[:len(hashField)]) != hashField || string(tail[end-2:]) != `"}` {
		return l, fmt.Errorf("it does not end with its hash: %w", ci.ErrInvalid)
	}
	l.Hash = leaf(body)
	if string(tail[len(hashField):end-2]) != l.Hash.String() {
		return l, fmt.Errorf("it is not what its hash says: %w", ci.ErrInvalid)
	}
	return l, l.links(body)
}

// links reads number and predecessor from the end of the hashed part.
func (l *Line) links(body []byte) error {
	const prev = `,"prev":"`
	at := len(body) - 1 - 2*sha256.Size - len(prev)
	if at < 0 || string(body[at:at+len(prev)]) != prev {
		return fmt.Errorf("it does not name the line before: %w", ci.ErrInvalid)
	}
	if _, err := hex.Decode(l.Prev[:], body[at+len(prev):len(body)-1]); err != nil {
		return fmt.Errorf("it does not name the line before: %w", ci.ErrInvalid)
	}
	_, number, ok := cutLast(body[:at], []byte(`,"seq":`))
	n, err := strconv.ParseUint(string(number), 10, 64)
	if !ok || err != nil {
		return fmt.Errorf("it has no number: %w", ci.ErrInvalid)
	}
	l.Seq = n
	return nil
}

func cutLast(s, sep []byte) (before, after []byte, found bool) {
	if i := bytes.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, nil, false
}

// Event returns the event of the line.
func (l Line) Event() (Event, error) {
	var e Event
	if err := json.Unmarshal(l.Text, &e); err != nil {
		return e, fmt.Errorf("line %d: %v: %w", l.Seq, err, ci.ErrInvalid)
	}
	return e, nil
}
