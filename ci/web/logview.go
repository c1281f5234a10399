package web

import (
	"bufio"
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

// How much of an output one answer shows.
const (
	viewLines = 500
	viewBytes = 1 << 20
)

// A logView is a range of the lines of a step's output.
type logView struct {
	Job      ci.Job
	JobPath  string
	Step     ci.Step
	Steps    []ci.Step // of the task, to choose from
	Path     string    // of the view, with the step, without a line
	Search   string    // where a search is sent
	More     string    // where further lines are asked for
	Raw      string
	Node     int
	Epoch    int64
	Rows     []lineRow
	Total    int64
	Size     int64
	Marked   int64 // the line that the address names; 0 is none
	Earlier  int64 // the line at which the page before begins; 0 is none
	Later    int64 // the same of the page behind
	LastPage int64
}

// A lineRow is a line of output. Lines count from 1.
type lineRow struct {
	Number int64
	HTML   template.HTML
	Rest   int64 // bytes that are left out at its end
	Marked bool
}

// Wanted is what the field for a search holds.
func (logView) Wanted() string { return "" }

// viewLog serves the output of a step by lines.
func (s *site) viewLog(w http.ResponseWriter, r *http.Request, at jobPlace) error {
	ctx, f := r.Context(), r.URL.Query()
	key, err := stepKey(r, at)
	if err != nil {
		return err
	}
	p, err := s.read.Pipeline(ctx, at.workflow.Pipeline)
	if err != nil {
		return err
	}
	v := logView{Job: at.job, JobPath: JobPath(at.project, at.job.Number), Node: at.node, Epoch: at.epoch}
	if v.Steps, err = s.read.Steps(ctx, at.task(), at.epoch); err != nil {
		return err
	}
	for _, step := range v.Steps {
		if step.Index == key.Step {
			v.Step = step
		}
	}
	if v.Step.Name == "" {
		return fmt.Errorf("step %d: %w", key.Step, ci.ErrNotFound)
	}
	if v.Size, err = s.cfg.Logs.Size(ctx, key); err != nil && !errors.Is(err, ci.ErrNotFound) {
		return err
	}
	if v.Total, err = s.lineCount(ctx, key); err != nil {
		return err
	}
	first := int64(1)
	if f.Get("line") != "" {
		if v.Marked, err = strconv.ParseInt(f.Get("line"), 10, 64); err != nil || v.Marked < 1 || v.Marked > max(v.Total, 1) {
			return fmt.Errorf("go to line: this step has %d lines, and %.40q is none of them: %w", v.Total, f.Get("line"), ci.ErrInvalid)
		}
		first = max(v.Marked-20, 1)
	}
	if f.Get("from") != "" {
		if first, err = strconv.ParseInt(f.Get("from"), 10, 64); err != nil {
			return fmt.Errorf("line %.40q: %w", f.Get("from"), ci.ErrInvalid)
		}
		first = min(max(first, 1), max(v.Total, 1))
	}
	if v.Rows, err = s.logLines(ctx, key, first, viewLines); err != nil {
		return err
	}
	v.page(at, key, first)
	return s.render(w, r, http.StatusOK, "view", view{
		Title: show(v.Step.Name) + " · " + show(at.job.Name) + " #" + itoa(at.job.Number), Status: v.Step.Status, Body: v,
		Crumbs: s.jobCrumbs(at, p, crumb{show(at.job.Name), v.JobPath}, crumb{show(v.Step.Name), ""}),
	})
}

// page fills in the addresses around the rows.
func (v *logView) page(at jobPlace, key ci.LogKey, first int64) {
	f := url.Values{"node": {strconv.Itoa(at.node)}, "epoch": {itoa(at.epoch)}}
	v.Search = v.JobPath + "/search"
	f.Set("step", strconv.Itoa(key.Step))
	v.Path, v.More, v.Raw = v.JobPath+"/view?"+f.Encode(), v.JobPath+"/lines?"+f.Encode(), v.JobPath+"/log?"+f.Encode()
	for i := range v.Rows {
		v.Rows[i].Marked = v.Rows[i].Number == v.Marked
	}
	if first > 1 {
		v.Earlier = max(first-viewLines, 1)
	}
	if next := first + int64(len(v.Rows)); next <= v.Total {
		v.Later = next
		v.LastPage = max(v.Total-viewLines+1, 1)
	}
}

// moreLines serves a range of lines as HTML, for the script to put on the
// page. Rondo-Log-Lines is how many there are in all.
func (s *site) moreLines(w http.ResponseWriter, r *http.Request, at jobPlace) error {
	key, err := stepKey(r, at)
	if err != nil {
		return err
	}
	f := r.URL.Query()
	first, err := strconv.ParseInt(f.Get("from"), 10, 64)
	n, errN := strconv.ParseInt(f.Get("n"), 10, 64)
	if err != nil || errN != nil || first < 1 || n < 1 {
		return fmt.Errorf("read lines: say from which line, and how many: %w", ci.ErrInvalid)
	}
	total, err := s.lineCount(r.Context(), key)
	if err != nil {
		return err
	}
	rows, err := s.logLines(r.Context(), key, first, min(n, viewLines))
	if err != nil {
		return err
	}
	html, err := s.fragment("view", "lines", logView{Rows: rows})
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Rondo-Log-Lines", itoa(total))
	out := steadily(w)
	defer out.close()
	_, _ = io.WriteString(out, html) // nobody is left to tell
	return nil
}

// logLines reads at most n lines, beginning with the given one, and fewer if
// they are long. The output up to there has been looked through.
func (s *site) logLines(ctx context.Context, key ci.LogKey, first, n int64) ([]lineRow, error) {
	line, offset := s.lines.of(key).before(first - 1)
	size, err := s.cfg.Logs.Size(ctx, key)
	if err != nil || offset >= size {
		if errors.Is(err, ci.ErrNotFound) {
			err = nil
		}
		return nil, err
	}
	var pen pen
	look := max(offset-lookBack, 0)
	before, err := s.readLog(ctx, key, look, offset)
	if err != nil {
		return nil, err
	}
	pen.skip(before)
	from, err := s.cfg.Logs.Read(ctx, key, offset)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	r := bufio.NewReaderSize(from, longestPiece)
	var rows []lineRow
	for bytesOut := 0; int64(len(rows)) < n && bytesOut < viewBytes; line++ {
		text, rest, err := nextLine(r)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read output of task %s step %d: %w", key.Task, key.Step, err)
		}
		if line < first-1 {
			pen.skip(text)
			continue
		}
		var html bytes.Buffer
		pen.piece(&html, text)
		pen.mid = false
		bytesOut += html.Len()
		rows = append(rows, lineRow{Number: line + 1, HTML: template.HTML(strings.TrimSuffix(html.String(), "\n")), Rest: rest})
	}
	return rows, nil
}

// nextLine returns the next line, at most longestPiece of it, and how many bytes
// of it were dropped. io.EOF says that there is none.
func nextLine(r *bufio.Reader) (text []byte, rest int64, err error) {
	text, err = r.ReadSlice('\n')
	text = bytes.Clone(text)
	if err == bufio.ErrBufferFull {
		text = text[:len(text)-partialRune(text)]
		for err == bufio.ErrBufferFull {
			var more []byte
			more, err = r.ReadSlice('\n')
			rest += int64(len(more))
		}
	}
	if err == io.EOF && len(text) > 0 {
		err = nil
	}
	return text, rest, err
}
