package api

import (
	"net/http"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// scheduleRoutes are the operations on scheduled pipelines.
func scheduleRoutes() []route {
	const (
		ofProject = "/project/{project_slug}/schedule"
		at        = "/schedule/{schedule_id}"
	)
	return []route{
		{
			method: "GET", path: ofProject, summary: "The schedules of a project", tag: "Schedule",
			query: []string{pageToken}, status: 200, response: page[schedule]{}, serve: (*call).listSchedules,
		}, {
			method: "POST", path: ofProject, summary: "Create a schedule", tag: "Schedule",
			status: 201, request: scheduleRequest{}, response: schedule{}, serve: (*call).createSchedule,
		}, {
			method: "GET", path: at, summary: "A schedule", tag: "Schedule",
			status: 200, response: schedule{}, serve: (*call).getSchedule,
		}, {
			method: "PATCH", path: at, summary: "Change a schedule in part", tag: "Schedule",
			status: 200, request: scheduleRequest{}, response: schedule{}, serve: (*call).changeSchedule,
		}, {
			method: "DELETE", path: at, summary: "Delete a schedule", tag: "Schedule",
			status: 200, response: message{}, serve: (*call).deleteSchedule,
		},
	}
}

// A schedule is a [ci.ScheduledPipeline] on the wire.
type schedule struct {
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Slug        string         `json:"project-slug"`
	Created     stamp          `json:"created-at"`
	Updated     stamp          `json:"updated-at"`
	Timetable   ci.Timetable   `json:"timetable"`
	Parameters  map[string]any `json:"parameters"`
	Actor       user           `json:"actor"`
	Next        stamp          `json:"next-run-at"`
}

func scheduleOf(slug string) func(ci.ScheduledPipeline) schedule {
	return func(s ci.ScheduledPipeline) schedule {
		out := schedule{
			ID: s.ID, Name: s.Name, Description: s.Description, Slug: slug, Created: stampOf(s.Created), Updated: stampOf(s.Updated),
			Timetable: s.Timetable, Parameters: s.Parameters, Actor: userOf(s.Actor), Next: stampOf(s.Next),
		}
		if out.Parameters == nil {
			out.Parameters = map[string]any{}
		}
		return out
	}
}

// A scheduleRequest is a schedule as people write it; what is absent stays as
// it is.
type scheduleRequest struct {
	Name        *string        `json:"name,omitempty"`
	Description *string        `json:"description,omitempty"`
	Actor       *string        `json:"attribution-actor,omitempty"`
	Parameters  map[string]any `json:"parameters,omitempty"`
	Timetable   *ci.Timetable  `json:"timetable,omitempty"`
}

// onto puts what the request says onto a schedule, and says what that lacks.
// Whether the clock can follow the timetable is for the chapter to say.
func (r scheduleRequest) onto(s *ci.ScheduledPipeline, by ci.Actor) error {
	change(&s.Name, r.Name)
	change(&s.Description, r.Description)
	change(&s.Timetable, r.Timetable)
	if r.Parameters != nil {
		parameters, err := typed(r.Parameters)
		if err != nil {
			return err
		}
		s.Parameters = parameters
	}
	if r.Actor != nil {
		switch *r.Actor {
		case "current":
			s.Actor = by
		case "system":
			s.Actor = ci.Actor{}
		default:
			return refuse(http.StatusBadRequest, "attribution-actor must be current or system.")
		}
	}
	if strings.TrimSpace(s.Name) == "" {
		return missing("name")
	}
	branch, isBranch := s.Parameters["branch"].(string)
	tag, isTag := s.Parameters["tag"].(string)
	if isBranch == isTag || branch+tag == "" || badRef(branch) || badRef(tag) {
		return refuse(http.StatusBadRequest, "parameters must name a branch or a tag, as text, and not both.")
	}
	return nil
}

func (c *call) listSchedules() (any, error) {
	p, err := c.project(false)
	if err != nil {
		return nil, err
	}
	if c.cfg.Chapters.Schedules == nil {
		return nil, absent("schedules")
	}
	all, err := c.cfg.Chapters.Schedules.Schedules(c.r.Context(), p.ID)
	if err != nil {
		return nil, err
	}
	return keyed(c, all, func(s ci.ScheduledPipeline) string { return s.Name + "\x00" + s.ID }, scheduleOf(p.Slug))
}

func (c *call) createSchedule() (any, error) {
	p, err := c.project(true)
	if err != nil {
		return nil, err
	}
	if c.cfg.Chapters.Schedules == nil {
		return nil, absent("schedules")
	}
	var req scheduleRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if req.Timetable == nil {
		return nil, missing("timetable")
	}
	return c.putSchedule(ci.ScheduledPipeline{Project: p.ID, Actor: c.by}, req, p.Slug)
}

func (c *call) putSchedule(s ci.ScheduledPipeline, req scheduleRequest, slug string) (any, error) {
	if err := req.onto(&s, c.by); err != nil {
		return nil, err
	}
	s, err := c.cfg.Chapters.Schedules.PutSchedule(c.r.Context(), s, c.by)
	if err != nil {
		return nil, named(err, "Schedule")
	}
	return scheduleOf(slug)(s), nil
}

// schedule returns the one of the address and its project.
func (c *call) schedule(write bool) (ci.ScheduledPipeline, ci.Project, error) {
	if c.cfg.Chapters.Schedules == nil {
		return ci.ScheduledPipeline{}, ci.Project{}, absent("schedules")
	}
	var p ci.Project
	s, err := c.cfg.Chapters.Schedules.Schedule(c.r.Context(), strings.ToLower(c.r.PathValue("schedule_id")))
	if err == nil {
		p, err = c.may(c.r.Context(), s.Project, write)
	}
	return s, p, named(err, "Schedule")
}

func (c *call) getSchedule() (any, error) {
	s, p, err := c.schedule(false)
	if err != nil {
		return nil, err
	}
	return scheduleOf(p.Slug)(s), nil
}

func (c *call) changeSchedule() (any, error) {
	if _, _, err := c.schedule(true); err != nil {
		return nil, err
	}
	var req scheduleRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	s, p, err := c.schedule(true) // as it is now: the sender may have been slow
	if err != nil {
		return nil, err
	}
	return c.putSchedule(s, req, p.Slug)
}

func (c *call) deleteSchedule() (any, error) {
	s, _, err := c.schedule(true)
	if err != nil {
		return nil, err
	}
	if err := c.cfg.Chapters.Schedules.DeleteSchedule(c.r.Context(), s.ID, c.by); err != nil {
		return nil, named(err, "Schedule")
	}
	return message{"Schedule deleted."}, nil
}
