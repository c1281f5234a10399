// Package mask keeps secrets out of text that people see.
//
// A [Set] knows the secret values of a job and the forms in which they commonly
// appear (base64, URL, JSON, shell and so on); a [Writer] replaces them in a
// stream, also when they are split across writes or colored letter by letter.
// Values shorter than four
// bytes, and the words true and false, are not masked: they would hide half of
// every log and protect nothing.
//
// The package never hides a secret that was compressed, encrypted, reversed or
// cut into pieces by other text.
package mask

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Text is what stands in place of a secret.
const Text = "****"

// minLength is the length in bytes of the shortest secret that is masked.
const minLength = 4

// maxPatterns bounds the memory of a set. The values come before their derived
// forms, so what is beyond it is never a plain value of an ordinary job.
const maxPatterns = 20000

// A Set is a set of secrets. It never changes and is safe for concurrent use.
// The nil Set masks nothing.
type Set struct {
	// byHead has the patterns by their first four bytes, longest first.
	byHead map[uint32][]string
	// filter has a bit per hash of the first four bytes; most positions of a
	// text are dismissed by it.
	filter [1 << 10]uint64
	// heads are the first one, two and three bytes of all patterns.
	heads map[string]bool
}

// New returns the set of the secrets and their derived forms.
func New(secrets ...string) *Set {
	s := &Set{byHead: map[uint32][]string{}, heads: map[string]bool{}}
	known := map[string]bool{}
	add := func(p string) {
		if len(p) < minLength || known[p] || len(known) >= maxPatterns || strings.TrimSpace(p) == "" {
			return
		}
		known[p] = true
		head := binary.LittleEndian.Uint32([]byte(p[:4]))
		s.byHead[head] = append(s.byHead[head], p)
		h := hash(head)
		s.filter[h>>6] |= 1 << (h & 63)
		for n := 1; n < minLength; n++ {
			s.heads[p[:n]] = true
		}
	}
	for _, secret := range secrets {
		if masked(secret) {
			add(strings.TrimRight(secret, "\r\n"))
			add(strings.TrimSpace(secret)) // what a shell makes of it without quotes
		}
	}
	for _, secret := range secrets {
		if masked(secret) {
			derive(secret, add)
		}
	}
	for _, list := range s.byHead {
		slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
	}
	return s
}

// masked reports whether a value is worth hiding.
func masked(v string) bool {
	switch v {
	case "true", "True", "false", "False":
		return false
	}
	return len(v) >= minLength
}

// hash spreads the first four bytes over 16 bits.
func hash(head uint32) uint32 { return head * 0x9E3779B1 >> 16 }

// empty reports whether the set masks nothing.
func (s *Set) empty() bool { return s == nil || len(s.byHead) == 0 }

// String returns the text with every secret replaced.
func (s *Set) String(text string) string {
	return s.Replace(text, func(string) string { return Text })
}

// Replace returns the text with every secret replaced by what with returns for
// it. Where secrets overlap, with gets the whole stretch.
func (s *Set) Replace(text string, with func(secret string) string) string {
	if s.empty() {
		return text
	}
	var b strings.Builder
	plain := 0
	for i := 0; i < len(text); {
		end, _ := s.match(text, i)
		if end == i {
			i++
			continue
		}
		b.WriteString(text[plain:i])
		b.WriteString(with(text[i:end]))
		i, plain = end, end
	}
	if plain == 0 {
		return text
	}
	b.WriteString(text[plain:])
	return b.String()
}

// match returns the end of the stretch of secrets that begins at i, or i if
// none does. open says that more text could make a secret out of text[i:], or
// make the stretch longer.
func (s *Set) match(text string, i int) (end int, open bool) {
	end, open = s.at(text, i)
	if end == i {
		return end, open
	}
	for j := i + 1; j < end; j++ {
		e, o := s.at(text, j)
		end, open = max(end, e), open || o
	}
	return end, open
}

// at returns the end of the longest secret that begins at i, or i. open says
// that more text could make text[i:] a longer one.
func (s *Set) at(text string, i int) (end int, open bool) {
	rest := text[i:]
	if len(rest) < minLength {
		return i, s.heads[rest]
	}
	head := uint32(rest[0]) | uint32(rest[1])<<8 | uint32(rest[2])<<16 | uint32(rest[3])<<24
	h := hash(head)
	if s.filter[h>>6]&(1<<(h&63)) == 0 {
		return i, false
	}
	for _, p := range s.byHead[head] {
		if len(p) > len(rest) {
			open = open || strings.HasPrefix(p, rest)
		} else if strings.HasPrefix(rest, p) {
			return i + len(p), open
		}
	}
	return i, open
}

// longest returns the length of the longest secret that begins with the text.
func (s *Set) longest(text string) int {
	if len(text) < minLength {
		return 0
	}
	for _, p := range s.byHead[binary.LittleEndian.Uint32([]byte(text[:4]))] {
		if strings.HasPrefix(p, text) {
			return len(p)
		}
	}
	return 0
}
