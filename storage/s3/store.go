package s3

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

const (
	// attempts is how often a call is tried before its error is returned.
	attempts = 5
	// maxPause is the longest rest between two attempts.
	maxPause = 8 * time.Second
	// silence is how long a connection may be without a byte in either
	// direction while a call is under way.
	silence = 30 * time.Second
)

// A Store is a bucket at S3. All methods are safe for concurrent use, also by
// several servers on one bucket.
type Store struct {
	client *sdk.Client
	http   *http.Client // for links
	blobs  *blob.Bucket
	cfg    Config
	ready  atomic.Bool // links are good, see TryLinks
}

// Open returns the store. It looks for credentials but asks the server
// nothing; see [Store.Check]. A bad configuration is [ci.ErrInvalid]. Who
// opens it closes what Blobs returns.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.Valid(); err != nil {
		return nil, fmt.Errorf("open bucket at s3: %w", err)
	}
	s, err := open(ctx, cfg, patience{silence, maxPause})
	if err != nil {
		return nil, fmt.Errorf("open bucket %s at s3: %w", cfg.Bucket, err)
	}
	return s, nil
}

// patience is how long is waited for a server; tests have less.
type patience struct{ silence, pause time.Duration }

func open(ctx context.Context, cfg Config, wait patience) (*Store, error) {
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	transport, err := cfg.transport(wait.silence)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: transport, CheckRedirect: noRedirect}
	options := []func(*config.LoadOptions) error{
		config.WithRegion(cfg.Region),
		config.WithRetryer(wait.retryer),
		// Given one by one, as the SDK refuses a client of all together with
		// AWS_CA_BUNDLE.
		config.WithEC2RoleCredentialOptions(func(o *ec2rolecreds.Options) {
			o.Client = imds.New(imds.Options{HTTPClient: client})
		}),
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = client }),
	}
	if cfg.AccessKey != "" {
		options = append(options, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(cfg.AccessKey, cfg.SecretKey, "")))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	checksums := aws.RequestChecksumCalculationWhenSupported
	if cfg.Endpoint != "" { // not all servers know the newer checksums; files carry their own
		checksums = aws.RequestChecksumCalculationWhenRequired
	}
	s := &Store{cfg: cfg, http: client}
	s.client = sdk.NewFromConfig(loaded, func(o *sdk.Options) {
		o.HTTPClient = client
		o.UsePathStyle = cfg.PathStyle
		o.RequestChecksumCalculation = checksums
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.APIOptions = append(o.APIOptions, cfg.explaining)
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
		}
	})
	b, err := s3blob.OpenBucket(ctx, s.client, cfg.Bucket, &s3blob.Options{
		EncryptionType: types.ServerSideEncryption(cfg.Encryption), KMSEncryptionID: cfg.KMSKey,
		RequestChecksumCalculation: checksums,
	})
	if err != nil {
		return nil, err
	}
	if p := cfg.prefix(); p != "" {
		b = blob.PrefixedBucket(b, p)
	}
	s.blobs = b
	return s, nil
}

// Blobs returns the bucket. It is the same one at each call.
func (s *Store) Blobs() *blob.Bucket { return s.blobs }

// retryer repeats what failed for a reason that passes. The second is what
// S3 answers to one of two conditional writes at the same moment.
func (p patience) retryer() aws.Retryer {
	return retry.AddWithErrorCodes(retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.MaxBackoff = p.pause
		o.RateLimiter = noLimit{} // a storm ends by the pauses, not by giving up early
	}), "ConditionalRequestConflict", "XMinioServerNotInitialized")
}

// noLimit lets each call have its attempts whatever befell others.
type noLimit struct{}

func (noLimit) GetToken(context.Context, uint) (func() error, error) { return free, nil }
func (noLimit) AddTokens(uint) error                                 { return nil }

func free() error { return nil }

// noRedirect leaves redirects alone: a signed request is good for one host.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// transport is how the server is reached.
func (c Config) transport(silence time.Duration) (http.RoundTripper, error) {
	proxy := proxyOf
	if c.Proxy != "" {
		to, err := url.Parse(c.Proxy)
		if err != nil {
			return nil, fmt.Errorf("the address of the proxy cannot be read")
		}
		proxy = http.ProxyURL(to)
	}
	dial := &net.Dialer{Timeout: 10 * time.Second}
	t := &http.Transport{
		Proxy: proxy,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &mortal{conn, silence}, nil
		},
		TLSClientConfig:     &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     20 * time.Second, // less than silence, so no idle one looks broken
	}
	if c.Wrap != nil {
		return c.Wrap(t), nil
	}
	return t, nil
}

// proxyOf is the proxy of the environment, and none for the addresses at which
// machines learn their credentials.
func proxyOf(r *http.Request) (*url.URL, error) {
	if a, err := netip.ParseAddr(r.URL.Hostname()); err == nil && (a.IsLinkLocalUnicast() || a == netip.MustParseAddr("fd00:ec2::254")) {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

// A mortal connection breaks when nothing moves in either direction.
type mortal struct {
	net.Conn
	silence time.Duration
}

func (c *mortal) Read(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *mortal) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
