package s3

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/rondo-ci/rondo/ci"
)

// Config says where a bucket is and how it is reached.
type Config struct {
	// Bucket is its name. It must exist, and should be private.
	Bucket string
	// Region is where it is; "" is us-east-1, which most servers that are not
	// Amazon's go by.
	Region string
	// Endpoint is the address of a server that is not Amazon's, as in
	// https://s3.example.com:9000; "" is Amazon's of the region.
	Endpoint string
	// PathStyle puts the bucket's name into the path instead of the host name,
	// as most servers that are not Amazon's want it.
	PathStyle bool
	// Roots are the certificates that the server's is checked with; nil are
	// those of the system.
	Roots *x509.CertPool
	// Proxy is the address of an HTTP proxy; "" follows HTTPS_PROXY and
	// NO_PROXY of the environment.
	Proxy string
	// Wrap is given the transport that would carry requests, those for
	// credentials too, and returns what does; nil is that transport. So trust
	// and proxies can be those of the program, and change while it runs.
	Wrap func(*http.Transport) http.RoundTripper
	// AccessKey and SecretKey are the credentials. Without both, the SDK's
	// chain is asked: environment, ~/.aws, roles of containers and machines,
	// which are renewed before they expire.
	AccessKey, SecretKey string
	// Prefix stands before the names of all objects, so that several
	// installations can share a bucket; "" is none. A slash ends it.
	Prefix string
	// Encryption is what the server encrypts objects with: "" is its default,
	// AES256 its own keys, aws:kms a key of KMS, which KMSKey names.
	Encryption, KMSKey string
}

// Valid says what is wrong with the configuration, as [ci.ErrInvalid], without
// asking anybody.
func (c Config) Valid() error {
	var wrong []error
	bad := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf(format+": %w", append(args, ci.ErrInvalid)...))
	}
	if c.Bucket == "" || strings.ContainsAny(c.Bucket, "/: ") {
		bad("bucket %.100q: name the bucket, without s3:// and slashes", c.Bucket)
	}
	if c.Endpoint != "" && !isAddress(c.Endpoint, "http", "https") {
		bad("endpoint: it is no address, as in https://s3.example.com")
	}
	if c.Proxy != "" && !isAddress(c.Proxy, "http", "https", "socks5") {
		bad("proxy: it is no address, as in http://proxy.example.com:3128")
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		bad("access key and secret key: give both, or neither for the credentials of the machine")
	}
	if p := strings.TrimSuffix(c.Prefix, "/"); p != "" && (path.Clean("/"+p) != "/"+p) {
		bad("prefix %.100q: it is no clean path without a slash in front", c.Prefix)
	}
	switch types.ServerSideEncryption(c.Encryption) {
	case "", types.ServerSideEncryptionAes256, types.ServerSideEncryptionAwsKms:
	default:
		bad("encryption %.40q: it is AES256 or aws:kms", c.Encryption)
	}
	if c.KMSKey != "" && c.Encryption != string(types.ServerSideEncryptionAwsKms) {
		bad("a key of KMS is named and encryption is not aws:kms")
	}
	return errors.Join(wrong...)
}

// isAddress says whether the text is an address of one of the schemes. Its
// text is in no error, for a password may be in it.
func isAddress(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return false
	}
	for _, s := range schemes {
		if u.Scheme == s {
			return true
		}
	}
	return false
}

// prefix is the prefix with its slash.
func (c Config) prefix() string {
	if c.Prefix == "" {
		return ""
	}
	return strings.TrimSuffix(c.Prefix, "/") + "/"
}
