package tool

import (
	"io"
	"strings"
)

const substHelp = `Usage: circleci env subst [TEXT...]

Replaces $NAME and ${NAME} in the text, or in standard input if there is none,
by the values of environment variables. Also:
  ${NAME:-text}  ${NAME-text}   text if NAME is empty or not set / not set
  ${NAME:+text}  ${NAME+text}   text if NAME is not empty / set
  $$                            a dollar sign
`

// subst fills in a template.
func (c *call) subst(args []string) error {
	if c.wantsHelp(args, substHelp) {
		return nil
	}
	if len(args) > 0 {
		_, err := io.WriteString(c.stdout, c.expand(strings.Join(args, " "), 0)+"\n")
		return err
	}
	text, err := io.ReadAll(c.stdin)
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.stdout, c.expand(string(text), 0))
	return err
}

// maxNesting bounds defaults within defaults.
const maxNesting = 16

// expand replaces the variables in the text. What is no variable stays.
func (c *call) expand(text string, depth int) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n := nameLength(after)
		switch {
		case strings.HasPrefix(after, "$"):
			b.WriteByte('$')
			text = after[1:]
		case n > 0:
			b.WriteString(c.getenv(after[:n]))
			text = after[n:]
		case strings.HasPrefix(after, "{"):
			end := closing(after)
			value, ok := "", false
			if end > 0 && depth < maxNesting {
				value, ok = c.braces(after[1:end], depth)
			}
			if !ok {
				b.WriteByte('$')
				text = after
				continue
			}
			b.WriteString(value)
			text = after[end+1:]
		default:
			b.WriteByte('$')
			text = after
		}
	}
}

// closing returns the position of the brace that closes the first one.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// braces evaluates what is between ${ and }, and reports whether it can.
func (c *call) braces(inner string, depth int) (string, bool) {
	n := nameLength(inner)
	if n == 0 {
		return "", false
	}
	value, set := c.lookup(inner[:n])
	op := inner[n:]
	if strings.HasPrefix(op, ":") {
		set = value != ""
		op = op[1:]
	} else if op == "" {
		return value, true
	}
	switch {
	case strings.HasPrefix(op, "-"), strings.HasPrefix(op, "="):
		if set {
			return value, true
		}
		return c.expand(op[1:], depth+1), true
	case strings.HasPrefix(op, "+"):
		if set {
			return c.expand(op[1:], depth+1), true
		}
		return "", true
	}
	return "", false
}

// nameLength returns the length of the variable's name that s begins with.
func nameLength(s string) int {
	n := 0
	for n < len(s) && (s[n] == '_' || s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z' || n > 0 && s[n] >= '0' && s[n] <= '9') {
		n++
	}
	return n
}
