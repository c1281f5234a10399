package autoscale

import "math"

// ErlangB returns the share of arrivals that find all c servers busy and go
// away, when load servers would be busy on average (arrivals a second times
// seconds of service). Erlang 1917, by the recursion B(k) = aB/(k + aB).
func ErlangB(c int, load float64) float64 {
	b := 1.0
	for k := 1; k <= c; k++ {
		b = load * b / (float64(k) + load*b)
	}
	return b
}

// ErlangC returns the share of arrivals that have to wait for one of c servers.
// With a load of c or more it is 1: the queue only grows.
func ErlangC(c int, load float64) float64 {
	if load <= 0 {
		return 0
	}
	rho := load / float64(c)
	if c < 1 || rho >= 1 {
		return 1
	}
	b := ErlangB(c, load)
	return b / (1 - rho*(1-b))
}

// MeanWait returns the mean wait of M/M/c in units of the time of service;
// infinite with a load of c or more.
func MeanWait(c int, load float64) float64 {
	switch {
	case load <= 0:
		return 0
	case load >= float64(c):
		return math.Inf(1)
	}
	return ErlangC(c, load) / (float64(c) - load)
}

// WaitQuantile returns the wait that the share p of arrivals of M/M/c stays
// below, in units of the time of service; infinite with a load of c or more.
func WaitQuantile(c int, load, p float64) float64 {
	switch {
	case load <= 0:
		return 0
	case load >= float64(c):
		return math.Inf(1)
	}
	return max(0, math.Log(ErlangC(c, load)/(1-p))/(float64(c)-load))
}

// FixedWait returns the mean wait of M/D/c, in which each service takes equally
// long, in units of that time; infinite with a load of c or more.
//
// It is exact: looked at once a time of service, the number in the system is a
// Markov chain, N' = max(N-c, 0) + Poisson(load), as all c that were in service
// have left and nobody who came since. Its stationary distribution is found by
// iteration, and Little's law gives the wait.
func FixedWait(c int, load float64) float64 {
	switch {
	case load <= 0:
		return 0
	case load >= float64(c):
		return math.Inf(1)
	}
	arrive := poisson(load)
	states := c + len(arrive) + int(60/(1-load/float64(c))) // beyond is nothing that counts
	now, next := make([]float64, states), make([]float64, states)
	copy(now, arrive)
	last := -1.0
	for range 200_000 {
		clear(next)
		for n, p := range now {
			if p < 1e-18 {
				continue
			}
			left := max(n-c, 0)
			for k, q := range arrive {
				next[min(left+k, states-1)] += p * q
			}
		}
		now, next = next, now
		waiting := 0.0
		for n := c + 1; n < states; n++ {
			waiting += float64(n-c) * now[n]
		}
		if math.Abs(waiting-last) < 1e-12*(1+waiting) {
			break
		}
		last = waiting
	}
	return last / load
}

// poisson returns the probabilities of 0, 1, ... arrivals, up to where they
// vanish.
func poisson(mean float64) []float64 {
	p := make([]float64, int(mean+10*math.Sqrt(mean))+20)
	log := -mean
	for k := range p {
		if k > 0 {
			log += math.Log(mean / float64(k))
		}
		p[k] = math.Exp(log)
	}
	return p
}

// Cheapest returns the number of servers at which one more would cost more than
// the waiting that it saves, and what that costs an hour: price for each that is
// idle, and developer for each hour waited. wait is [FixedWait] or [MeanWait];
// load is as in [ErlangB]. A price of 0 has no answer: it returns the fewest
// that keep up.
func Cheapest(load, price, developer float64, wait func(c int, load float64) float64) (int, float64) {
	// Arrivals an hour times hours waited: load times the wait in services.
	cost := func(c int) float64 { return price*(float64(c)-load) + developer*load*wait(c, load) }
	least := int(load) + 1
	if price <= 0 {
		return least, cost(least)
	}
	// The answer of M/M/c is quick to find, and that of anything else is near.
	best := least
	quick := func(c int) float64 { return price*(float64(c)-load) + developer*load*MeanWait(c, load) }
	for quick(best+1) < quick(best) {
		best++
	}
	for cost(best+1) < cost(best) {
		best++
	}
	for best > least && cost(best-1) <= cost(best) {
		best--
	}
	return best, cost(best)
}

// Servers returns the least number at which the share p of arrivals waits no
// longer than wait, in units of the time of service. At a load of 0 it is 0.
func Servers(load, wait, p float64) int {
	if load <= 0 {
		return 0
	}
	c := int(load) + 1
	for WaitQuantile(c, load, p) > wait {
		c++
	}
	return c
}
