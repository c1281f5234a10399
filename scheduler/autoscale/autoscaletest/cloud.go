// Package autoscaletest is the part of Amazon's cloud that scaling talks to, in
// memory: Auto Scaling groups with lifecycle hooks over their real protocol,
// and the metadata of a machine (IMDSv2). It keeps time by the clock of the
// test, ends a machine whose heartbeat does not come, and refuses requests as a
// test tells it to.
//
// A [Cloud] is the server; it runs no machine.
package autoscaletest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// An Instance is a machine of a group.
type Instance struct {
	ID, State string // InService, Terminating:Wait, Terminated
	Began     time.Time
	Deadline  time.Time // of the heartbeat
	Ended     time.Time
	// Why is how it came to its end: CONTINUE, ABANDON, or HEARTBEAT_TIMEOUT.
	Why   string
	Beats []time.Time
}

// A Fault is what a request gets instead of an answer.
type Fault struct {
	Status        int
	Code, Message string
}

// Throttling is how Amazon asks to slow down.
func Throttling() Fault { return Fault{http.StatusBadRequest, "Throttling", "Rate exceeded"} }

// Broken is an error of the service itself.
func Broken() Fault { return Fault{http.StatusServiceUnavailable, "ServiceUnavailable", "try again"} }

// A Cloud has one group with one hook. Its methods may be called at once.
type Cloud struct {
	Group, Hook string
	Heartbeat   time.Duration

	mu                   sync.Mutex
	desired, least, most int
	made                 int
	instances            []*Instance
	faults               map[string][]Fault
	calls                []string
	self                 string // whose metadata it serves
	notice               string // of the end of a spot instance
	join                 func(id string)
}

// New returns a group that has as many machines as it must. Join is called for
// each machine that starts, without a lock held on what it does; nil is nobody.
func New(group, hook string, heartbeat time.Duration, least, most int, join func(id string)) *Cloud {
	if join == nil {
		join = func(string) {}
	}
	c := &Cloud{Group: group, Hook: hook, Heartbeat: heartbeat, least: least, most: most, desired: least, faults: map[string][]Fault{}, join: join}
	c.fill()
	return c
}

// fill starts machines until there are as many as wanted.
func (c *Cloud) fill() {
	c.mu.Lock()
	var started []string
	for c.serving() < c.desired {
		c.made++
		i := &Instance{ID: fmt.Sprintf("i-%017x", c.made), State: "InService", Began: time.Now()}
		c.instances = append(c.instances, i)
		started = append(started, i.ID)
		if c.self == "" {
			c.self = i.ID
		}
	}
	c.mu.Unlock()
	for _, id := range started {
		c.join(id)
	}
}

func (c *Cloud) serving() int {
	n := 0
	for _, i := range c.instances {
		if i.State == "InService" {
			n++
		}
	}
	return n
}

// Instances returns all machines that ever were, as they stand now.
func (c *Cloud) Instances() []Instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire()
	var out []Instance
	for _, i := range c.instances {
		v := *i
		v.Beats = slices.Clone(i.Beats)
		out = append(out, v)
	}
	return out
}

// Self says which machine asks for its metadata; at first it is the oldest.
func (c *Cloud) Self(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.self = id
}

// SpotNotice announces the end of the machine that asks.
func (c *Cloud) SpotNotice(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notice = fmt.Sprintf(`{"action":"terminate","time":%q}`, at.UTC().Format(time.RFC3339))
}

// Terminate begins to end a machine, as a scale-in does: it waits for its hook.
func (c *Cloud) Terminate(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range c.instances {
		if i.ID == id && i.State == "InService" {
			i.State, i.Deadline = "Terminating:Wait", time.Now().Add(c.Heartbeat)
			c.desired = max(c.desired-1, c.least)
		}
	}
}

// Fail makes the next requests of an action end with these faults, in order.
// Action "IMDS" is the metadata.
func (c *Cloud) Fail(action string, faults ...Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults[action] = append(c.faults[action], faults...)
}

// Calls returns the actions that were asked for, in order.
func (c *Cloud) Calls() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

// Client returns a client whose every request, to whatever host, comes here,
// without a network, so that a test may keep the time.
func (c *Cloud) Client() *http.Client { return &http.Client{Transport: transport{c}} }

type transport struct{ handler http.Handler }

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	t.handler.ServeHTTP(w, r)
	res := w.Result()
	res.Request = r
	return res, nil
}

// expire ends the machines whose heartbeat is late.
func (c *Cloud) expire() {
	for _, i := range c.instances {
		if i.State == "Terminating:Wait" && time.Now().After(i.Deadline) {
			i.State, i.Ended, i.Why = "Terminated", i.Deadline, "HEARTBEAT_TIMEOUT"
		}
	}
}

// ServeHTTP implements [http.Handler].
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/latest/") {
		c.metadata(w, r)
		return
	}
	_ = r.ParseForm()
	action := r.Form.Get("Action")
	c.mu.Lock()
	c.expire()
	c.calls = append(c.calls, action)
	f := c.fault(action)
	if f == nil {
		var body string
		if body, f = c.answer(action, r.Form); f == nil {
			fmt.Fprintf(w, `<%sResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><%sResult>%s</%sResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></%sResponse>`,
				action, action, body, action, action)
		}
	}
	c.mu.Unlock()
	if f != nil {
		w.WriteHeader(f.Status)
		fmt.Fprintf(w, `<ErrorResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>r</RequestId></ErrorResponse>`, f.Code, f.Message)
		return
	}
	c.fill()
}

func (c *Cloud) fault(action string) *Fault {
	if all := c.faults[action]; len(all) > 0 {
		c.faults[action] = all[1:]
		return &all[0]
	}
	return nil
}

// metadata is IMDSv2: without a token there is nothing.
func (c *Cloud) metadata(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire()
	if f := c.fault("IMDS"); f != nil {
		w.WriteHeader(f.Status)
		return
	}
	if r.Method == http.MethodPut {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
		_, _ = io.WriteString(w, "token")
		return
	}
	if r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var self *Instance
	for _, i := range c.instances {
		if i.ID == c.self {
			self = i
		}
	}
	text := ""
	switch path := strings.TrimPrefix(r.URL.Path, "/latest/meta-data/"); {
	case self == nil:
	case path == "instance-id":
		text = self.ID
	case path == "placement/region":
		text = "us-west-2"
	case path == "autoscaling/target-lifecycle-state":
		if text = "InService"; self.State != "InService" {
			text = "Terminated"
		}
	case path == "spot/instance-action":
		text = c.notice
	}
	if text == "" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = io.WriteString(w, text)
}
