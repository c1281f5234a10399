// Package mask keeps secrets out of text that people see.
//
// A [Set] knows the secret values of a job and the forms in which they commonly
// appear (base64, URL, JSON, shell and so on); a [Writer] replaces them in a
// stream, also when they are split across writes or colored letter by letter.
// The rule is CircleCI's: values shorter than four bytes, and the words true,
// True, false and False, are not masked, since they would hide half of every
// log and protect nothing. Of values that are longer than one line each line
// is masked too.
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

const (
	// minLength is the length in bytes of the shortest secret that is masked.
	minLength = 4
	// longLength is the length from which a line of a value, and a value in
	// other notations, is looked for: shorter ones would match by chance.
	longLength = 8
)

// Bounds of the memory of a set. The values come before their lines, and those
// before the other notations, so what is beyond the bounds is never a plain
// value of an ordinary job.
const (
	maxPatterns = 20_000
	maxDerived  = 16 << 20 // bytes of lines and other notations together
)

// A Set is a set of secrets. It never changes and is safe for concurrent use.
// The nil Set masks nothing.
type Set struct {
	// patterns are sorted. prefix has for each of them the index of the longest
	// other one that it begins with, or -1.
	patterns []string
	prefix   []int32
	longest  int // length of the longest pattern
	heads    heads
	// starts are the first one, two and three bytes of all patterns.
	starts map[string]bool
}

// New returns the set of the secrets and their derived forms.
func New(secrets ...string) *Set { return build(secrets, true) }

// Exact returns the set of the secrets as they are and their lines, without
// other notations: CircleCI's rule to the letter.
func Exact(secrets ...string) *Set { return build(secrets, false) }

func build(secrets []string, derived bool) *Set {
	known := map[string]bool{}
	room := maxDerived
	add := func(p string, free bool) {
		if len(p) < minLength || known[p] || len(known) >= maxPatterns || strings.TrimSpace(p) == "" {
			return
		}
		if !free {
			if len(p) > room {
				return
			}
			room -= len(p)
		}
		known[strings.Clone(p)] = true
	}
	secrets = slices.DeleteFunc(slices.Clone(secrets), func(s string) bool { return !masked(s) })
	for _, secret := range secrets {
		add(strings.TrimRight(secret, "\r\n"), true)
		add(strings.TrimSpace(secret), true) // what a shell makes of it without quotes
	}
	for _, secret := range secrets {
		lines(secret, func(p string) { add(p, false) })
	}
	for _, secret := range secrets {
		if derived && len(secret) >= longLength {
			derive(secret, func(p string) { add(p, false) })
		}
	}
	return index(known)
}

// index returns the set of the patterns.
func index(known map[string]bool) *Set {
	s := &Set{starts: map[string]bool{}, patterns: make([]string, 0, len(known))}
	for p := range known {
		s.patterns = append(s.patterns, p)
		s.longest = max(s.longest, len(p))
		for n := 1; n < minLength; n++ {
			s.starts[p[:n]] = true
		}
	}
	slices.Sort(s.patterns)
	s.prefix = make([]int32, len(s.patterns))
	for i, p := range s.patterns {
		// Whatever p begins with is p's neighbour, or what that begins with.
		k := int32(i - 1)
		for k >= 0 && !strings.HasPrefix(p, s.patterns[k]) {
			k = s.prefix[k]
		}
		s.prefix[i] = k
	}
	s.heads = newHeads(s.patterns)
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

// empty reports whether the set masks nothing.
func (s *Set) empty() bool { return s == nil || len(s.patterns) == 0 }

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
		if i = s.skip(text, i); i >= len(text) {
			break
		}
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

// skip returns the first position from i on where a secret may begin.
func (s *Set) skip(text string, i int) int { return s.heads.skip(text, i) }

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
		return i, s.starts[rest]
	}
	lo, hi := s.heads.find(load(rest))
	if lo == hi {
		return i, false
	}
	k := s.floor(rest, lo, hi)
	// Patterns that the text begins with come before it, those that begin with
	// the text right behind it.
	open = k+1 < hi && len(s.patterns[k+1]) > len(rest) && strings.HasPrefix(s.patterns[k+1], rest)
	for k >= lo {
		if p := s.patterns[k]; strings.HasPrefix(rest, p) {
			return i + len(p), open
		}
		k = int(s.prefix[k])
	}
	return i, open
}

// floor returns the index of the last of patterns[lo:hi] that is not after the
// text, or lo-1.
func (s *Set) floor(text string, lo, hi int) int {
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); s.patterns[mid] <= text {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1
}

// longestOf returns the length of the longest secret that begins with the text.
func (s *Set) longestOf(text string) (n int) {
	if len(text) < minLength {
		return 0
	}
	lo, hi := s.heads.find(load(text))
	for _, p := range s.patterns[lo:hi] {
		if strings.HasPrefix(p, text) {
			n = max(n, len(p))
		}
	}
	return n
}

// load returns the first four bytes.
func load(s string) uint32 {
	return binary.LittleEndian.Uint32([]byte(s[:minLength]))
}
