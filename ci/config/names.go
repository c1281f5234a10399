package config

import "strconv"

// nameJobs gives every job its final name and joins equal bodies.
//
// A name that stands for one body, and at most once in each workflow, stays as
// it is. Otherwise all that share it get a suffix -1, -2 and so on in the order
// in which they appear in the file. A body that comes again in another
// workflow is the same job.
func (c *compiler) nameJobs() {
	groups := make(map[string][]*call)
	var order []string
	for _, w := range c.workflows {
		for _, k := range w.calls {
			if k.job == nil {
				continue
			}
			k.job.text = c.printed(k.job.body)
			if groups[k.base] == nil {
				order = append(order, k.base)
			}
			groups[k.base] = append(groups[k.base], k)
		}
		if c.stopped() {
			return
		}
	}
	taken := make(map[string]bool, len(order))
	for _, name := range order {
		if single(groups[name]) {
			taken[name] = true
		}
	}
	for _, name := range order {
		c.nameGroup(name, groups[name], taken)
	}
	for _, w := range c.workflows {
		c.nameApprovals(w)
	}
	printed := make(map[*compiledJob]bool)
	for _, w := range c.workflows {
		for _, k := range w.calls {
			if k.job != nil && !printed[k.job] {
				printed[k.job] = true
				k.job.name = k.name
				c.jobs = append(c.jobs, k.job)
			}
		}
	}
}

// single reports whether the calls are one job, at most once in a workflow.
func single(calls []*call) bool {
	in := make(map[*workflow]bool, len(calls))
	for _, k := range calls {
		if in[k.w] || k.job.text != calls[0].job.text {
			return false
		}
		in[k.w] = true
	}
	return true
}

// nameGroup names the calls that share a base name.
func (c *compiler) nameGroup(name string, calls []*call, taken map[string]bool) {
	if single(calls) {
		for _, k := range calls {
			k.name, k.job = name, calls[0].job
		}
		return
	}
	type entry struct {
		job  *compiledJob
		name string
		in   map[*workflow]bool
	}
	byText := make(map[string][]*entry)
	number := 0
next:
	for _, k := range calls {
		for _, e := range byText[k.job.text] {
			if !e.in[k.w] {
				e.in[k.w] = true
				k.job, k.name = e.job, e.name
				continue next
			}
		}
		suffixed := ""
		for suffixed == "" || taken[suffixed] {
			number++
			suffixed = name + "-" + strconv.Itoa(number)
		}
		taken[suffixed] = true
		e := &entry{job: k.job, name: suffixed, in: map[*workflow]bool{k.w: true}}
		byText[k.job.text] = append(byText[k.job.text], e)
		k.name = suffixed
	}
}

// nameApprovals names the approvals of a workflow, which have no body. Only a
// clash within the workflow gives them suffixes.
func (c *compiler) nameApprovals(w *workflow) {
	count := make(map[string]int)
	taken := make(map[string]bool)
	for _, k := range w.calls {
		if k.job == nil {
			count[k.base]++
		} else {
			taken[k.name] = true
		}
	}
	number := make(map[string]int)
	for _, k := range w.calls {
		if k.job != nil {
			continue
		}
		k.name = k.base
		for count[k.base] > 1 && number[k.base] == 0 || taken[k.name] {
			number[k.base]++
			k.name = k.base + "-" + strconv.Itoa(number[k.base])
			if !taken[k.name] {
				break
			}
		}
		taken[k.name] = true
	}
}
