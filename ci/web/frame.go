package web

import (
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A crumb is a step of the way to the page.
type crumb struct{ Text, Path string }

// A link is an entry of a navigation.
type link struct {
	Text, Path string
	Here       bool // it leads to where the reader is
}

// nav returns the entries at the head of every page.
func (s *site) nav(path string) []link {
	links := []link{{Text: "Pipelines", Path: "/"}, {Text: "Projects", Path: "/projects"}}
	if s.cfg.Chapters.Contexts != nil {
		links = append(links, link{Text: "Organisations", Path: "/orgs"})
	}
	if s.cfg.Queue.Waiting != nil {
		links = append(links, link{Text: "Queue", Path: "/queue"})
	}
	if s.cfg.Queue.Operations != nil {
		links = append(links, link{Text: "Nodes", Path: "/nodes"})
	}
	if s.cfg.Queue.Machines.View != nil {
		links = append(links, link{Text: "Machines", Path: "/admin/machines"})
	}
	if s.cfg.Chapters.Audit != nil {
		links = append(links, link{Text: "Audit log", Path: "/audit"})
	}
	below := map[string]string{
		"/pipelines/": "/", "/workflows/": "/", "/jobs/": "/",
		"/projects/": "/projects", "/settings/": "/projects", "/insights/": "/projects",
		"/orgs/": "/orgs", "/contexts/": "/orgs", "/nodes/": "/nodes",
	}
	for prefix, of := range below {
		if strings.HasPrefix(path, prefix) {
			path = of
		}
	}
	for i := range links {
		links[i].Here = links[i].Path == path
	}
	return links
}

// crumbs returns the way to a page of a project; the last step is the page.
func (s *site) crumbs(p ci.Project, more ...crumb) []crumb {
	var way []crumb
	if org := p.OrgSlug(); org != "" && s.cfg.Chapters.Contexts != nil {
		way = append(way, crumb{show(org), OrgPath(org)})
		way = append(way, crumb{show(p.Slug[len(org)+1:]), ProjectPath(p)})
	} else {
		way = append(way, crumb{show(p.Slug), ProjectPath(p)})
	}
	if way = append(way, more...); way[len(way)-1].Path != "" {
		way[len(way)-1].Path = ""
	}
	return way
}

// projectTabs returns the views of a project. One that leads nowhere is left
// out, and so is a navigation of one.
func (s *site) projectTabs(p ci.Project, here string) []link {
	tabs := []link{{"Pipelines", ProjectPath(p), here == "pipelines"}}
	if s.cfg.Insights != nil {
		tabs = append(tabs, link{"Insights", InsightsPath(p), here == "insights"})
	}
	if all := s.sections(); len(all) > 0 {
		tabs = append(tabs, link{"Settings", settingsPath(all[0].Name, p), here == "settings"})
	}
	if len(tabs) == 1 {
		return nil
	}
	return tabs
}
