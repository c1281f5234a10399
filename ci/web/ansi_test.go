package web

import (
	"bytes"
	"html"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// painted returns output as HTML, painted at once.
func painted(s string) string {
	var b bytes.Buffer
	var p pen
	n := p.paint(&b, []byte(s))
	p.end(&b, []byte(s[n:]))
	return b.String()
}

func TestPaint(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "a b\n", "a b\n"},
		{"colour", "\x1b[31mred\x1b[0m x", `<span class="f1">red</span> x`},
		{"colour over lines", "\x1b[1;32ma\nb\x1b[m\n", "<span class=\"B f2\">a</span>\n<span class=\"B f2\">b</span>\n"},
		{"256", "\x1b[38;5;200ma\x1b[48;5;1mb\x1b[49mc\x1b[39md", `<span class="f200">a</span><span class="f200 b1">b</span><span class="f200">c</span>d`},
		{"24 bit", "\x1b[38;2;255;0;0mx", `<span class="f196">x</span>`},
		{"24 bit with colons", "\x1b[38:2::255:0:0mx", `<span class="f196">x</span>`},
		{"bright", "\x1b[94;103mx", `<span class="f12 b11">x</span>`},
		{"attributes", "\x1b[1;2;3;4;7;9mx\x1b[22;23;24;27;29my", `<span class="B D I U V S">x</span>y`},
		{"nonsense in SGR", "\x1b[999;38;5mx\x1b[;mx", "xx"},
		{"CRLF", "a\r\nb\r\n", "a\nb\n"},
		{"two CR before LF", "a\r\r\nb", "a\nb"},
		{"progress", "10%\r50%\r100%\ndone", "100%\ndone"},
		{"progress that ends with CR", "10%\r50%\r", "50%"},
		{"progress in colour", "\x1b[32m10%\r50%\x1b[0m\n", "<span class=\"f2\">50%</span>\n"},
		{"erase line", "working\r\x1b[Kdone\n", "done\n"},
		{"erase line to nothing", "working\r\x1b[K\n", "\n"},
		{"column one", "working\x1b[2K\x1b[1Gdone\n", "done\n"},
		{"cursor hidden", "\x1b[?25lx\x1b[?25h", "x"},
		{"html", `<script>alert("1")</script>&'`, "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;&amp;&#39;"},
		{"erase screen", "FAILED\x1b[2J\x1b[1Aok", "FAILED<i>^[</i>[2J<i>^[</i>[1Aok"},
		{"clipboard", "\x1b]52;c;aGk=\x07", "<i>^[</i>]52;c;aGk=<i>^G</i>"},
		{"hyperlink", "\x1b]8;;javascript:alert(1)\x1b\\x", "<i>^[</i>]8;;javascript:alert(1)<i>^[</i>\\x"},
		{"device control", "\x1bP$qm\x1b\\", "<i>^[</i>P$qm<i>^[</i>\\"},
		{"8-bit C1", "\u009b31mx", `<i>\x9b</i>31mx`},
		{"8-bit C1 as a byte", "\x9b31mx", "\ufffd31mx"},
		{"no UTF-8", "a\xff\xfeb", "a\ufffd\ufffdb"},
		{"backspace lays nothing over", "sX\becret", "sXecret"},
		{"turned direction", "a\u202egpj.exe", "a<i>U+202E</i>gpj.exe"},
		{"NUL", "a\x00b", "a<i>^@</i>b"},
		{"sequence not complete", "a\x1b[3", "a"},
		{"rune not complete", "a\xe2\x82", "a"},
		{"sequence cut by a line", "a\x1b[3\n1mb", "a<i>^[</i>[3\n1mb"},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, painted(c.in)) })
	}
}

// However output arrives, it is painted the same; and a pen that went through
// an address goes on as if nothing had been.
func TestP8_PaintInAnyPortions(t *testing.T) {
	text := rapid.SampledFrom([]string{
		"a", "日", "<", "\n", "\r\n", "\r", "\x1b[31m", "\x1b[0m", "\x1b[38;5;99m", "\x1b", "[1m", "\xff", "\x1b[K", "\b",
		strings.Repeat("long ", longestPiece/4), strings.Repeat("50%\r", 40),
	})
	rapid.Check(t, func(t *rapid.T) {
		all := []byte(strings.Join(rapid.SliceOfN(text, 0, 30).Draw(t, "text"), ""))
		var got bytes.Buffer
		var p pen
		var rest []byte
		for b := all; len(b) > 0; {
			n := rapid.IntRange(1, len(b)).Draw(t, "portion")
			rest = append(rest, b[:n]...)
			b = b[n:]
			rest = rest[p.paint(&got, rest):]
			again, err := parsePen(p.String())
			require.NoError(t, err)
			require.Equal(t, p, again)
			p = again
		}
		p.end(&got, rest)
		require.Equal(t, painted(string(all)), got.String())
	})
}

