package api

import (
	"encoding/xml"
	"net/http"
	"strconv"

	"github.com/rondo-ci/rondo/ci"
)

// ccProjects is the format that build monitors read (cctray).
type ccProjects struct {
	XMLName  xml.Name    `xml:"Projects"`
	Projects []ccProject `xml:"Project"`
}

type ccProject struct {
	Name     string `xml:"name,attr"`
	Activity string `xml:"activity,attr"`
	Status   string `xml:"lastBuildStatus,attr"`
	Label    string `xml:"lastBuildLabel,attr"`
	Time     string `xml:"lastBuildTime,attr"`
	URL      string `xml:"webUrl,attr"`
}

// ccStatus are the statuses in the words of cctray.
var ccStatus = map[ci.Status]string{ci.Success: "Success", ci.Failed: "Failure", ci.InfraFailed: "Exception"}

// ccAll tells about the default branches of the followed projects.
func (c *call) ccAll() (any, error) {
	if err := c.known(); err != nil {
		return nil, err
	}
	all, err := c.visible(isFollowed)
	if err != nil {
		return nil, err
	}
	var out ccProjects
	for _, p := range all {
		one, err := c.ccOf(p, "")
		if err != nil {
			return nil, err
		}
		out.Projects = append(out.Projects, one)
	}
	return c.replyXML(out)
}

// ccProject tells about one branch of one project.
func (c *call) ccProject(branch string) (any, error) {
	p, err := c.project(false)
	if err != nil {
		return nil, err
	}
	one, err := c.ccOf(p, branch)
	if err != nil {
		return nil, err
	}
	return c.replyXML(ccProjects{Projects: []ccProject{one}})
}

func (c *call) ccOf(p ci.Project, branch string) (ccProject, error) {
	out := ccProject{Name: p.Org + "/" + p.Repo, Activity: "Sleeping", Status: "Unknown", URL: c.oldURL(p)}
	if branch == "" {
		branch = p.DefaultBranch
	} else {
		out.URL = c.oldURL(p, "tree", branch)
	}
	s, err := c.standing(p, branch)
	if err != nil {
		return out, err
	}
	if s.running {
		out.Activity = "Building"
	}
	if word := ccStatus[s.last]; word != "" {
		out.Status = word
	}
	if s.number > 0 {
		out.Label = strconv.FormatInt(s.number, 10)
	}
	if !s.ended.IsZero() {
		out.Time = s.ended.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return out, nil
}

func (c *call) replyXML(v any) (any, error) {
	data, err := xml.Marshal(v)
	if err != nil {
		return nil, err
	}
	data = append([]byte(xml.Header), data...)
	h := c.w.Header()
	h.Set("Content-Type", "application/xml; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(data)
	return written, nil
}
