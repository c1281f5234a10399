package web_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
)

var lineNumbers = regexp.MustCompile(`data-line="(\d+)"`)

// running returns a job whose only step has printed and goes on.
func (w *world) running(text string) (page string, l ci.Lease) {
	w.t.Helper()
	_, flows := w.run()
	j := w.job(flows[0].ID, "a")
	l = w.claim(flows[0].ID, j.ID.Task(0))
	w.step(l, ci.Step{Kind: ci.StepRun, Name: "print", Status: ci.Running})
	w.print(l, 0, text)
	return web.JobPath(w.project, j.Number), l
}

// numbers returns the first and the last line of a page of lines.
func numbers(t *testing.T, body string) (first, last string) {
	t.Helper()
	all := lineNumbers.FindAllStringSubmatch(body, -1)
	require.NotEmpty(t, all)
	return all[0][1], all[len(all)-1][1]
}

// Ask 18: a line of an output of any size is found by its number, in its
// colours, and what stands around it can be reached.
func TestLogView_Lines(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	var text strings.Builder
	for i := 1; i <= 5000; i++ {
		if i == 3900 {
			text.WriteString("\x1b[31m")
		}
		fmt.Fprintf(&text, "line number %d\n", i)
	}
	text.WriteString("\x1b[0m10%\r<b>100%</b>") // no line feed
	page, l := w.running(text.String())
	h := w.handler()
	_, body := get(t, h, page+"/view?step=0")
	first, last := numbers(t, body)
	require.Equal(t, "1 500", first+" "+last)
	require.Contains(t, body, "5 001 lines")
	_, body = get(t, h, page+"/view?step=0&line=4000")
	first, last = numbers(t, body)
	require.Equal(t, "3980 4479", first+" "+last)
	require.Contains(t, body, `<div class="l marked" id="L4000"><a href="#L4000" class="ln" aria-label="Line 4000" data-line="4000"></a><span><span class="f1">line number 4000</span></span></div>`)
	require.Contains(t, body, "from=3480")
	require.Contains(t, body, "from=4480")
	_, body = get(t, h, page+"/view?step=0&from=999999")
	first, last = numbers(t, body)
	require.Equal(t, "5001 5001", first+" "+last)
	require.Contains(t, body, "<span>&lt;b&gt;100%&lt;/b&gt;</span>")

	res, body := get(t, h, page+"/view?step=0&line=6000")
	require.Equal(t, 400, res.StatusCode)
	require.Contains(t, body, "this step has 5001 lines")
	for _, bad := range []string{"/view?step=7", "/view", "/lines?step=7&from=1&n=1", "/view?step=0&epoch=9"} {
		res, _ = get(t, h, page+bad)
		require.Contains(t, []int{200, 404}, res.StatusCode, bad)
	}
	res, body = get(t, h, page+"/lines?step=0&from=2000&n=3")
	require.Equal(t, "5001", res.Header.Get("Rondo-Log-Lines"))
	first, last = numbers(t, body)
	require.Equal(t, "2000 2002", first+" "+last)
	for _, bad := range []string{"from=0&n=1", "from=x&n=1", "from=1&n=0", "from=1"} {
		res, _ = get(t, h, page+"/lines?step=0&"+bad)
		require.Equal(t, 400, res.StatusCode, bad)
	}
	w.print(l, 0, "\nmore\n")
	res, _ = get(t, h, page+"/lines?step=0&from=5002&n=3")
	require.Equal(t, "5002", res.Header.Get("Rondo-Log-Lines"), "what is printed later counts, too")
}

// A line that is longer than a screen is cut, and says so; the lines behind it
// keep their numbers.
func TestLogView_LongLines(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	page, _ := w.aStep("a\n" + strings.Repeat("x", 3_000_000) + "\nlast\n")
	_, body := get(t, w.handler(), page+"/view?step=0")
	require.Less(t, len(body), 100_000)
	require.Contains(t, body, "and 3.0 MB more")
	require.Contains(t, body, `data-line="3"></a><span>last</span>`)
}

