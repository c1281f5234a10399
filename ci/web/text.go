package web

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
)

// visible returns how a character that must not act is shown instead; "" means
// that it may stand for itself. Line feed and tab are the caller's to decide.
func visible(r rune) string {
	switch {
	case r < ' ':
		return "^" + string('@'+r)
	case r == 0x7f:
		return "^?"
	case r >= 0x80 && r <= 0x9f:
		return fmt.Sprintf("\\x%02x", r)
	case r == 0x061c, r == 0x200b, r == 0x200e, r == 0x200f, r >= 0x2028 && r <= 0x202e,
		r >= 0x2060 && r <= 0x206f, r == 0xfeff, r >= 0xfff9 && r <= 0xfffb, r >= 0xe0000 && r <= 0xe007f:
		return fmt.Sprintf("U+%04X", r) // turns the direction, or is nothing to see
	}
	return ""
}

// writeRune writes a character of output as HTML.
func writeRune(dst *bytes.Buffer, r rune) {
	switch r {
	case '<':
		dst.WriteString("&lt;")
	case '>':
		dst.WriteString("&gt;")
	case '&':
		dst.WriteString("&amp;")
	case '"':
		dst.WriteString("&#34;")
	case '\'':
		dst.WriteString("&#39;")
	default:
		if v := visible(r); v != "" {
			dst.WriteString("<i>" + v + "</i>")
		} else {
			dst.WriteRune(r)
		}
	}
}

// show returns one line of text from elsewhere (a branch, a name, a subject)
// such that it can neither break the line nor turn its direction, and is no
// longer than most of a screen.
func show(v any) string { return clean(fmt.Sprint(v), 300, false) }

// prose is show for text of several lines.
func prose(v any) string { return clean(fmt.Sprint(v), 8<<10, true) }

// clean makes characters that must not act visible and shortens the text to
// limit bytes.
func clean(s string, limit int, lines bool) string {
	short := false
	if len(s) > limit {
		s, short = strings.ToValidUTF8(s[:limit], ""), true
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, string(utf8.RuneError)) {
		if r == '\t' || lines && r == '\n' {
			b.WriteRune(r)
			continue
		}
		if lines && r == '\r' {
			continue
		}
		if v := visible(r); v != "" {
			b.WriteString(v)
			continue
		}
		b.WriteRune(r)
	}
	if short {
		b.WriteString("…")
	}
	return b.String()
}

// shorten returns at most n characters of s, with a mark when some are left
// out.
func shorten(n int, s string) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// short returns the beginning of a revision.
func short(revision string) string { return show(revision[:min(len(revision), 8)]) }

// duration returns a length of time in two units at most.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", math.Floor(d.Seconds()*10)/10)
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm %02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd %dh", int(d.Hours())/24, int(d.Hours())%24)
}

// seconds is duration for the run time of a test, which may be anything.
func seconds(s float64) string {
	switch {
	case math.IsNaN(s), s < 0, s > 1e8:
		return "–"
	case s < 1:
		return fmt.Sprintf("%d ms", int(math.Round(s*1000)))
	}
	return duration(time.Duration(s * float64(time.Second)))
}

// size returns a number of bytes for people.
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// ref returns the branch or tag of a trigger.
func ref(t ci.Trigger) string {
	if t.Tag != "" {
		return show(t.Tag)
	}
	return show(t.Branch)
}
