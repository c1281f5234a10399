package screen

import (
	"strings"
	"testing"
	"unicode"
)

// TestA068_TerminalEscapes holds what a job or a name must not do to a
// terminal.
func TestA068_TerminalEscapes(t *testing.T) {
	for in, want := range map[string][2]string{ // Text, Output
		"plain ü":                     {"plain ü", "plain ü"},
		"\x1b[31mred\x1b[0m":          {"^[[31mred^[[0m", "\x1b[31mred\x1b[0m\x1b[0m"},
		"\x1b[2J":                     {"^[[2J", "^[[2J"},
		"\x1b[3A":                     {"^[[3A", "^[[3A"},
		"\x1b]52;c;cHduCg==\a":        {"^[]52;c;cHduCg==^G", "^[]52;c;cHduCg==^G"},
		"\x1b]8;;javascript:1\x1b\\x": {"^[]8;;javascript:1^[\\x", "^[]8;;javascript:1^[\\x"},
		"\x1b[>c\x1bP+q\x1b\\":        {"^[[>c^[P+q^[\\", "^[[>c^[P+q^[\\"},
		"\u009b2J":                    {"U+009B2J", "U+009B2J"},
		"\x9b2J":                      {`\x9b2J`, `\x9b2J`},
		"ok\rFAILED\b\x7f":            {"ok^MFAILED^H^?", "FAILED^H^?"},
		"a\tb\nc":                     {"a^Ib^Jc", "a\tb^Jc"},
		"\u202egpj.exe":               {"U+202Egpj.exe", "U+202Egpj.exe"},
		"\x1b[31":                     {"^[[31", "^[[31"},
	} {
		if got := Text(in); got != want[0] {
			t.Errorf("Text(%q) = %q, want %q", in, got, want[0])
		}
		if got := Output(in); got != want[1] {
			t.Errorf("Output(%q) = %q, want %q", in, got, want[1])
		}
	}
}

func TestPlain(t *testing.T) {
	if got := Plain("10%%\r\x1b[32mdone\x1b[0m\x1b[2J\r"); got != "done^[[2J" {
		t.Errorf("got %q", got)
	}
}

func FuzzOutput(f *testing.F) {
	f.Add("\x1b[31m\x1b]0;x\a\x9b")
	f.Fuzz(func(t *testing.T, s string) {
		rest := Output(s)
		for {
			i := strings.Index(rest, "\x1b")
			if i < 0 {
				break
			}
			n := sgr(rest[i:])
			if n == 0 {
				t.Fatalf("%q: an escape that is no colour", rest)
			}
			rest = rest[:i] + rest[i+n:]
		}
		if strings.ContainsFunc(rest, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }) {
			t.Fatalf("%q holds a control character", rest)
		}
	})
}
