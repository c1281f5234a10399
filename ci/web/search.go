package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// What a search is bound to.
const (
	searchHits  = 200
	searchWords = 200 // bytes of what is looked for
	hitBytes    = 300 // of a line that are shown
)

// A searchBody is what the page of a search shows.
type searchBody struct {
	Job     ci.Job
	JobPath string
	Node    int
	Epoch   int64
	Query   string
	Hits    []searchHit
	Next    string // address of the further hits; "" is that there are no more
	Bytes   int64  // that were looked through
}

// Wanted is what the field for a search holds.
func (b searchBody) Wanted() string { return b.Query }

// A searchHit is a line that holds what was looked for.
type searchHit struct {
	Step ci.Step
	Line int64
	Text template.HTML
	Path string
}

// A scan looks for a text in the output of one step.
type scan struct {
	want   []byte // in lower case
	line   int64  // line feeds before at
	last   int64  // the line of the newest hit
	hits   func(line int64, text []byte, from int) bool
	looked int64
}

// searchLog serves the lines of a task's output that hold a text. Letters of
// ASCII are the same in either case. Output is read as a stream and never
// held; the search ends after searchHits lines and can be gone on with.
func (s *site) searchLog(w http.ResponseWriter, r *http.Request, at jobPlace) error {
	ctx, f := r.Context(), r.URL.Query()
	p, err := s.read.Pipeline(ctx, at.workflow.Pipeline)
	if err != nil {
		return err
	}
	b := searchBody{Job: at.job, JobPath: JobPath(at.project, at.job.Number), Node: at.node, Epoch: at.epoch, Query: f.Get("q")}
	if len(b.Query) > searchWords {
		return fmt.Errorf("search output: %d bytes are more than %d: %w", len(b.Query), searchWords, ci.ErrInvalid)
	}
	if b.Query != "" && at.epoch > 0 {
		if err := s.search(ctx, &b, at, f); err != nil {
			return err
		}
	}
	return s.render(w, r, http.StatusOK, "search", view{
		Title: "Search · " + show(at.job.Name) + " #" + itoa(at.job.Number), Body: b,
		Crumbs: s.jobCrumbs(at, p, crumb{show(at.job.Name), b.JobPath}, crumb{"Search", ""}),
	})
}

func (s *site) search(ctx context.Context, b *searchBody, at jobPlace, f url.Values) error {
	steps, err := s.read.Steps(ctx, at.task(), at.epoch)
	if err != nil {
		return err
	}
	afterStep, afterLine, err := parsePlace(f.Get("after"))
	if err != nil {
		return err
	}
	leave, err := s.look(ctx)
	if err != nil {
		return err
	}
	defer leave()
	where := url.Values{"node": {strconv.Itoa(at.node)}, "epoch": {itoa(at.epoch)}}
	for _, step := range steps {
		if step.Index < afterStep {
			continue
		}
		skip := int64(0)
		if step.Index == afterStep {
			skip = afterLine
		}
		where.Set("step", strconv.Itoa(step.Index))
		sc := scan{want: lower(b.Query)}
		sc.hits = func(line int64, text []byte, from int) bool {
			if line <= skip {
				return true
			}
			if len(b.Hits) == searchHits {
				last := b.Hits[searchHits-1]
				b.Next = b.JobPath + "/search?" + url.Values{
					"q": {b.Query}, "node": where["node"], "epoch": where["epoch"],
					"after": {strconv.Itoa(last.Step.Index) + "." + itoa(last.Line)},
				}.Encode()
				return false
			}
			b.Hits = append(b.Hits, searchHit{
				Step: step, Line: line, Text: hitText(text, from, len(b.Query)),
				Path: b.JobPath + "/view?" + where.Encode() + "&line=" + itoa(line) + "#L" + itoa(line),
			})
			return true
		}
		more, err := sc.output(ctx, s.cfg.Logs, at.logKey(step.Index))
		b.Bytes += sc.looked
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
	return nil
}

// parsePlace reads "step.line"; "" is the beginning.
func parsePlace(text string) (step int, line int64, err error) {
	if text == "" {
		return 0, 0, nil
	}
	a, b, _ := strings.Cut(text, ".")
	step, errA := strconv.Atoi(a)
	line, errB := strconv.ParseInt(b, 10, 64)
	if errA != nil || errB != nil || step < 0 || line < 0 {
		return 0, 0, fmt.Errorf("search output: %.40q is not a place: %w", text, ci.ErrInvalid)
	}
	return step, line, nil
}

// output looks through a step's output. more is false when enough was found.
func (sc *scan) output(ctx context.Context, logs ci.LogReader, key ci.LogKey) (more bool, err error) {
	size, err := logs.Size(ctx, key)
	if errors.Is(err, ci.ErrNotFound) || err == nil && size == 0 {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	r, err := logs.Read(ctx, key, 0)
	if err != nil {
		return false, err
	}
	defer r.Close()
	from := io.LimitReader(r, size)
	buf := make([]byte, scanBytes)
	kept := 0 // bytes of a line that is not whole
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, err := from.Read(buf[kept:])
		sc.looked += int64(n)
		b := buf[:kept+n]
		whole := bytes.LastIndexByte(b, '\n') + 1
		switch {
		case err == io.EOF:
			return sc.lines(b), nil
		case err != nil:
			return false, err
		case whole == 0 && len(b) == len(buf): // a line longer than that is looked through in pieces
			if !sc.lines(b) {
				return false, nil
			}
			kept = copy(buf, b[len(b)-len(sc.want)-longestEscape:])
			continue
		}
		if !sc.lines(b[:whole]) {
			return false, nil
		}
		kept = copy(buf, b[whole:])
	}
}

// lines looks through whole lines. Colours are no part of a line's text.
func (sc *scan) lines(b []byte) bool {
	if bytes.IndexByte(b, 0x1b) < 0 {
		return sc.plain(b)
	}
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n') + 1
		line := b
		if end > 0 {
			line = b[:end]
		}
		text := line
		if bytes.IndexByte(line, 0x1b) >= 0 {
			text = withoutColours(line)
		}
		if i := indexFold(text, sc.want); i >= 0 && !sc.hit(sc.line+1, text, i) {
			return false
		}
		if end == 0 {
			return true
		}
		sc.line++
		b = b[end:]
	}
	return true
}

