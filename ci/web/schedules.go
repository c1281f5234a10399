package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// previewRuns is how many next runs a form shows.
const previewRuns = 5

// A schedulesView is the schedules of a project and the form for one.
type schedulesView struct {
	Rows    []ci.ScheduledPipeline
	Edit    ci.ScheduledPipeline // what the form shows; ID "" is a new one
	Open    bool                 // the form is in use
	Preview []time.Time
	Wrong   string // why there is no preview
	Params  string // parameters as lines
	Hours   []int
	Days    []string
	Months  []string
	Rates   []choice
	NoNext  bool // there is no preview in this installation
}

// The words of timetables, in their order.
var (
	weekdays = []string{"MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"}
	months   = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	rates    = []choice{{"1", "once"}, {"2", "twice"}, {"3", "3 times"}, {"4", "4 times"}, {"6", "6 times"}, {"12", "12 times"}, {"60", "every minute"}}
)

func (s *site) fillSchedules(ctx context.Context, b *settingsBody, address url.Values) error {
	v := schedulesView{Days: weekdays, Months: months, Rates: rates, NoNext: s.cfg.Chapters.NextRuns == nil}
	for h := range 24 {
		v.Hours = append(v.Hours, h)
	}
	var err error
	if v.Rows, err = s.cfg.Chapters.Schedules.Schedules(ctx, b.Project.ID); err != nil {
		return err
	}
	v.Edit = ci.ScheduledPipeline{Timetable: ci.Timetable{PerHour: 1, HoursOfDay: []int{3}, DaysOfWeek: weekdays[:5]},
		Parameters: map[string]any{"branch": b.Project.DefaultBranch}}
	switch id := address.Get("edit"); {
	case len(b.Form) > 0: // it was sent and could not be kept, or a preview is asked for
		v.Open = true
		if v.Edit, err = scheduleOf(b.Form); err != nil {
			v.Wrong = said(err, ci.ErrInvalid)
		}
	case id != "":
		v.Open = true
		if v.Edit, err = s.cfg.Chapters.Schedules.Schedule(ctx, id); err != nil {
			return err
		}
		if v.Edit.Project != b.Project.ID {
			return fmt.Errorf("schedule %.40q: %w", id, ci.ErrNotFound)
		}
	}
	v.Params = linesOf(v.Edit.Parameters)
	if v.Open && v.Wrong == "" && s.cfg.Chapters.NextRuns != nil {
		if v.Preview, err = s.cfg.Chapters.NextRuns(v.Edit.Timetable, time.Now(), previewRuns); err != nil {
			v.Wrong = said(err, ci.ErrInvalid)
		}
	}
	b.Schedules = v
	return nil
}

func (s *site) changeSchedules(ctx context.Context, b *settingsBody, form url.Values) (string, string, error) {
	kept, by := s.cfg.Chapters.Schedules, actorIn(ctx)
	id := form.Get("id")
	if id != "" {
		old, err := kept.Schedule(ctx, id)
		if err != nil {
			return "", "", err
		}
		if old.Project != b.Project.ID {
			return "", "", fmt.Errorf("schedule %.40q: %w", id, ci.ErrNotFound)
		}
	}
	switch verb := form.Get("do"); {
	case verb == "preview":
		return "", "", nil
	case verb == "delete" && id != "":
		return "schedule-gone", "", kept.DeleteSchedule(ctx, id, by)
	case verb == "save":
		one, err := scheduleOf(form)
		if err != nil {
			return "", "", err
		}
		one.Project = b.Project.ID
		if form.Get("as") == "me" {
			one.Actor = by
		}
		_, err = kept.PutSchedule(ctx, one, by)
		return "schedule", "", err
	}
	return "", "", ci.ErrNotFound
}

// scheduleOf reads a schedule from a form. The one that comes with an error
// has all that could be read.
func scheduleOf(form url.Values) (ci.ScheduledPipeline, error) {
	one := ci.ScheduledPipeline{
		ID: form.Get("id"), Name: strings.TrimSpace(form.Get("name")), Description: strings.TrimSpace(form.Get("description")),
	}
	var err error
	if one.Parameters, err = parseParameters(form.Get("parameters")); err != nil {
		return one, err
	}
	if ref := strings.TrimSpace(form.Get("ref")); ref != "" {
		kind := "branch"
		if form.Get("ref_kind") == "tag" {
			kind = "tag"
		}
		one.Parameters[kind] = ref
	}
	if cron := strings.Join(strings.Fields(form.Get("cron")), " "); form.Get("mode") == "cron" {
		one.Timetable.Cron = cron
	} else if one.Timetable, err = timetableOf(form); err != nil {
		return one, err
	}
	if one.Name == "" {
		return one, fmt.Errorf("save schedule: give it a name, as in nightly: %w", ci.ErrInvalid)
	}
	return one, nil
}

