package ci

import "time"

// A ScheduledPipeline triggers a pipeline of a project by the clock. (The
// schedules that stand in the configuration itself are [Schedule].)
type ScheduledPipeline struct {
	ID          string         `json:"id"` // a UUID
	Project     ProjectID      `json:"project"`
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	Timetable   Timetable      `json:"timetable"`
	Parameters  map[string]any `json:"parameters"` // with branch or tag
	// Actor is in whose name it triggers; the zero Actor is the system.
	Actor   Actor     `json:"actor,omitzero"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// Next is when it triggers next; zero is never.
	Next time.Time `json:"next,omitzero"`
}

// A Timetable is when a [ScheduledPipeline] triggers, in UTC. One of
// DaysOfWeek and DaysOfMonth is set, or Cron and nothing else.
type Timetable struct {
	PerHour     int      `json:"per-hour,omitempty"`      // 1 to 60, spread evenly
	HoursOfDay  []int    `json:"hours-of-day,omitempty"`  // 0 to 23
	DaysOfWeek  []string `json:"days-of-week,omitempty"`  // MON to SUN
	DaysOfMonth []int    `json:"days-of-month,omitempty"` // 1 to 31
	Months      []string `json:"months,omitempty"`        // JAN to DEC; none is all
	Cron        string   `json:"cron,omitempty"`          // five fields
}