// plain looks through lines without colours, all at once.
func (sc *scan) plain(b []byte) bool {
	for {
		i := indexFold(b, sc.want)
		if i < 0 {
			break
		}
		begin := bytes.LastIndexByte(b[:i], '\n') + 1
		sc.line += int64(bytes.Count(b[:begin], []byte{'\n'}))
		b, i = b[begin:], i-begin
		end := bytes.IndexByte(b[i:], '\n')
		line := b
		if end >= 0 {
			line = b[:i+end+1]
		}
		if !sc.hit(sc.line+1, line, i) {
			return false
		}
		if end < 0 {
			return true
		}
		sc.line++
		b = b[i+end+1:]
	}
	sc.line += int64(bytes.Count(b, []byte{'\n'}))
	return true
}

// hit tells of a line once, in however many pieces it came.
func (sc *scan) hit(line int64, text []byte, from int) bool {
	if line == sc.last {
		return true
	}
	sc.last = line
	return sc.hits(line, text, from)
}

// indexFold returns where want, which is in lower case, stands in b, letters of
// ASCII being the same in either case; -1 is nowhere.
func indexFold(b, want []byte) int {
	first := want[0]
	letter := first >= 'a' && first <= 'z'
	for i := 0; i+len(want) <= len(b); i++ {
		if letter && b[i]|0x20 != first {
			continue
		}
		if !letter {
			n := bytes.IndexByte(b[i:len(b)-len(want)+1], first)
			if n < 0 {
				return -1
			}
			i += n
		}
		if sameFold(b[i:i+len(want)], want) {
			return i
		}
	}
	return -1
}

// lower returns the text with the capitals of ASCII made small.
func lower(text string) []byte {
	b := []byte(text)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] |= 0x20
		}
	}
	return b
}

func sameFold(b, lower []byte) bool {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// withoutColours returns a line without its colours and attributes. Other
// control sequences are text, here as on the page.
func withoutColours(line []byte) []byte {
	out := make([]byte, 0, len(line))
	for len(line) > 0 {
		i := bytes.IndexByte(line, 0x1b)
		if i < 0 {
			return append(out, line...)
		}
		out = append(out, line[:i]...)
		seq, n := sequence(line[i:])
		if n == 0 || seq[len(seq)-1] != 'm' && seq[len(seq)-1] != 'K' {
			out = append(out, line[i])
			n = 1
		}
		line = line[i+n:]
	}
	return out
}

// hitText returns the part of a line around what was found, which is marked.
func hitText(line []byte, from, n int) template.HTML {
	begin := max(from-hitBytes/3, 0)
	end := min(begin+hitBytes, len(line))
	var out bytes.Buffer
	if begin > 0 {
		out.WriteString("…")
	}
	part := func(b []byte) {
		out.WriteString(template.HTMLEscapeString(clean(strings.TrimRight(string(b), "\r\n"), hitBytes, false)))
	}
	part(line[begin:from])
	out.WriteString("<mark>")
	part(line[from:min(from+n, end)])
	out.WriteString("</mark>")
	part(line[min(from+n, end):end])
	if end < len(bytes.TrimRight(line, "\r\n")) {
		out.WriteString("…")
	}
	return template.HTML(out.String())
}
