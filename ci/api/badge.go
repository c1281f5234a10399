package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A standing is how a branch stands.
type standing struct {
	status  ci.Status // Success, Failed, InfraFailed, Running, or "" without builds
	running bool      // something runs
	last    ci.Status // the newest that is not Running
	number  int64     // the newest build of what last is about
	ended   time.Time // when that ended
}

// standingLook is how many pipelines back a telling one is looked for: one that
// was canceled or ran nothing says nothing of the code.
const standingLook = 20

// standing looks at the newest pipelines of a branch. Those of forks do not
// count, whatever their branch is called.
func (c *call) standing(p ci.Project, branch string) (s standing, err error) {
	q := ci.Query{Project: p.ID, Branch: branch}
	for _, q.Limit = range []int{2, standingLook - 2} { // mostly the newest tells
		pipelines, err := c.batch(q)
		if err != nil {
			return s, err
		}
		for _, line := range pipelines {
			q.Before = line.ID
			if line.Trigger.Fork != "" {
				continue
			}
			all, err := c.read.Workflows(c.r.Context(), line.ID)
			if err != nil {
				return s, err
			}
			one := sum(line, all)
			s.running = s.running || one.running
			if s.status == "" {
				s.status = one.status
			}
			if one.status != "" && one.status != ci.Running {
				s.last, s.number, s.ended = one.status, one.number, one.ended
				return s, nil
			}
		}
		if len(pipelines) < q.Limit {
			break
		}
	}
	return s, nil
}

// sum says how the workflows of one pipeline stand; of a workflow and its
// reruns, the newest counts. A status of "" says nothing.
func sum(p ci.Pipeline, all []ci.Workflow) (s standing) {
	newest := map[string]*ci.Workflow{}
	for i := range all {
		newest[all[i].Name] = &all[i]
	}
	good := false
	worst := func(status ci.Status) {
		if s.status != ci.Failed {
			s.status = status
		}
	}
	for _, w := range newest {
		s.running = s.running || w.Status == ci.Running || w.Status == ci.Failing
		good = good || w.Status == ci.Success || w.Status == ci.OnHold
		infra := w.Status == ci.Failed
		for i := range w.Jobs {
			s.number = max(s.number, w.Jobs[i].Number)
			infra = infra && w.Jobs[i].Status != ci.Failed && w.Jobs[i].Status != ci.TimedOut
		}
		switch {
		case infra:
			worst(ci.InfraFailed)
		case w.Status.Bad() || w.Status == ci.Failing:
			worst(ci.Failed)
		}
		if w.Stopped.After(s.ended) {
			s.ended = w.Stopped
		}
	}
	switch {
	case p.State == ci.PipelineError:
		s.status, s.ended = ci.Failed, p.Updated
	case s.status == "" && s.running:
		s.status = ci.Running
	case s.status == "" && good:
		s.status = ci.Success
	}
	return s
}

// badge draws how a branch stands.
func (c *call) badge(branch string) (any, error) {
	p, err := c.project(false)
	if err != nil {
		return nil, err
	}
	if branch == "" {
		branch = p.DefaultBranch
	}
	s, err := c.standing(p, branch)
	if err != nil {
		return nil, err
	}
	svg := drawBadge(s.status, c.r.URL.Query().Get("style") == "shield")
	sum := sha256.Sum256(svg)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	h := c.w.Header()
	h.Set("Content-Type", "image/svg+xml; charset=utf-8")
	// Proxies of code hosts must ask each time, and learn quickly that nothing
	// has changed.
	h.Set("Cache-Control", "no-cache, private")
	h.Set("ETag", tag)
	if strings.Contains(c.r.Header.Get("If-None-Match"), tag) {
		c.w.WriteHeader(http.StatusNotModified)
		return written, nil
	}
	h.Set("Content-Length", strconv.Itoa(len(svg)))
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(svg)
	return written, nil
}

// A look is how a badge says a status.
type look struct{ word, short, color string }

var (
	looks = map[ci.Status]look{
		ci.Success:     {"PASSED", "passing", "#2f8f4e"},
		ci.Failed:      {"FAILED", "failing", "#c9372c"},
		ci.InfraFailed: {"FAILED", "failing", "#c9372c"},
		ci.Running:     {"RUNNING", "running", "#1f6fb2"},
	}
	noBuilds = look{"NO BUILDS", "no builds", "#6b6b6b"}
)

// drawBadge draws a badge: a name and a word on two fields. A browser fits the
// text to the fields, whichever fonts it has.
func drawBadge(s ci.Status, shield bool) []byte {
	l, ok := looks[s]
	if !ok {
		l = noBuilds
	}
	name, word, unit, height, round := "RONDO", l.word, 9, 24, 4
	if shield {
		name, word, unit, height, round = "build", l.short, 7, 20, 3
	}
	left, right := len(name)*unit+12, len(word)*unit+12
	text := func(middle, width int, s string) string {
		return fmt.Sprintf(`<text x="%d" y="%d" textLength="%d" lengthAdjust="spacingAndGlyphs">%s</text>`,
			middle, height/2+4, width, escapeXML(s))
	}
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" role="img" aria-label="%[3]s: %[4]s">`+
		`<title>%[3]s: %[4]s</title>`+
		`<clipPath id="r"><rect width="%[1]d" height="%[2]d" rx="%[5]d"/></clipPath>`+
		`<g clip-path="url(#r)"><rect width="%[6]d" height="%[2]d" fill="#3a3a3a"/>`+
		`<rect x="%[6]d" width="%[7]d" height="%[2]d" fill="%[8]s"/></g>`+
		`<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">%[9]s%[10]s</g></svg>`,
		left+right, height, escapeXML(name), escapeXML(word), round, left, right, l.color,
		text(left/2, left-12, name), text(left+right/2, right-12, word))
}

// escapeXML returns text for XML. What XML cannot say becomes U+FFFD.
func escapeXML(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
