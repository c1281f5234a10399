package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// triggerRoutes are the operations on what starts the pipelines of a
// definition.
func triggerRoutes() []route {
	const (
		all = "/projects/{project_id}/pipeline-definitions/{pipeline_definition_id}/triggers"
		at  = "/projects/{project_id}/triggers/{trigger_id}"
	)
	return []route{
		{
			method: "GET", path: all, summary: "The triggers of a pipeline definition", tag: "Trigger",
			status: 200, response: page[trigger]{}, serve: (*call).listTriggers,
		}, {
			method: "POST", path: all, summary: "Create a trigger", tag: "Trigger",
			status: 201, request: triggerChange{}, response: trigger{}, serve: (*call).createTrigger,
		}, {
			method: "GET", path: at, summary: "A trigger", tag: "Trigger",
			status: 200, response: trigger{}, serve: (*call).getTrigger,
		}, {
			method: "PATCH", path: at, summary: "Change a trigger in part", tag: "Trigger",
			status: 200, request: triggerChange{}, response: trigger{}, serve: (*call).changeTrigger,
		}, {
			method: "DELETE", path: at, summary: "Delete a trigger", tag: "Trigger",
			status: 200, response: message{}, serve: (*call).deleteTrigger,
		},
	}
}

// A trigger on the wire. There are two sorts that do something here: pushes to
// the project's repository, which is to say that the project is followed, and
// schedules, which are scheduled pipelines by another name.
type trigger struct {
	ID          string         `json:"id"`
	Created     stamp          `json:"created_at"`
	Source      triggerSource  `json:"event_source"`
	EventName   string         `json:"event_name,omitempty"`
	Preset      string         `json:"event_preset,omitempty"`
	ConfigRef   string         `json:"config_ref,omitempty"`
	CheckoutRef string         `json:"checkout_ref,omitempty"`
	Disabled    bool           `json:"disabled"`
	Parameters  map[string]any `json:"parameters,omitempty"`
}

type triggerSource struct {
	Provider string           `json:"provider"`
	Repo     *repository      `json:"repo,omitempty"`
	Schedule *triggerSchedule `json:"schedule,omitempty"`
}

type triggerSchedule struct {
	Cron  string     `json:"cron_expression"`
	Actor identified `json:"attribution_actor"`
}

// allPushes is the preset that the code host's side knows.
const allPushes = "all-pushes"

// A keptTrigger is what is kept of a trigger.
type keptTrigger struct {
	Definition  string         `json:"definition"`
	Provider    string         `json:"provider"`
	EventName   string         `json:"event_name,omitempty"`
	ConfigRef   string         `json:"config_ref,omitempty"`
	CheckoutRef string         `json:"checkout_ref,omitempty"`
	Disabled    bool           `json:"disabled,omitempty"`
	Cron        string         `json:"cron,omitempty"`
	Actor       ci.Actor       `json:"actor,omitzero"`
	Parameters  map[string]any `json:"parameters,omitempty"`
	Schedule    string         `json:"schedule,omitempty"` // the scheduled pipeline, unless disabled
}

const scheduleProvider = "schedule"

func triggerOf(p ci.Project, k kept[keptTrigger]) trigger {
	t := trigger{
		ID: k.ID, Created: stampOf(k.Created), Source: triggerSource{Provider: k.is.Provider}, EventName: k.is.EventName,
		ConfigRef: k.is.ConfigRef, CheckoutRef: k.is.CheckoutRef, Disabled: k.is.Disabled, Parameters: k.is.Parameters,
	}
	if k.is.Provider == scheduleProvider {
		t.Source.Schedule = &triggerSchedule{k.is.Cron, identified{userOf(k.is.Actor).ID}}
		return t
	}
	t.Preset, t.Source.Repo = allPushes, new(repositoryOf(p))
	t.Disabled = t.Disabled || !p.Followed
	return t
}

// triggers returns all triggers of a project. One that is followed without a
// trigger that says so has one by nature; its Version is 0.
func (c *call) triggers(p ci.Project) ([]kept[keptTrigger], error) {
	all, err := readDocs[keptTrigger](c, docTrigger, string(p.ID))
	if err != nil {
		return nil, err
	}
	if err := c.withoutSchedule(p, all); err != nil {
		return nil, err
	}
	if p.Followed && !slices.ContainsFunc(all, pushes) {
		byNature := kept[keptTrigger]{
			Doc: ci.Doc{Kind: docTrigger, ID: uuidOr("", "push trigger "+string(p.ID)), Scope: string(p.ID)},
			is:  keptTrigger{Definition: natural(p).ID, Provider: sourceProvider(p)},
		}
		all = append([]kept[keptTrigger]{byNature}, all...)
	}
	return all, nil
}

