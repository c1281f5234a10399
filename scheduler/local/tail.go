package local

import (
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/rondo-ci/rondo/ci"
)

const (
	outputTail = 256 << 10 // bytes of an agent's log that are shown
	wordsTail  = 2 << 10   // that are looked at for its last words
	wordsLines = 3
	wordsLimit = 400
)

// openTail opens the last bytes of a file, but nothing before from.
func openTail(name string, from, limit int64) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if missing(err) {
		return nil, ci.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	i, err := f.Stat()
	if err == nil {
		_, err = f.Seek(max(min(from, i.Size()), i.Size()-limit), io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// lastWords returns the last lines of an agent's log in one, without what is
// secret and what would disturb a sentence.
func lastWords(name string, from int64, secret string) string {
	f, err := openTail(name, from, wordsTail)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, _ := io.ReadAll(io.LimitReader(f, wordsTail))
	text := strings.ToValidUTF8(string(data), "")
	if secret != "" {
		text = strings.ReplaceAll(text, secret, "***")
	}
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, line))
		if line != "" {
			lines = append(lines, line)
		}
	}
	words := strings.Join(lines[max(0, len(lines)-wordsLines):], " | ")
	if len(words) > wordsLimit {
		words = "..." + strings.ToValidUTF8(words[len(words)-wordsLimit:], "")
	}
	return words
}
