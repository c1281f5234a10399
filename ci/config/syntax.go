package config

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

var (
	yamlLine   = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)
	loneWord   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,60}$`)
	yamlAnchor = regexp.MustCompile(`'([^']*)'`)
)

// syntax turns an error of the YAML parser into ours.
func (l *loader) syntax(err error) *Error {
	e := &Error{Code: "CFG001", src: l.src}
	msg := yamlMessage(err)
	e.Message = "Unable to parse YAML: " + msg
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
	}
	opened := strings.Contains(msg, "unexpected end of stream") || strings.Contains(msg, "or ']'") || strings.Contains(msg, "or '}'")
	switch {
	case strings.Contains(msg, "unknown anchor"):
		if name := yamlAnchor.FindStringSubmatch(msg); name != nil {
			e.Line, e.Col = l.find("*" + name[1])
		}
	case !utf8.ValidString(l.src.text):
		e.Line, e.Col = l.badByte()
	case opened: // the parser says where it was opened, which is what to look at
		openers := `"'`
		if !strings.Contains(msg, "stream") {
			openers = "[{"
			e.Line++ // the parser counts these from 0
		}
		e.Col = max(strings.IndexAny(l.src.line(e.Line), openers), 0) + 1
	case !strings.Contains(msg, "single document"):
		l.pinpoint(e, msg)
	}
	line := l.src.line(e.Line)
	if at := strings.Index(line, ": {{"); at >= 0 && strings.HasPrefix(msg, "did not find expected") {
		e.Col = utf8.RuneCountInString(line[:at]) + 3
	}
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
		e.Col = tab + 1
	}
	if e.Col == 0 && e.Line > 0 {
		e.Col = utf8.RuneCountInString(indent) + 1
	}
	e.Hint = syntaxHint(msg, line, indent)
	if above := strings.TrimSpace(l.src.line(e.Line - 1)); loneWord.MatchString(above) && strings.Contains(msg, "mapping values") {
		e.Hint = "the line above lacks its ':': write " + above + ":"
	}
	return e
}

// yamlMessage is the message of the YAML parser without the place.
func yamlMessage(err error) string {
	return strings.TrimPrefix(yamlLine.ReplaceAllString(err.Error(), ""), "yaml: ")
}

// syntaxHint says what to do about an error of the YAML parser in a line.
func syntaxHint(msg, line, indent string) string {
	text := strings.TrimSpace(line)
	value := text
	if _, v, ok := strings.Cut(text, ": "); ok {
		value = strings.TrimSpace(v)
	}
	value = strings.TrimLeft(value, "- ")
	switch {
	case strings.Contains(indent, "\t"):
		return "indent with blanks: YAML does not allow tabs here"
	case strings.Contains(msg, "unknown anchor"):
		return "an anchor (&name) has to stand before the aliases (*name) that use it"
	case strings.Contains(msg, "UTF-"), strings.Contains(msg, "control characters"):
		return "save the file as UTF-8 text"
	case strings.Contains(msg, "max depth"):
		return "nest the values less deep"
	case strings.Contains(msg, "single document"):
		return "remove the line '---': a configuration is one document"
	case strings.Contains(text, "{{") && strings.Contains(msg, "did not find expected"):
		return "quote the value: a text that begins with { is a map"
	case strings.Contains(msg, "unexpected end of stream"):
		return "the quote that is opened here is never closed"
	case strings.Contains(msg, "or ']'"), strings.Contains(msg, "or '}'"):
		return "the bracket that is opened here is not closed, or a ',' is missing"
	case value != "" && strings.ContainsRune("@`%", rune(value[0])) && strings.Contains(msg, "cannot start any token"):
		return "quote the text: it may not begin with " + value[:1]
	case strings.Contains(msg, "mapping values are not allowed"):
		return "quote the text if the ': ' belongs to it; if it is a key, check its indentation and its dash"
	case strings.Contains(msg, "could not find expected ':'"):
		return "a key needs a ':' and a blank behind it; a text over several lines needs '|'"
	case strings.HasPrefix(value, `"`), strings.HasPrefix(value, "'"):
		return "a quoted text ends at its quote: nothing may follow; quote the whole text"
	case strings.Contains(msg, "did not find expected"):
		return "this line is indented by too much or too little, or lacks its dash"
	}
	return "quote the text, or write it below a '|'"
}

// maxPinpoint is the size of the largest text that is parsed again to find the
// place of an error.
const maxPinpoint = 64 << 10

// pinpoint finds line and column of an error. The parser often names the line
// where a block begins; the line that breaks it is the first one with which
// the text has this error.
func (l *loader) pinpoint(e *Error, msg string) {
	if len(l.src.text) > maxPinpoint {
		if strings.HasPrefix(msg, "did not find expected") {
			e.Line++ // the parser counts these from 0
		}
		return
	}
	lines := strings.SplitAfter(l.src.text, "\n")
	broken := func(lines []string, rest string) bool {
		_, err := parse([]byte(strings.Join(lines, "") + rest))
		return err != nil && yamlMessage(err) == msg
	}
	low, high := 0, len(lines) // of the lines, low have it not and high have it
	for high-low > 1 {
		if middle := (low + high) / 2; broken(lines[:middle], "") {
			high = middle
		} else {
			low = middle
		}
	}
	e.Line = high
	line := strings.TrimRight(lines[high-1], "\r\n")
	start := len(line) - len(strings.TrimLeft(line, " "))
	e.Col = start + 1
	if strings.HasPrefix(msg, "did not find expected") {
		return
	}
	low, high = start, len(line) // of the bytes, likewise
	for high-low > 1 {
		middle := (low + high) / 2
		for middle > low && !utf8.RuneStart(line[middle]) {
			middle--
		}
		if middle == low {
			break
		}
		if broken(lines[:e.Line-1], line[:middle]+" ") {
			high = middle
		} else {
			low = middle
		}
	}
	e.Col = utf8.RuneCountInString(line[:low]) + 1
}

// badByte is the place of the first byte that is not UTF-8.
func (l *loader) badByte() (line, col int) {
	text := l.src.text
	at := 0
	for at < len(text) {
		r, n := utf8.DecodeRuneInString(text[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += n
	}
	return l.place(at)
}

// find returns the place of the first occurrence of s, of none 0.
func (l *loader) find(s string) (line, col int) {
	if i := strings.Index(l.src.text, s); i >= 0 {
		return l.place(i)
	}
	return 0, 0
}

// place is the line and column of an offset.
func (l *loader) place(at int) (line, col int) {
	before := l.src.text[:at]
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}
