package autoscale

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// An Export is a policy in the words of Amazon's Auto Scaling: what the console,
// the command line of Amazon and Terraform call scheduled actions, step scaling
// policies and alarms.
type Export struct {
	Scheduled []ScheduledAction `json:"ScheduledUpdateGroupActions,omitempty"`
	Policies  []StepPolicy      `json:"ScalingPolicies,omitempty"`
	Alarms    []Alarm           `json:"Alarms,omitempty"`
}

// A ScheduledAction is as in BatchPutScheduledUpdateGroupAction. Amazon follows
// daylight saving time by the zone.
type ScheduledAction struct {
	Name            string `json:"ScheduledActionName"`
	Recurrence      string `json:"Recurrence"` // five fields of cron
	TimeZone        string `json:"TimeZone"`
	MinSize         int    `json:"MinSize"`
	DesiredCapacity int    `json:"DesiredCapacity"`
}

// A StepPolicy is as in PutScalingPolicy.
type StepPolicy struct {
	Name           string           `json:"PolicyName"`
	Type           string           `json:"PolicyType"`
	AdjustmentType string           `json:"AdjustmentType"`
	Warmup         int              `json:"EstimatedInstanceWarmup"` // seconds
	Steps          []StepAdjustment `json:"StepAdjustments"`
}

// A StepAdjustment is by how many nodes, from where on.
type StepAdjustment struct {
	Lower      *float64 `json:"MetricIntervalLowerBound,omitempty"`
	Upper      *float64 `json:"MetricIntervalUpperBound,omitempty"`
	Adjustment int      `json:"ScalingAdjustment"`
}

// An Alarm is as in PutMetricAlarm, on the free slots that Rondo's metrics tell.
type Alarm struct {
	Name       string  `json:"AlarmName"`
	Metric     string  `json:"MetricName"`
	Statistic  string  `json:"Statistic"`
	Comparison string  `json:"ComparisonOperator"`
	Threshold  float64 `json:"Threshold"`
	Period     int     `json:"Period"` // seconds
	Periods    int     `json:"EvaluationPeriods"`
	Policy     string  `json:"AlarmActions"` // name of the policy
}

// maxScheduled is how many scheduled actions Amazon keeps for a group.
const maxScheduled = 125

// AWS returns the policy as Amazon's Auto Scaling can follow it without Rondo:
// a schedule, a forecast (as the table of its week) and step alarms, also as the
// parts of a hybrid. metric is the name under which CloudWatch has the number of
// free nodes. What has no such form is [ci.ErrInvalid].
func AWS(p Policy, metric string) (Export, error) {
	var e Export
	if err := e.add(p, metric); err != nil {
		return Export{}, err
	}
	if len(e.Scheduled) > maxScheduled {
		return Export{}, fmt.Errorf("%w: export %v: these are %d scheduled actions, and Amazon keeps %d for a group", ci.ErrInvalid, p, len(e.Scheduled), maxScheduled)
	}
	return e, nil
}

func (e *Export) add(p Policy, metric string) error {
	switch p := p.(type) {
	case Static:
		e.Scheduled = append(e.Scheduled, ScheduledAction{"rondo-static", "0 0 * * *", "Etc/UTC", int(p), int(p)})
		return nil
	case Schedule:
		e.schedule(p)
		return nil
	case Forecast:
		if p.Profile != nil {
			e.schedule(p.Profile.Table(p))
			return nil
		}
	case Step:
		e.step(p, metric)
		return nil
	case Headroom: // alarms with the same spare nodes come closest
		e.step(Step{Low: float64(p.Spare), High: float64(2*p.Spare + 1), Period: time.Minute, DownAfter: 4, Up: max(p.Spare/2, 1)}, metric)
		return nil
	case Hybrid:
		if err := e.add(p.Floor, metric); err != nil {
			return err
		}
		return e.add(p.Top, metric)
	}
	return fmt.Errorf("%w: export %v: Amazon's Auto Scaling has no such policy; rondo can follow it itself", ci.ErrInvalid, p)
}

func (e *Export) schedule(s Schedule) {
	zone := s.zone().String()
	if zone == "UTC" || zone == "Local" {
		zone = "Etc/UTC"
	}
	for _, r := range s.Rules {
		on := "*"
		if len(r.Days) > 0 {
			var fields []string
			for _, d := range slices.Sorted(slices.Values(r.Days)) {
				fields = append(fields, strconv.Itoa(int(d)))
			}
			on = strings.Join(fields, ",")
		}
		name := fmt.Sprintf("rondo-%s-%02d%02d", strings.NewReplacer("*", "daily", ",", "-").Replace(dayText(r.Days)), r.Hour, r.Minute)
		e.Scheduled = append(e.Scheduled, ScheduledAction{name, fmt.Sprintf("%d %d * * %s", r.Minute, r.Hour, on), zone, r.Nodes, r.Nodes})
	}
}

func (e *Export) step(s Step, metric string) {
	zero := 0.0
	warm := int(max(s.Cooldown, s.Period).Seconds())
	period := int(max(s.Period, time.Minute).Seconds())
	e.Policies = append(e.Policies,
		StepPolicy{"rondo-up", "StepScaling", "ChangeInCapacity", warm, []StepAdjustment{{Upper: &zero, Adjustment: max(s.Up, 1)}}},
		StepPolicy{"rondo-down", "StepScaling", "ChangeInCapacity", warm, []StepAdjustment{{Lower: &zero, Adjustment: -max(s.Down, 1)}}})
	e.Alarms = append(e.Alarms,
		Alarm{"rondo-too-few-free", metric, "Average", "LessThanThreshold", s.Low, period, max(s.UpAfter, 1), "rondo-up"},
		Alarm{"rondo-too-many-free", metric, "Average", "GreaterThanThreshold", s.High, period, max(s.DownAfter, 1), "rondo-down"})
}