// Whatever is printed in whatever portions, the index finds the same lines as
// somebody who reads all.
func TestLogView_EveryLine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, flow(build("a")))
		var all strings.Builder
		page, l := w.running("")
		h := w.handler()
		for range rapid.IntRange(1, 4).Draw(rt, "portions") {
			line := strings.Repeat("y", rapid.IntRange(0, 90).Draw(rt, "length"))
			text := strings.Repeat(line+"\n", rapid.IntRange(0, 1500).Draw(rt, "lines")) + rapid.SampledFrom([]string{"", "open", "\n"}).Draw(rt, "end")
			w.print(l, 0, text)
			all.WriteString(text)
			lines := strings.SplitAfter(all.String(), "\n")
			if lines[len(lines)-1] == "" {
				lines = lines[:len(lines)-1]
			}
			if len(lines) == 0 {
				continue
			}
			n := rapid.IntRange(1, len(lines)).Draw(rt, "line")
			res, body := get(t, h, fmt.Sprintf("%s/lines?step=0&from=%d&n=1", page, n))
			require.Equal(t, fmt.Sprint(len(lines)), res.Header.Get("Rondo-Log-Lines"))
			require.Contains(t, body, fmt.Sprintf(`data-line="%d"></a><span>%s</span>`, n, strings.TrimSuffix(lines[n-1], "\n")))
		}
	})
}

func TestSearchLog(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	page, l := w.running("begin\n\x1b[1mFa\x1b[31mil\x1b[0med: <b>\nfailed twice failed\n" + strings.Repeat("quiet\n", 100_000) + "at last it FAILED")
	w.step(l, ci.Step{Index: 1, Kind: ci.StepRun, Name: "second", Status: ci.Running})
	w.print(l, 1, strings.Repeat("failed again\n", 300))
	h := w.handler()
	found := func(path string) (string, []string) {
		_, body := get(t, h, path)
		var lines []string
		for _, m := range regexp.MustCompile(`<span class="hit-line">(\d+)</span>`).FindAllStringSubmatch(body, -1) {
			lines = append(lines, m[1])
		}
		return body, lines
	}
	body, lines := found(page + "/search?q=failed")
	require.Equal(t, []string{"2", "3", "100004", "1"}, lines[:4])
	require.Len(t, lines, 200)
	require.Contains(t, body, "<code><mark>Failed</mark>: &lt;b&gt;</code>", "over a change of colours, in either case, as text")
	require.Contains(t, body, "&amp;step=0&amp;line=2#L2", "to the line")
	next := regexp.MustCompile(`href="([^"]+)" rel="next"`).FindStringSubmatch(body)
	require.NotNil(t, next)
	_, lines = found(unescape(next[1]))
	require.Equal(t, "198", lines[0])
	require.Len(t, lines, 103)
	body, lines = found(page + "/search?q=" + url.QueryEscape("<script>alert(1)</script>"))
	require.Empty(t, lines)
	require.Contains(t, body, "No line of 604.0 kB holds “&lt;script&gt;")
	for _, bad := range []string{"?q=" + strings.Repeat("x", 201), "?q=x&after=1", "?q=x&after=-1.2"} {
		res, _ := get(t, h, page+"/search"+bad)
		require.Equal(t, 400, res.StatusCode, bad)
	}
	res, _ := get(t, h, page+"/search")
	require.Equal(t, 200, res.StatusCode)
}

// A search finds what a reader would find, wherever blocks end.
func TestSearchLog_Everywhere(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	page, l := w.running("")
	var text strings.Builder
	var want []string
	for i := 1; text.Len() < 900_000; i++ {
		line := strings.Repeat("n", i*37%900)
		if i%29 == 0 {
			line += "NeedLe" + line
			want = append(want, fmt.Sprint(i))
		}
		text.WriteString(line + "\n")
	}
	w.print(l, 0, text.String()+strings.Repeat("z", 600_000)+"needle")
	_, body := get(t, w.handler(), page+"/search?q=needle")
	var lines []string
	for _, m := range regexp.MustCompile(`<span class="hit-line">(\d+)</span>`).FindAllStringSubmatch(body, -1) {
		lines = append(lines, m[1])
	}
	require.Equal(t, append(want, fmt.Sprint(strings.Count(text.String(), "\n")+1)), lines)
}
