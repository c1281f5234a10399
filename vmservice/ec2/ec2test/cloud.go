package ec2test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Config says what a cloud is like. The zero value is a region us-west-2 that
// is well: no lag, no limits, machines that boot in 30 seconds.
type Config struct {
	Region  string        // "" is us-west-2
	Lag     time.Duration // how long what was made can't be seen
	Boot    time.Duration // from pending to running; 0 is 30 seconds
	End     time.Duration // from shutting-down to terminated; 0 is 20 seconds
	Attach  time.Duration // also of Detach and of CreateVolume; 0 is 3 seconds
	Page    int           // the most things on a page; 0 is 1000
	VCPUs   int           // the quota; 0 is none
	Volumes int           // the most volumes; 0 is no limit
	// Buckets throttle actions, by name; "" is all others together.
	Buckets map[string]Bucket
	// Keys are secret keys by access key; those that a machine's role has
	// are good besides. Without any, every key is.
	Keys map[string]string
	Seed uint64 // of chance
	// Now is the clock; nil is time.Now, which is virtual in testing/synctest.
	Now func() time.Time
}

// A Bucket has Size tokens, and gets PerSecond new ones; a call takes one.
type Bucket struct {
	Size      float64
	PerSecond float64
}

// A Cloud is a region of an EC2 of its own. All methods are safe for concurrent
// use.
type Cloud struct {
	cfg Config

	mu        sync.Mutex
	rand      *rand.Rand
	next      int
	instances []*instance
	volumes   []*volume
	lookups   lookups
	rules     []*Rule
	denied    map[string]bool
	full      map[[2]string]int // type, zone
	buckets   map[string]*level
	calls     map[string]int
	peak      Peak
	metadata  metadata
	address   func(n int) string // of a new machine
}

// A Peak is the most that there was at one time.
type Peak struct {
	Instances, VCPUs, Volumes, GB int
}

// New returns a cloud with two subnets (subnet-0000000a in us-west-2a,
// subnet-0000000b in us-west-2b), the group sg-0000000a that opens the ports of
// machines, the image ami-0000000a and Ubuntu's for amd64 and arm64, and the
// types m5.large, m5.xlarge, m6g.large and t2.medium.
func New(cfg Config) *Cloud {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&cfg.Boot, 30*time.Second)
	set(&cfg.End, 20*time.Second)
	set(&cfg.Attach, 3*time.Second)
	if cfg.Region == "" {
		cfg.Region = "us-west-2"
	}
	if cfg.Page == 0 {
		cfg.Page = 1000
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Cloud{
		cfg: cfg, rand: rand.New(rand.NewPCG(cfg.Seed, 1)), lookups: region(cfg.Region), denied: map[string]bool{},
		full: map[[2]string]int{}, buckets: map[string]*level{}, calls: map[string]int{},
		address: func(n int) string { return fmt.Sprintf("10.0.%d.%d", n/250%250, n%250+1) },
	}
}

// maxBody is more than any request needs.
const maxBody = 1 << 20

// ServeHTTP answers one call of the query protocol, or one of the metadata
// service if the request is for its address.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isMetadata(r) {
		c.serveMetadata(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return // the client has gone
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		form = url.Values{}
	}
	status, answer, lost := c.call(r.Header, form)
	if lost {
		if h, ok := w.(http.Hijacker); ok {
			if conn, _, err := h.Hijack(); err == nil {
				_ = conn.Close() // the answer is lost, as told
				return
			}
		}
		status, answer = http.StatusBadGateway, nil
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(answer) // the client has gone
}

// Client returns a client whose requests the cloud answers, whatever their
// address, without any network: those for 169.254.169.254 as the metadata
// service.
func (c *Cloud) Client() *http.Client { return &http.Client{Transport: transport{c}} }

type transport struct{ *Cloud }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if isMetadata(r) {
		w := &recorder{header: http.Header{}, status: http.StatusOK}
		t.serveMetadata(w, r)
		return response(r, w.status, w.header, w.body.Bytes()), nil
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, maxBody)); err != nil {
			return nil, err
		}
		_ = r.Body.Close() // read to its end
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	status, answer, lost := t.call(r.Header, form)
	if lost {
		return nil, fmt.Errorf("read the answer: %w", io.ErrUnexpectedEOF)
	}
	return response(r, status, http.Header{"Content-Type": {"text/xml;charset=UTF-8"}}, answer), nil
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

func response(r *http.Request, status int, h http.Header, body []byte) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}