// withoutSchedule disables those whose scheduled pipeline somebody has deleted
// under its other name.
func (c *call) withoutSchedule(p ci.Project, all []kept[keptTrigger]) error {
	byClock := func(k kept[keptTrigger]) bool { return k.is.Schedule != "" }
	if c.cfg.Chapters.Schedules == nil || !slices.ContainsFunc(all, byClock) {
		return nil
	}
	there, err := c.cfg.Chapters.Schedules.Schedules(c.r.Context(), p.ID)
	if err != nil {
		return err
	}
	for i, k := range all {
		if byClock(k) && !slices.ContainsFunc(there, func(s ci.ScheduledPipeline) bool { return s.ID == k.is.Schedule }) {
			all[i].is.Schedule, all[i].is.Disabled = "", true
		}
	}
	return nil
}

// pushes reports whether pushes pull the trigger.
func pushes(k kept[keptTrigger]) bool { return k.is.Provider != scheduleProvider && !k.is.Disabled }

func (c *call) listTriggers() (any, error) {
	p, d, err := c.definitionOfAddress(false)
	if err != nil {
		return nil, err
	}
	all, err := c.triggers(p)
	if err != nil {
		return nil, err
	}
	var items []trigger
	for _, k := range all {
		if k.is.Definition == d.ID {
			items = append(items, triggerOf(p, k))
		}
	}
	return pageOf(items, nil), nil
}

// trigger returns the one of the address and its project.
func (c *call) trigger(write bool) (ci.Project, kept[keptTrigger], error) {
	p, err := c.projectNamed(c.r.PathValue("project_id"), write)
	if err != nil {
		return p, kept[keptTrigger]{}, err
	}
	all, err := c.triggers(p)
	if err != nil {
		return p, kept[keptTrigger]{}, err
	}
	i := slices.IndexFunc(all, func(k kept[keptTrigger]) bool { return k.ID == strings.ToLower(c.r.PathValue("trigger_id")) })
	if i < 0 {
		return p, kept[keptTrigger]{}, refuse(http.StatusNotFound, "Trigger not found")
	}
	return p, all[i], nil
}

func (c *call) getTrigger() (any, error) {
	p, k, err := c.trigger(false)
	if err != nil {
		return nil, err
	}
	return triggerOf(p, k), nil
}

// A triggerChange is a trigger as people write it; what is absent stays as it
// is.
type triggerChange struct {
	Source      triggerSourceChange `json:"event_source,omitempty"`
	EventName   *string             `json:"event_name,omitempty"`
	Preset      *string             `json:"event_preset,omitempty"`
	ConfigRef   *string             `json:"config_ref,omitempty"`
	CheckoutRef *string             `json:"checkout_ref,omitempty"`
	Disabled    *bool               `json:"disabled,omitempty"`
	Parameters  map[string]any      `json:"parameters,omitempty"`
}

type triggerSourceChange struct {
	Provider string                 `json:"provider,omitempty"`
	Repo     definitionOrigin       `json:"repo,omitempty"`
	Schedule *triggerScheduleChange `json:"schedule,omitempty"`
}

type triggerScheduleChange struct {
	Cron  string `json:"cron_expression,omitempty"`
	Actor string `json:"attribution_actor,omitempty"`
}

// onto puts what the request says onto what is kept, and refuses what would
// have no effect here.
func (r triggerChange) onto(k *keptTrigger, p ci.Project, by ci.Actor) error {
	if k.Provider == "" {
		k.Provider = r.Source.Provider
	}
	change(&k.EventName, r.EventName)
	change(&k.ConfigRef, r.ConfigRef)
	change(&k.CheckoutRef, r.CheckoutRef)
	change(&k.Disabled, r.Disabled)
	switch k.Provider {
	case "github_app", "github_server", "github_oauth", sourceProvider(p):
		return r.ontoPush(k, p)
	case scheduleProvider:
		return r.ontoSchedule(k, by)
	}
	return refuse(http.StatusBadRequest, "The provider of event_source must be github_app, github_server or schedule; this server takes no other events.")
}

func (r triggerChange) ontoPush(k *keptTrigger, p ci.Project) error {
	switch {
	case r.Preset != nil && *r.Preset != "" && *r.Preset != allPushes:
		return refuse(http.StatusBadRequest, "event_preset must be "+allPushes+"; the settings of the project and the filters of its configuration say more closely what is built.")
	case !sameRepository(r.Source.Repo.ExternalID, p):
		return otherRepository("event_source", p)
	case k.ConfigRef != "" || k.CheckoutRef != "":
		return refuse(http.StatusBadRequest, "A push is built at its own commit: leave config_ref and checkout_ref out.")
	case len(r.Parameters) > 0:
		return refuse(http.StatusBadRequest, "A push has no parameters.")
	}
	return nil
}

