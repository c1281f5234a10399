package autoscaletest

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// answer carries out an action and returns the inside of its result. The lock
// is held.
func (c *Cloud) answer(action string, q url.Values) (string, *Fault) {
	invalid := func(format string, args ...any) (string, *Fault) {
		return "", &Fault{http.StatusBadRequest, "ValidationError", fmt.Sprintf(format, args...)}
	}
	switch action {
	case "DescribeAutoScalingGroups":
		if q.Get("AutoScalingGroupNames.member.1") != c.Group {
			return "<AutoScalingGroups/>", nil
		}
		return fmt.Sprintf("<AutoScalingGroups><member><AutoScalingGroupName>%s</AutoScalingGroupName><MinSize>%d</MinSize><MaxSize>%d</MaxSize><DesiredCapacity>%d</DesiredCapacity></member></AutoScalingGroups>",
			c.Group, c.least, c.most, c.desired), nil
	case "SetDesiredCapacity":
		n, err := strconv.Atoi(q.Get("DesiredCapacity"))
		if err != nil || n < c.least || n > c.most || q.Get("AutoScalingGroupName") != c.Group {
			return invalid("New SetDesiredCapacity value %s is outside of %d to %d", q.Get("DesiredCapacity"), c.least, c.most)
		}
		c.resize(n)
		return "", nil
	case "DescribeAutoScalingInstances":
		for _, i := range c.instances {
			if i.ID == q.Get("InstanceIds.member.1") && i.State != "Terminated" {
				return fmt.Sprintf("<AutoScalingInstances><member><InstanceId>%s</InstanceId><AutoScalingGroupName>%s</AutoScalingGroupName><AvailabilityZone>us-west-2a</AvailabilityZone><LifecycleState>%s</LifecycleState><HealthStatus>HEALTHY</HealthStatus><ProtectedFromScaleIn>false</ProtectedFromScaleIn></member></AutoScalingInstances>",
					i.ID, c.Group, i.State), nil
			}
		}
		return "<AutoScalingInstances/>", nil
	case "DescribeLifecycleHooks":
		if c.Hook == "" {
			return "<LifecycleHooks/>", nil
		}
		return fmt.Sprintf("<LifecycleHooks><member><LifecycleHookName>%s</LifecycleHookName><AutoScalingGroupName>%s</AutoScalingGroupName><LifecycleTransition>autoscaling:EC2_INSTANCE_TERMINATING</LifecycleTransition><HeartbeatTimeout>%d</HeartbeatTimeout><DefaultResult>CONTINUE</DefaultResult></member></LifecycleHooks>",
			c.Hook, c.Group, int(c.Heartbeat.Seconds())), nil
	case "RecordLifecycleActionHeartbeat", "CompleteLifecycleAction":
		for _, i := range c.instances {
			if i.ID != q.Get("InstanceId") || i.State != "Terminating:Wait" || q.Get("LifecycleHookName") != c.Hook || q.Get("AutoScalingGroupName") != c.Group {
				continue
			}
			if action == "CompleteLifecycleAction" {
				i.State, i.Ended, i.Why = "Terminated", time.Now(), q.Get("LifecycleActionResult")
				return "", nil
			}
			i.Beats = append(i.Beats, time.Now())
			i.Deadline = time.Now().Add(c.Heartbeat)
			return "", nil
		}
		return invalid("No active Lifecycle Action found with instance ID %s", q.Get("InstanceId"))
	}
	return "", &Fault{http.StatusBadRequest, "InvalidAction", "there is no action " + strconv.Quote(action)}
}

// resize sets the size that is wanted; too many machines begin to end, the
// oldest first.
func (c *Cloud) resize(n int) {
	c.desired = n
	for _, i := range c.instances {
		if c.serving() <= n {
			return
		}
		if i.State == "InService" {
			i.State, i.Deadline = "Terminating:Wait", time.Now().Add(c.Heartbeat)
		}
	}
}
