package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

//go:embed pages
var pageFiles embed.FS

// A view is what every page has.
type view struct {
	Title  string
	Status ci.Status // of what the page is about; "" is nothing
	Crumbs []crumb
	// Live is the address of the page's events; "" is a page that does not
	// change any more.
	Live string
	// Refresh is after how many seconds the page is asked for again although
	// no event came, since something on it changes without; 0 is never.
	Refresh int
	// Tabs are the views of what the page belongs to.
	Tabs []link
	Body any

	Nav                  []link // set by render, like what follows
	Site, Version, Actor string
	Symbol               string
	Account              bool // the actor has a page
}

// pageNames are the pages, each with the files that it needs besides its own.
var pageNames = map[string][]string{
	"home": nil, "project": nil, "projects": nil, "pipeline": nil, "workflow": nil, "job": nil, "problem": nil,
	"view": nil, "search": nil, "test": {"chart"}, "account": {"tokens"}, "orgs": nil, "org": nil, "queue": nil, "nodes": nil, "audit": nil, "users": nil, "directory": nil, "migrate": nil, "installation": nil, "machines": nil, "insights": {"chart"},
	"context":  {"variables"},
	"settings": {"variables", "advanced", "keys", "schedules", "webhooks", "tokens", "badges"},
}

// loadPages parses the templates: each page with the layout around it.
func loadPages(assets map[string]asset) map[string]*template.Template {
	funcs := template.FuncMap{
		"show": show, "prose": prose, "short": short, "ref": ref, "size": size, "seconds": seconds,
		"shorten": shorten, "bad": bad, "look": lookOf, "clock": clockOf, "stamp": stamp,
		"project": ProjectPath, "pipeline": PipelinePath, "workflow": WorkflowPath, "job": JobPath,
		"asset": func(name string) string { return "/assets/" + name + "?v=" + assets[name].version },
		"add":   func(a, b int) int { return a + b },
		"org":   OrgPath, "settings": settingsPath, "confirm": newConfirm, "sentence": sentence, "lower": strings.ToLower,
		"percent": percent, "length": duration, "context": contextPath, "insights": InsightsPath,
		"plural64": func(n int64, one, many string) string {
			if n == 1 {
				return "1 " + one
			}
			return grouped(n) + " " + many
		},
		"plural": func(n int, one, many string) string {
			if n == 1 {
				return "1 " + one
			}
			return strconv.Itoa(n) + " " + many
		},
	}
	shared := template.Must(template.New("").Funcs(funcs).ParseFS(pageFiles, "pages/layout.html", "pages/shared.html"))
	pages := make(map[string]*template.Template)
	for name, more := range pageNames {
		t := template.Must(shared.Clone())
		for _, file := range append([]string{name}, more...) {
			t = template.Must(t.ParseFS(pageFiles, "pages/"+file+".html"))
		}
		pages[name] = t
	}
	return pages
}

// render answers with a page. It is written only when it is whole, so an error
// can still become a page of its own.
func (s *site) render(w http.ResponseWriter, r *http.Request, code int, name string, v view) error {
	v.Nav, v.Account = s.nav(r.URL.Path), s.cfg.Chapters.Account.List != nil
	v.Site, v.Version, v.Actor = show(s.cfg.Title), show(s.cfg.Version), show(actorOf(r).Login)
	if v.Status != "" {
		v.Symbol = lookOf(v.Status).Symbol
	}
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, "layout", v); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		out := steadily(w)
		defer out.close()
		_, _ = out.Write(b.Bytes()) // nobody is left to tell
	}
	return nil
}

// fragment renders one template of a page.
func (s *site) fragment(page, name string, data any) (string, error) {
	var b bytes.Buffer
	if err := s.pages[page].ExecuteTemplate(&b, name, data); err != nil {
		return "", fmt.Errorf("render %s: %w", name, err)
	}
	return b.String(), nil
}

// grouped returns a number with its thousands apart.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + " " + text[i:]
	}
	return text
}

// stamp returns a point in time as an element that says it in full; the script
// makes it short.
func stamp(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`,
		t.Format(time.RFC3339), t.Format("2006-01-02 15:04:05 UTC"), t.Format("2006-01-02 15:04 UTC")))
}