var tags = regexp.MustCompile(`</?(span|i)( class="[A-Za-z0-9 ]*")?>`)

func FuzzPaint(f *testing.F) {
	for _, s := range []string{"a\x1b[31mb", "<b>\r\n", "\x1b[38:2::1:2:3m", "\x1b[K\r", "\xff\x1b[", "\x1b[?1;31m", strings.Repeat("x\r", 10000), "\x1b]8;;http://x\x1b\\"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out := painted(string(in))
		require.True(t, utf8.ValidString(out))
		require.Equal(t, strings.Count(out, "<span"), strings.Count(out, "</span>"))
		text := tags.ReplaceAllString(out, "")
		require.NotContains(t, text, "<")
		require.NotContains(t, text, ">")
		for _, r := range html.UnescapeString(text) {
			require.True(t, r == '\n' || r == '\t' || visible(r) == "", "%q", r)
		}
		require.LessOrEqual(t, len(out), 64+len(in)*64)
	})
}

// A masked stream stays masked: the text that is shown is text that was printed
// in that order and without gaps, so what is not in the stream without its
// control sequences is not on the page either (A058).
func TestA058_TextIsNeverLaidOverText(t *testing.T) {
	const secret = "hunter2"
	for _, in := range []string{
		"XXXXXr2\rhunte\n", "hunXter2\x1b[5D\x1b[P\n", "hunterX\b2\n", "ter2\x1b[1Ghun\n", "hun\x1b[4Cter2\x1b[3D\n",
		"hun\x1b[s\nxxx\x1b[uter2\n", "2\rr\re\rt\rn\ru\rh",
	} {
		shown := html.UnescapeString(tags.ReplaceAllString(painted(in), ""))
		require.NotContains(t, shown, secret, "%q", in)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add("0.0.0")
	f.Add("12.1.3_1.200.4k_2.0.")
	f.Add("1.1.1_0.9223372036854775807.")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseCursor(s)
		if err != nil {
			return
		}
		again, err := parseCursor(c.String())
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}

func TestText(t *testing.T) {
	require.Equal(t, "a^JU+202Eb", show("a\n\u202eb"))
	require.Equal(t, 303, len(show(strings.Repeat("x", 1<<20))))
	require.Equal(t, "\ufffdx", show("\xffx"))
	require.Equal(t, "a\nb", prose("a\r\nb"))
	require.Equal(t, "–", seconds(-1))
	require.Equal(t, "12 ms", seconds(0.012))
	slug, n, verb, ok := splitJobPath("gh/acme/7/12/log")
	require.Equal(t, []any{"gh/acme/7", int64(12), "log", true}, []any{slug, n, verb, ok})
	for _, bad := range []string{"", "12", "gh/acme/-1", "gh/acme/012", "gh/acme/shop", "gh/acme/99999999999999999999", "12/log"} {
		_, _, _, ok := splitJobPath(bad)
		require.False(t, ok, bad)
	}
	require.Equal(t, `attachment; filename=b.html`, dispose("attachment", "a/b.html"))
	require.Equal(t, `attachment; filename=a_;filename=b.html`, strings.ReplaceAll(dispose("attachment", `a";filename=b.html`), `"`, ""))
	require.NotContains(t, dispose("attachment", "x\r\nSet-Cookie: a"), "\n")
	require.NotContains(t, dispose("attachment", "\u202egpj.exe"), "\u202e")
}

func BenchmarkPaint(b *testing.B) {
	text := []byte(strings.Repeat("\x1b[32mok\x1b[0m  \tgithub.com/rondo-ci/rondo/ci/web\t0.012s with <some> text\n", 1000))
	b.SetBytes(int64(len(text)))
	var out bytes.Buffer
	for b.Loop() {
		out.Reset()
		var p pen
		p.paint(&out, text)
	}
}
