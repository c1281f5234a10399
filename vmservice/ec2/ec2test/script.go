package ec2test

import (
	"cmp"
	"net/http"
	"net/url"
	"time"
)

// A Rule makes calls fail.
type Rule struct {
	Action string                // "" is every
	When   func(url.Values) bool // of the request's parameters; nil is always
	Times  int                   // how often; 0 is always
	Chance float64               // of each call that fits; 0 is certain
	// Code, Message and Status are the answer; a Status of 0 goes by the code.
	Code    string
	Message string
	Status  int
	// Lost does what is asked, and loses the answer.
	Lost bool
}

// status returns the HTTP status that goes with a code.
func (r *Rule) status() int {
	byCode := map[string]int{
		"RequestLimitExceeded": http.StatusServiceUnavailable, "Unavailable": http.StatusServiceUnavailable,
		"ServiceUnavailable": http.StatusServiceUnavailable, "InternalError": http.StatusInternalServerError,
		"InsufficientInstanceCapacity": http.StatusInternalServerError, "UnauthorizedOperation": http.StatusForbidden,
	}
	return cmp.Or(r.Status, byCode[r.Code], http.StatusBadRequest)
}

// Script adds rules. Of those that fit a call the first one counts.
func (c *Cloud) Script(rules ...Rule) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rules {
		c.rules = append(c.rules, &r)
	}
}

// Heal drops all rules, refusals and shortages, and what is stuck gets free.
func (c *Cloud) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rules = nil
	clear(c.denied)
	clear(c.full)
	for _, i := range c.instances {
		i.stuck = false
	}
	for _, v := range c.volumes {
		v.stuck = false
	}
}

// rule returns the one that applies to a call, and counts it.
func (c *Cloud) rule(action string, form url.Values) *Rule {
	for i, r := range c.rules {
		if r.Action != "" && r.Action != action || r.When != nil && !r.When(form) || r.Chance > 0 && c.rand.Float64() >= r.Chance {
			continue
		}
		if r.Times == 1 {
			c.rules = append(c.rules[:i:i], c.rules[i+1:]...)
		}
		r.Times--
		return r
	}
	return nil
}

// Deny makes the account lack the right to an action.
func (c *Cloud) Deny(actions ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range actions {
		c.denied[a] = true
	}
}

// Room says how many instances of a type may live in a zone at a time; a
// negative number is no limit.
func (c *Cloud) Room(typ, zone string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.full[[2]string{typ, zone}] = n + 1 // so that 0 is no limit
}

// Kill ends an instance as Amazon does by itself, with the code of a reason
// such as Client.InternalError, and says whether there was one.
func (c *Cloud) Kill(id, code, message string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	c.settle(now)
	for _, i := range c.instances {
		if i.ID == id && i.ended.IsZero() {
			i.end(now)
			i.reason, i.message = code, message
			return true
		}
	}
	return false
}

// Stick makes the end of an instance, or the detaching of a volume that is not
// forced, take until [Cloud.Heal].
func (c *Cloud) Stick(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range c.instances {
		i.stuck = i.stuck || i.ID == id
	}
	for _, v := range c.volumes {
		v.stuck = v.stuck || v.ID == id
	}
}

// Calls returns how often an action was called, failures too.
func (c *Cloud) Calls(action string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[action]
}

// Peak returns the most that there was at one time, counted at each call.
func (c *Cloud) Peak() Peak {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peak
}

// count keeps the peak.
func (c *Cloud) count() {
	var now Peak
	for _, i := range c.instances {
		if i.gone.IsZero() {
			now.Instances++
			now.VCPUs += c.lookups.types[i.Type].vcpus
		}
	}
	for _, v := range c.volumes {
		if v.deleted.IsZero() {
			now.Volumes++
			now.GB += v.GB
		}
	}
	c.peak = Peak{
		max(c.peak.Instances, now.Instances), max(c.peak.VCPUs, now.VCPUs), max(c.peak.Volumes, now.Volumes), max(c.peak.GB, now.GB),
	}
}

// level is how full a bucket is.
type level struct {
	tokens float64
	at     time.Time
}

// throttle takes a token from the bucket of the action.
func (c *Cloud) throttle(action string, now time.Time) *fault {
	name := action
	b, ok := c.cfg.Buckets[name]
	if !ok {
		name = ""
		if b, ok = c.cfg.Buckets[name]; !ok {
			return nil
		}
	}
	l := c.buckets[name]
	if l == nil {
		l = &level{b.Size, now}
		c.buckets[name] = l
	}
	l.tokens = min(b.Size, l.tokens+b.PerSecond*now.Sub(l.at).Seconds())
	l.at = now
	if l.tokens < 1 {
		return &fault{http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."}
	}
	l.tokens--
	return nil
}
