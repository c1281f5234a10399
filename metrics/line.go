package metrics

import "sync"

// A line is what waits for one sink.
type line struct {
	name string
	sink Sink
	most int
	wake chan struct{}

	mu   sync.Mutex
	wait []Sample
	bad  map[string]bool
}

// put appends samples and returns how many of the oldest were dropped for it.
func (l *line) put(samples []Sample) (dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wait = append(l.wait, samples...)
	if dropped = max(0, len(l.wait)-l.most); dropped > 0 {
		l.wait = append(make([]Sample, 0, l.most), l.wait[dropped:]...)
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return dropped
}

// take removes the oldest n.
func (l *line) take(n int) []Sample {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = min(n, len(l.wait))
	taken := l.wait[:n:n]
	l.wait = l.wait[n:]
	return taken
}

// back puts what was taken before what waits now; what has no room is dropped.
func (l *line) back(samples []Sample) (dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	dropped = max(0, len(samples)+len(l.wait)-l.most)
	l.wait = append(append([]Sample(nil), samples[min(dropped, len(samples)):]...), l.wait...)
	return dropped
}