// fault is an error in Amazon's words.
type fault struct {
	status  int
	code    string
	message string
}

func (f *fault) Error() string { return f.code + ": " + f.message }

func bad(code, format string, args ...any) *fault {
	return &fault{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// failure is the body of an error.
type failure struct {
	XMLName xml.Name `xml:"Response"`
	Code    string   `xml:"Errors>Error>Code"`
	Message string   `xml:"Errors>Error>Message"`
	ID      string   `xml:"RequestID"`
}

// call does what a request asks for.
func (c *Cloud) call(h http.Header, form url.Values) (status int, body []byte, lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	action := form.Get("Action")
	c.calls[action]++
	now := c.cfg.Now()
	c.settle(now)
	var answer any
	var f *fault
	rule := c.rule(action, form)
	switch {
	case rule != nil && !rule.Lost:
		f = &fault{rule.status(), rule.Code, rule.Message}
	default:
		if f = c.signed(h); f == nil {
			f = c.throttle(action, now)
		}
		if f == nil {
			answer, f = c.act(action, form, now)
		}
		if rule != nil {
			return 0, nil, true
		}
	}
	c.count()
	var buf bytes.Buffer
	buf.WriteString(xml.Header)
	e := xml.NewEncoder(&buf)
	if f != nil {
		if err := e.Encode(failure{Code: f.code, Message: f.message, ID: fmt.Sprintf("req-%d", c.id())}); err != nil {
			return http.StatusInternalServerError, nil, false
		}
		return f.status, buf.Bytes(), false
	}
	if err := e.EncodeElement(answer, xml.StartElement{Name: xml.Name{Space: "http://ec2.amazonaws.com/doc/2016-11-15/", Local: action + "Response"}}); err != nil {
		return http.StatusInternalServerError, nil, false
	}
	return http.StatusOK, buf.Bytes(), false
}

// act finds the action.
func (c *Cloud) act(action string, form url.Values, now time.Time) (any, *fault) {
	if form.Get("Version") != "2016-11-15" {
		return nil, bad("NoSuchVersion", "version %q", form.Get("Version"))
	}
	if c.denied[action] {
		return nil, &fault{http.StatusForbidden, "UnauthorizedOperation", "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/rondo " +
			"is not authorized to perform: ec2:" + action + ". Encoded authorization failure message: aGlkZGVu-" + action}
	}
	does := map[string]func(url.Values, time.Time) (any, *fault){
		"RunInstances": c.runInstances, "DescribeInstances": c.describeInstances, "TerminateInstances": c.terminateInstances,
		"CreateVolume": c.createVolume, "DescribeVolumes": c.describeVolumes, "AttachVolume": c.attachVolume,
		"DetachVolume": c.detachVolume, "DeleteVolume": c.deleteVolume, "CreateTags": c.createTags,
		"DescribeSubnets": c.describeSubnets, "DescribeSecurityGroups": c.describeGroups,
		"DescribeImages": c.describeImages, "DescribeInstanceTypes": c.describeTypes,
	}[action]
	if does == nil {
		return nil, bad("InvalidAction", "The action %s is not valid for this web service.", action)
	}
	return does(form, now)
}

// dry is the answer to a call that would be done.
func dry(form url.Values) *fault {
	if form.Get("DryRun") != "true" {
		return nil
	}
	return &fault{http.StatusPreconditionFailed, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."}
}

// signed checks who has signed the request, and for what.
func (c *Cloud) signed(h http.Header) *fault {
	_, rest, ok := strings.Cut(h.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=")
	scope, _, _ := strings.Cut(rest, ",")
	parts := strings.Split(scope, "/")
	if !ok || len(parts) != 5 || !strings.Contains(rest, "Signature=") || h.Get("X-Amz-Date") == "" {
		return &fault{http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token"}
	}
	_, listed := c.cfg.Keys[parts[0]]
	switch {
	case parts[2] != c.cfg.Region || parts[3] != "ec2" || parts[4] != "aws4_request":
		return &fault{http.StatusForbidden, "SignatureDoesNotMatch", "Credential should be scoped to a valid region and service: " + scope}
	case parts[0] == c.metadata.key() && h.Get("X-Amz-Security-Token") == c.metadata.session():
	case !listed && (c.cfg.Keys != nil || c.metadata.role != ""):
		return &fault{http.StatusUnauthorized, "AuthFailure", "AWS was not able to validate the provided access credentials"}
	}
	return nil
}

// id counts what is made.
func (c *Cloud) id() int { c.next++; return c.next }