func (r triggerChange) ontoSchedule(k *keptTrigger, by ci.Actor) error {
	if s := r.Source.Schedule; s != nil {
		if s.Cron != "" {
			k.Cron = s.Cron
		}
		switch s.Actor {
		case "":
		case "current":
			k.Actor = by
		case "system":
			k.Actor = ci.Actor{}
		default:
			return refuse(http.StatusBadRequest, "attribution_actor must be current or system.")
		}
	}
	if r.Parameters != nil {
		parameters, err := typed(r.Parameters)
		if err != nil {
			return err
		}
		k.Parameters = parameters
	}
	switch {
	case k.Cron == "":
		return missing("cron_expression")
	case strings.TrimSpace(k.EventName) == "":
		return missing("event_name")
	case k.CheckoutRef == "" || badRef(k.CheckoutRef):
		return refuse(http.StatusBadRequest, "checkout_ref must name a branch, or a tag as refs/tags/name.")
	case k.ConfigRef != "" && k.ConfigRef != k.CheckoutRef:
		return refuse(http.StatusBadRequest, "config_ref must be checkout_ref; this server reads the configuration of the commit that it builds.")
	}
	return nil
}

// scheduled returns the scheduled pipeline that a trigger stands for.
func (k keptTrigger) scheduled(p ci.Project) ci.ScheduledPipeline {
	s := ci.ScheduledPipeline{
		ID: k.Schedule, Project: p.ID, Name: k.EventName, Timetable: ci.Timetable{Cron: k.Cron}, Actor: k.Actor,
		Parameters: map[string]any{},
	}
	for name, v := range k.Parameters {
		s.Parameters[name] = v
	}
	delete(s.Parameters, "branch") // those of the trigger are its checkout_ref
	delete(s.Parameters, "tag")
	if tag, ok := strings.CutPrefix(k.CheckoutRef, "refs/tags/"); ok {
		s.Parameters["tag"] = tag
	} else {
		s.Parameters["branch"] = strings.TrimPrefix(k.CheckoutRef, "refs/heads/")
	}
	return s
}

func (c *call) createTrigger() (any, error) {
	p, d, err := c.definitionOfAddress(true)
	if err != nil {
		return nil, err
	}
	return c.putTrigger(p, kept[keptTrigger]{
		Doc: ci.Doc{Kind: docTrigger, ID: ci.NewID(), Scope: string(p.ID)}, is: keptTrigger{Definition: d.ID, Actor: c.by},
	})
}

func (c *call) changeTrigger() (any, error) {
	p, k, err := c.trigger(true)
	if err != nil {
		return nil, err
	}
	return c.putTrigger(p, k)
}

// putTrigger makes the trigger come true, and then keeps it.
func (c *call) putTrigger(p ci.Project, k kept[keptTrigger]) (any, error) {
	var req triggerChange
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if c.cfg.Chapters.Docs == nil {
		return nil, absent("place to keep triggers in")
	}
	if err := req.onto(&k.is, p, c.by); err != nil {
		return nil, err
	}
	p, err := c.pull(p, &k)
	if err != nil {
		return nil, named(err, "Trigger")
	}
	if err := k.write(c); err != nil {
		if k.Version == 0 { // nobody would know what the schedule is for
			err = errors.Join(err, c.unschedule(&k))
		}
		return nil, named(err, "Trigger")
	}
	return triggerOf(p, k), nil
}

// pull makes the schedule or the following of a project what the trigger says.
func (c *call) pull(p ci.Project, k *kept[keptTrigger]) (ci.Project, error) {
	switch schedules := c.cfg.Chapters.Schedules; {
	case k.is.Provider == scheduleProvider && schedules == nil:
		return p, absent("schedules")
	case k.is.Provider == scheduleProvider && k.is.Disabled:
		return p, c.unschedule(k)
	case k.is.Provider == scheduleProvider:
		s := k.is.scheduled(p)
		if old, err := schedules.Schedule(c.r.Context(), s.ID); err == nil {
			s.Created, s.Description = old.Created, old.Description
		}
		s, err := schedules.PutSchedule(c.r.Context(), s, c.by)
		k.is.Schedule, k.is.Actor = s.ID, s.Actor // who changes it may have to answer for it
		return p, err
	}
	all, err := c.triggers(p)
	if err != nil {
		return p, err
	}
	others := slices.ContainsFunc(all, func(o kept[keptTrigger]) bool { return o.ID != k.ID && o.Version > 0 && pushes(o) })
	if want := others || pushes(*k); want != p.Followed {
		return c.follow(p.Slug, want)
	}
	return p, nil
}

func (c *call) unschedule(k *kept[keptTrigger]) error {
	if k.is.Schedule == "" {
		return nil
	}
	err := c.cfg.Chapters.Schedules.DeleteSchedule(c.r.Context(), k.is.Schedule, c.by)
	if errors.Is(err, ci.ErrNotFound) {
		err = nil
	}
	k.is.Schedule = ""
	return err
}

func (c *call) deleteTrigger() (any, error) {
	p, k, err := c.trigger(true)
	if err != nil {
		return nil, err
	}
	if err := c.removeTrigger(p, k); err != nil {
		return nil, named(err, "Trigger")
	}
	return message{"Trigger deleted."}, nil
}

func (c *call) removeTrigger(p ci.Project, k kept[keptTrigger]) error {
	k.is.Disabled = true
	if _, err := c.pull(p, &k); err != nil || k.Version == 0 {
		return err
	}
	return k.remove(c)
}
