package guest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// engineScript is what all scripts that root runs in a machine begin with.
//
//go:embed engine.sh
var engineScript string

// The most that is read of what a machine says.
const (
	maxSaid  = 256 << 10
	maxWords = 600 // of its complaint, in an error
)

// noRoot is the exit code of asRoot where nobody can be root.
const noRoot = 77

// asRoot runs the shell script on its standard input as root. The outer shell
// is named because that of the user may be any.
const asRoot = `exec sh -c 'if [ "$(id -u)" = 0 ]; then exec sh -s; fi; sudo -n true 2>/dev/null || exit 77; exec sudo -n sh -s'`

// root runs a script as root, behind engineScript, and returns the lines that
// it said by its function say. The script is the body of a function, so that
// nothing it runs can read the rest of it.
func (v *Visit) root(ctx context.Context, script string) ([]string, error) {
	var out, errs bounded
	out.max, errs.max = maxSaid, maxSaid
	in := strings.NewReader(engineScript + "\nmain() {\n" + script + "\n}\nmain </dev/null\n")
	code, err := v.Run(ctx, asRoot, in, &out, &errs)
	switch {
	case err != nil:
		return nil, err
	case code == noRoot:
		return nil, errors.New("it takes root, and the user is neither root nor may run sudo without a password: let it in /etc/sudoers.d (NOPASSWD)")
	case code != 0:
		return nil, fmt.Errorf("it answers with code %d: %s", code, words(errs.String()))
	case out.lost:
		return nil, fmt.Errorf("it answers with more than %d bytes", maxSaid)
	}
	var said []string
	for line := range strings.Lines(out.String()) {
		if line, ok := strings.CutPrefix(line, "rondo:"); ok {
			said = append(said, strings.TrimSuffix(line, "\n"))
		}
	}
	return said, nil
}

// words returns the end of what a machine says, fit to be shown.
func words(text string) string {
	text = strings.TrimSpace(strings.ToValidUTF8(text, "?"))
	if cut := len(text) - maxWords; cut > 0 {
		text = "..." + strings.ToValidUTF8(text[cut:], "")
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return ';'
		case unicode.IsPrint(r):
			return r
		}
		return '?'
	}, text)
	if text == "" {
		return "it says nothing"
	}
	return text
}

// quote returns a text as one word of a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// A bounded takes what a machine says up to a length, and drops the rest.
type bounded struct {
	text []byte
	max  int
	lost bool
}

func (b *bounded) Write(p []byte) (int, error) {
	n := len(p)
	if room := b.max - len(b.text); len(p) > room {
		p, b.lost = p[:max(room, 0)], true
	}
	b.text = append(b.text, p...)
	return n, nil
}

func (b *bounded) String() string { return string(b.text) }
