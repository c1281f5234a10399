package secret

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
)

// The limits, those of CircleCI where it has one. Characters are code points.
const (
	MaxContextName  = 200       // characters
	MaxVariableName = 300       // characters
	MaxValue        = 32 * 1024 // characters
	MaxVariables    = 100       // in a context
	MaxOfProject    = 1000      // variables of a project; ours
	MaxContexts     = 500       // in an organisation
	MaxAsked        = 100       // contexts in a configuration
	MaxRestrictions = 500       // on a context; ours
	MaxKeys         = 100       // in a project; ours
	MaxKey          = 32 << 10  // bytes of a private key; ours
)

// checkContextName reports what is wrong with the name of a context.
func checkContextName(name string) error {
	n := utf8.RuneCountInString(name)
	switch {
	case strings.TrimSpace(name) == "":
		return fmt.Errorf("a context needs a name of at least one character that is not blank: %w", ci.ErrInvalid)
	case n > MaxContextName:
		return fmt.Errorf("the name of the context has %d characters, more than %d, choose a shorter one: %w", n, MaxContextName, ci.ErrInvalid)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("the name of the context begins or ends with a blank, take it away: %w", ci.ErrInvalid)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unseen):
		return fmt.Errorf("the name of the context has line breaks or characters that nobody sees, take them away: %w", ci.ErrInvalid)
	}
	return nil
}

// unseen reports whether a character moves the text or hides in it.
func unseen(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// checkVariable reports what is wrong with a variable. It never tells the
// value.
func checkVariable(name, value string) error {
	n := utf8.RuneCountInString(name)
	switch {
	case n > MaxVariableName:
		return fmt.Errorf("the name of the variable has %d characters, more than %d, choose a shorter one: %w", n, MaxVariableName, ci.ErrInvalid)
	case !isName(name):
		return fmt.Errorf("the name %q of the variable is not one: it begins with a letter or _ and goes on with letters, digits and _: %w", name, ci.ErrInvalid)
	}
	switch n := utf8.RuneCountInString(value); {
	case n > MaxValue:
		return fmt.Errorf("the value of %s has %d characters, more than %d: split it over several variables, or keep it in a file that jobs fetch: %w", name, n, MaxValue, ci.ErrInvalid)
	case strings.Contains(value, "\x00"):
		return fmt.Errorf("the value of %s has a NUL in it, which no environment can hold: encode it, with base64 for one: %w", name, ci.ErrInvalid)
	}
	return nil
}

// isName reports whether a shell takes the text as the name of a variable.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// masked is what people may see of a value.
func masked(value string) string {
	r := []rune(value)
	if len(r) <= 4 {
		return "xxxx"
	}
	return "xxxx" + string(r[len(r)-4:])
}
