package ec2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// A Driver boots machines at EC2 and keeps volumes there. It implements
// [vmservice.Driver], [vmservice.Volumes] and [vmservice.Checker]. All methods
// are safe for concurrent use.
type Driver struct {
	install string
	cfg     Config
	client  *ec2.Client
	born    time.Time

	mu      sync.Mutex
	subnets cached[[]subnet]
	images  map[string]cached[image]
	types   map[string]typeInfo
	// cold are places that had no room, until when.
	cold map[place]time.Time
	// doubt are keys whose last Create got no answer, since when.
	doubt map[string]time.Time
	// fresh is what was made lately and what lists may not show yet, by ID.
	fresh        map[string]made[vmservice.Machine]
	freshVolumes map[string]made[vmservice.Volume]
	// listed are the machines of the last list, which are ours to end.
	listed map[string]bool
}

// How long things are remembered.
const (
	lagging  = time.Minute     // how long what was made may not be listed
	coolDown = 3 * time.Minute // how long a place without room is left alone
	doubting = 10 * time.Minute
	lookups  = 10 * time.Minute // subnets and images
)

// A cached value is looked up again after a while.
type cached[T any] struct {
	value T
	at    time.Time
}

// made is what was made, and when.
type made[T any] struct {
	value T
	at    time.Time
}

// New returns a driver for the machines of one installation, which install
// names: at most 100 characters, the same for all of its servers and no other.
// Nobody is asked anything yet.
func New(install string, cfg Config) (*Driver, error) {
	wrong := cfg.Check()
	if install == "" || len(install) > 100 {
		wrong = errors.Join(wrong, fmt.Errorf("the name of the installation has 1 to 100 characters: %w", ci.ErrInvalid))
	}
	if wrong != nil {
		return nil, fmt.Errorf("machines at EC2: %w", wrong)
	}
	if cfg.Net.HTTP == nil {
		cfg.Net.HTTP = httpClient()
	}
	d := &Driver{
		install: install, cfg: cfg, born: time.Now(), images: map[string]cached[image]{}, types: map[string]typeInfo{},
		cold: map[place]time.Time{}, doubt: map[string]time.Time{},
		fresh: map[string]made[vmservice.Machine]{}, freshVolumes: map[string]made[vmservice.Volume]{},
	}
	d.client = ec2.New(ec2.Options{
		Region: cfg.Region, Credentials: provider(cfg), HTTPClient: cfg.Net.HTTP, AppID: "rondo",
		// A few quick tries; the pool tries again for as long as it wants to.
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 3 }),
	}, func(o *ec2.Options) {
		if cfg.Net.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Net.Endpoint)
		}
	})
	return d, nil
}

// provider returns where credentials come from. The metadata service is asked
// with session tokens only: one that gives credentials without is a mistake
// that should be seen.
func provider(cfg Config) aws.CredentialsProvider {
	if cfg.Auth.Way == Keys {
		return credentials.NewStaticCredentialsProvider(cfg.Auth.AccessKey, cfg.Auth.SecretKey, "")
	}
	metadata := imds.New(imds.Options{HTTPClient: cfg.Net.HTTP, Endpoint: cfg.Net.Metadata, EnableFallback: aws.FalseTernary})
	return aws.NewCredentialsCache(ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = metadata }), func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow = 5 * time.Minute
	})
}

// httpClient returns a client that goes by the proxy of the environment, but
// never sends the metadata service's answers, which are credentials, through
// one. The SDK's own has no way to say that.
func httpClient() *http.Client {
	t := &http.Transport{
		Proxy: proxyOf, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 10,
		IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second,
	}
	return &http.Client{Transport: t, Timeout: time.Minute}
}

// place is where machines of one type come from: when one has no room, those
// beside it may.
type place struct {
	Type   string // "" is any: the subnet has no addresses
	Zone   string // "" is any zone
	Subnet string
	Spot   bool
}

// warm reports whether a place may be asked, and if not, how long not.
func (d *Driver) warm(places ...place) (time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var wait time.Duration
	for _, p := range places {
		wait = max(wait, time.Until(d.cold[p]))
	}
	return wait, wait <= 0
}

// cool leaves a place alone for a while.
func (d *Driver) cool(p place, long time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for q, until := range d.cold {
		if time.Now().After(until) {
			delete(d.cold, q)
		}
	}
	d.cold[p] = time.Now().Add(long)
}

// doubted says whether a machine of that key may exist already: its last
// Create had no answer, or this driver has not been there long enough to know.
func (d *Driver) doubted(key string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	since, doubted := d.doubt[key]
	return doubted && time.Since(since) < doubting || time.Since(d.born) < doubting
}

// setDoubt remembers that the outcome of a Create is not known, or that it is.
func (d *Driver) setDoubt(key string, doubt bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !doubt {
		delete(d.doubt, key)
		return
	}
	for k, since := range d.doubt {
		if time.Since(since) > doubting {
			delete(d.doubt, k)
		}
	}
	d.doubt[key] = time.Now()
}

// remember keeps what was made until lists show it.
func remember[T any](d *Driver, all map[string]made[T], id string, v T) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, m := range all {
		if time.Since(m.at) > lagging {
			delete(all, k)
		}
	}
	all[id] = made[T]{v, time.Now()}
}

// lately reports whether it was made so short a time ago that "not found" does
// not mean that it isn't there.
func lately[T any](d *Driver, all map[string]made[T], id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	m, ok := all[id]
	return ok && time.Since(m.at) < lagging
}

// unlisted returns what was made lately and is not among the seen, and forgets
// the others.
func unlisted[T any](d *Driver, all map[string]made[T], seen map[string]bool) []T {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []T
	for _, id := range sortedKeys(all) {
		switch m := all[id]; {
		case seen[id] || time.Since(m.at) > lagging:
			delete(all, id)
		default:
			out = append(out, m.value)
		}
	}
	return out
}

// forget drops what was made lately.
func forget[T any](d *Driver, all map[string]made[T], id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(all, id)
}

// wait returns after the time, or with the error of the context.
func wait(ctx context.Context, long time.Duration) error {
	t := time.NewTimer(long)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
