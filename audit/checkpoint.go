package audit

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Checkpoint says what the book was at a time. Its text is that of a
// checkpoint of a transparency log (origin, size, root), and lines of our own.
type Checkpoint struct {
	Origin string
	Size   uint64 // lines in all files so far
	Root   Hash   // of the tree over them
	Head   Hash   // of the last line
	Number uint64 // of the checkpoint, from 1
	Prev   Hash   // SHA-256 of the checkpoint before as it is filed; zero for the first
	Time   time.Time
	File   *File // that came with it; nil for an hour without events
}

// A File is an object of the book.
type File struct {
	Key         string
	First, Last uint64 // the numbers of its lines
	Sum         Hash   // SHA-256 of the object
	Size        int64  // in bytes
	From, To    time.Time
}

// text is what is signed.
func (c Checkpoint) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
	fmt.Fprintf(&b, "checkpoint %d %s\nprevious %s\nhead %s\n", c.Number, c.Time.UTC().Format(time.RFC3339), c.Prev, c.Head)
	if f := c.File; f != nil {
		fmt.Fprintf(&b, "file %s %d %d %d %s %s %s\n", f.Key, f.First, f.Last, f.Size, f.Sum,
			f.From.UTC().Format(time.RFC3339Nano), f.To.UTC().Format(time.RFC3339Nano))
	}
	return b.String()
}

// parseCheckpoint reads the text back. It takes exactly what text writes.
func parseCheckpoint(text string) (Checkpoint, error) {
	var c Checkpoint
	lines := strings.Split(text, "\n")
	bad := func() (Checkpoint, error) {
		return c, fmt.Errorf("it is no checkpoint of an audit log: %w", ci.ErrInvalid)
	}
	if len(lines) < 7 {
		return bad()
	}
	c.Origin = lines[0]
	var root, at, prev, head string
	_, err := fmt.Sscanf(strings.Join(lines[1:6], "\n"), "%d\n%s\ncheckpoint %d %s\nprevious %s\nhead %s", &c.Size, &root, &c.Number, &at, &prev, &head)
	if err != nil {
		return bad()
	}
	rootRaw, err := base64.StdEncoding.DecodeString(root)
	if err != nil {
		return bad()
	}
	copy(c.Root[:], rootRaw)
	c.Time, err = time.Parse(time.RFC3339, at)
	if err != nil || !c.Prev.parse(prev) || !c.Head.parse(head) {
		return bad()
	}
	if strings.HasPrefix(lines[6], "file ") {
		f := &File{}
		var sum, from, to string
		if _, err := fmt.Sscanf(lines[6], "file %s %d %d %d %s %s %s", &f.Key, &f.First, &f.Last, &f.Size, &sum, &from, &to); err != nil || !f.Sum.parse(sum) {
			return bad()
		}
		f.From, _ = time.Parse(time.RFC3339Nano, from) // checked below
		f.To, _ = time.Parse(time.RFC3339Nano, to)
		c.File = f
	}
	if c.text() != text {
		return bad()
	}
	return c, nil
}

func (h *Hash) parse(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && copy(h[:], raw) == len(h) && len(raw) == len(h)
}

// OpenCheckpoint reads a checkpoint that the key has signed.
func OpenCheckpoint(signed []byte, key Key) (Checkpoint, error) {
	keys, err := key.each()
	if err != nil {
		return Checkpoint{}, err
	}
	c, _, err := openBy(signed, keys)
	return c, err
}

// openBy reads a checkpoint that one of the keys has signed, and returns the
// keys that are left for the next one: that and the later ones.
func openBy(signed []byte, keys []Key) (Checkpoint, []Key, error) {
	var first error
	for i, k := range keys {
		text, err := k.open(signed)
		if err == nil {
			c, err := parseCheckpoint(text)
			return c, keys[i:], err
		}
		first = firstOf(first, err)
	}
	return Checkpoint{}, keys, first
}

// sumOf is SHA-256 of the bytes.
func sumOf(data []byte) Hash { return sha256.Sum256(data) }
