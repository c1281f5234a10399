package authtest

import (
	"time"
)

// A Fault is what a directory does wrong. The zero does nothing wrong.
type Fault struct {
	// Drop closes the connection instead of answering the operation: bind,
	// search, extended, or any.
	Drop string
	// Slow is how long each answer takes; a test sets more than the client waits.
	Slow time.Duration
	// Result is given to the operation named by On, as 51 for busy.
	On     string
	Result int
	// Referral adds references to other servers to each search.
	Referral string
	// SizeLimit is the most entries that a search gives; 0 is no limit.
	SizeLimit int
	// RefuseStartTLS answers StartTLS with an error. InjectStartTLS sends an
	// answer to a search in the clear right behind that to StartTLS.
	RefuseStartTLS, InjectStartTLS bool
	// Padding makes each entry larger by so many bytes.
	Padding int
	// Endless never sends the last page, nor the end of what it sends.
	Endless bool
	// AnonymousSuccess answers binds with an empty password with success, as
	// RFC 4513 has it and many servers do.
	AnonymousSuccess bool
}

// SetFault has the directory go wrong from now on.
func (d *Directory) SetFault(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

func (d *Directory) currentFault() Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fault
}

// A Request is one that the directory was asked.
type Request struct {
	Op         string // bind, search, extended
	Connection int    // numbered from 1
	DN         string // of a bind, or the base of a search
	Encrypted  bool
	Empty      bool // a bind without a password
}

// Requests returns all requests since the last call, so that a test can count
// round trips and see who asked what over which connection.
func (d *Directory) Requests() []Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.requests
	d.requests = nil
	return all
}

// maxRequests is how many are remembered.
const maxRequests = 100_000

func (d *Directory) record(r Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.requests) < maxRequests {
		d.requests = append(d.requests, r)
	}
}