// timetableOf reads the fields of a timetable.
func timetableOf(form url.Values) (ci.Timetable, error) {
	var t ci.Timetable
	var err error
	if t.PerHour, err = strconv.Atoi(form.Get("per_hour")); err != nil {
		return t, fmt.Errorf("save schedule: choose how often an hour it runs: %w", ci.ErrInvalid)
	}
	if t.HoursOfDay, err = numbers(form["hour"]); err != nil {
		return t, err
	}
	if t.DaysOfMonth, err = numbers(strings.FieldsFunc(form.Get("days_of_month"), func(r rune) bool { return r == ',' || r == ' ' })); err != nil {
		return t, err
	}
	t.Months = chosen(months, form["month"])
	if len(t.DaysOfMonth) == 0 {
		t.DaysOfWeek = chosen(weekdays, form["day"])
	}
	switch {
	case len(t.HoursOfDay) == 0:
		err = fmt.Errorf("save schedule: choose at least one hour of the day: %w", ci.ErrInvalid)
	case len(t.DaysOfWeek) == 0 && len(t.DaysOfMonth) == 0:
		err = fmt.Errorf("save schedule: choose days of the week, or name days of the month: %w", ci.ErrInvalid)
	}
	return t, err
}

func numbers(texts []string) ([]int, error) {
	var all []int
	for _, t := range texts {
		n, err := strconv.Atoi(t)
		if err != nil || n < 0 || n > 31 {
			return nil, fmt.Errorf("save schedule: %q is not an hour or a day: %w", clean(t, 20, false), ci.ErrInvalid)
		}
		all = append(all, n)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// chosen returns those of the words that were chosen, in their order.
func chosen(words, picked []string) []string {
	var all []string
	for _, w := range words {
		if slices.Contains(picked, w) {
			all = append(all, w)
		}
	}
	return all
}

// parseParameters reads lines of name=value. A value is a number, true or
// false where it reads like one, and text otherwise.
func parseParameters(text string) (map[string]any, error) {
	all := map[string]any{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" {
			return all, fmt.Errorf("save schedule: the parameter %q is not name=value: %w", clean(line, 60, false), ci.ErrInvalid)
		}
		var v any = value
		if n := json.Number(value); value == "true" || value == "false" {
			v = value == "true"
		} else if i, err := n.Int64(); err == nil {
			v = i
		}
		all[name] = v
	}
	return all, nil
}

// linesOf is the inverse of parseParameters, without branch and tag.
func linesOf(parameters map[string]any) string {
	var lines []string
	for name, v := range parameters {
		if name != "branch" && name != "tag" {
			lines = append(lines, name+"="+fmt.Sprint(v))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// Ref returns the branch or tag that the schedule of the form builds.
func (v schedulesView) Ref() string {
	if v.IsTag() {
		return text(v.Edit.Parameters["tag"])
	}
	return text(v.Edit.Parameters["branch"])
}

// IsTag reports whether it is a tag.
func (v schedulesView) IsTag() bool { return v.Edit.Parameters["tag"] != nil }

// HasHour, HasDay and HasMonth report whether the form's timetable has it.
func (v schedulesView) HasHour(h int) bool { return slices.Contains(v.Edit.Timetable.HoursOfDay, h) }

// HasDay is as HasHour.
func (v schedulesView) HasDay(d string) bool { return slices.Contains(v.Edit.Timetable.DaysOfWeek, d) }

// HasMonth is as HasHour.
func (v schedulesView) HasMonth(m string) bool { return slices.Contains(v.Edit.Timetable.Months, m) }

// DaysOfMonth returns those of the form as text.
func (v schedulesView) DaysOfMonth() string {
	return list(v.Edit.Timetable.DaysOfMonth, strconv.Itoa, ", ")
}
