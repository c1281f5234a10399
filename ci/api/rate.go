package api

import (
	"cmp"
	"container/list"
	"crypto/sha256"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// A RateConfig limits how often a client may call. The zero RateConfig is
// generous.
type RateConfig struct {
	// Token is how many requests in a minute one token may make, in a burst or
	// evenly; 0 is 30,000, less is no limit.
	Token int
	// Address is how many an address may make without a good token; 0 is
	// 6,000, less is no limit. An IPv6 address counts with its /64.
	Address int
	// From returns the address that a request comes from; nil believes the
	// connection and no field of the request.
	From func(*http.Request) string
}

const (
	defaultTokenRate   = 30_000
	defaultAddressRate = 6_000
	// maxKeys bounds the memory of a limiter, about 10 MB. Who is forgotten
	// begins anew.
	maxKeys = 50_000
)

// limits are the limiters of an API.
type limits struct {
	tokens, addresses *limiter // nil is none
	from              func(*http.Request) string
}

func newLimits(cfg RateConfig) limits {
	if cfg.From == nil {
		cfg.From = remote
	}
	return limits{newLimiter(cfg.Token, defaultTokenRate), newLimiter(cfg.Address, defaultAddressRate), cfg.From}
}

// remote returns the address at the other end of the connection, or the
// network that one host may have to itself.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		if net64, err := ip.Prefix(64); err == nil {
			return net64.String()
		}
	}
	return ip.String()
}

// A limiter gives each key a bucket of tokens that fills evenly. It is safe for
// concurrent use; a nil one lets everything pass.
type limiter struct {
	size float64 // of a bucket, which is also what fills it in a minute
	mu   sync.Mutex
	used *list.List // of *bucket, the one used last in front
	by   map[string]*list.Element
}

type bucket struct {
	key  string
	left float64
	at   time.Time
}

func newLimiter(perMinute, def int) *limiter {
	if perMinute == 0 {
		perMinute = def
	}
	if perMinute < 0 {
		return nil
	}
	return &limiter{size: float64(perMinute), used: list.New(), by: map[string]*list.Element{}}
}

// An allowance is the answer to a request.
type allowance struct {
	ok          bool
	limit, left int
	reset, wait int // seconds until the bucket is full, and until one more may come
}

// take counts a request of the key. With n 0 it only looks.
func (l *limiter) take(key string, n float64, now time.Time) allowance {
	if l == nil {
		return allowance{ok: true}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &bucket{key: key, left: l.size, at: now}
	if e := l.by[key]; e != nil {
		b = e.Value.(*bucket)
		l.used.MoveToFront(e)
	} else if n > 0 {
		l.by[key] = l.used.PushFront(b)
		if l.used.Len() > maxKeys {
			delete(l.by, l.used.Remove(l.used.Back()).(*bucket).key)
		}
	}
	if since := now.Sub(b.at); since > 0 {
		b.left, b.at = min(l.size, b.left+since.Minutes()*l.size), now
	}
	ok := b.left >= 1
	if ok {
		b.left -= n
	}
	seconds := func(tokens float64) int { return int(math.Ceil(tokens / l.size * 60)) }
	return allowance{ok, int(l.size), int(b.left), seconds(l.size - b.left), max(seconds(1-b.left), 1)}
}

// knows reports whether the key has a bucket.
func (l *limiter) knows(key string) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.by[key] != nil
}

// admit authenticates the call and counts it: a token that was good before for
// itself, all else for the address that it comes from until it turns out good.
// An address that has used up its share may not try further tokens, but those
// that were good before still are, so a stranger behind the same address cannot
// lock anybody out.
func (c *call) admit(route route) error {
	now, from, t := time.Now(), c.limits.from(c.r), token(c.r)
	tokens, addresses := c.limits.tokens, c.limits.addresses
	sum := sha256.Sum256([]byte(t))
	key := string(sum[:])
	if t != "" && tokens.knows(key) {
		if err := c.tell(tokens.take(key, 1, now)); err != nil {
			return err
		}
		return c.authenticate(route)
	}
	if a := addresses.take(from, 0, now); !a.ok {
		return c.tell(a)
	}
	err := c.authenticate(route)
	if err == nil && !route.open && !c.anybody {
		if t == "" { // known by other means
			key = string(c.by.Kind) + " " + c.by.ID + " " + c.by.Login
		}
		return c.tell(tokens.take(key, 1, now))
	}
	return cmp.Or(c.tell(addresses.take(from, 1, now)), err)
}

// tell writes an allowance into the reply's header, and returns the refusal if
// there is nothing left.
func (c *call) tell(a allowance) error {
	if a.limit == 0 {
		return nil
	}
	h := c.w.Header()
	for name, n := range map[string]int{
		"RateLimit-Limit": a.limit, "RateLimit-Remaining": a.left, "RateLimit-Reset": a.reset,
		"X-RateLimit-Limit-Minute": a.limit, "X-RateLimit-Remaining-Minute": a.left, "X-RateLimit-Reset": a.reset,
	} {
		h.Set(name, strconv.Itoa(n))
	}
	if a.ok {
		return nil
	}
	h.Set("Retry-After", strconv.Itoa(a.wait))
	return refuse(http.StatusTooManyRequests, fmt.Sprintf("Too many requests: %d per minute are allowed. Try again in %d seconds.", a.limit, a.wait))
}
