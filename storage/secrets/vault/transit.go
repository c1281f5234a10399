// Package vault is the backend of package secrets for the transit engine of
// HashiCorp Vault, or of OpenBao, which speaks the same.
//
// A [Transit] wraps data keys by one key of type aes256-gcm96 that Vault never
// gives away; its versions are the keys that sealed texts name ("rondo.v3").
// Rotating adds a version, and rewrapping happens inside Vault. The token
// needs update on encrypt, decrypt and rewrap of the key and nothing else;
// rotating and listing ask for rights of their own, so another token can have
// those. [Transit.Run] keeps the token alive.
//
// The package never stores anything in Vault, never sends a secret there (data
// keys only), and never decides when to rotate. It imports
// github.com/hashicorp/vault/api, the official client: addresses, TLS and
// namespaces come from its VAULT_ variables unless the configuration says
// otherwise. It is a package of its own so that who does not use Vault does
// not get its client. Server side facts: Vault's documentation of transit.
package vault

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/secrets"
)

// Config has what a [Transit] can do without.
type Config struct {
	// Address is where Vault is, as a URL; "" is VAULT_ADDR.
	Address string
	// Namespace is for Vault Enterprise; "" is VAULT_NAMESPACE.
	Namespace string
	// CACert is a file with the certificate of Vault's authority; "" is
	// VAULT_CACERT.
	CACert string
	// Wrap is given the transport that would carry requests and returns what
	// does; nil is that transport. So trust and proxies can be those of the
	// program, and change while it runs.
	Wrap func(*http.Transport) http.RoundTripper
	// Token returns the token. It is asked again when Vault refuses the last
	// one, so that a file which an agent renews will do. Nil is VAULT_TOKEN.
	Token func() (string, error)
	// Mount is where the transit engine is; "" is "transit".
	Mount string
	// Name is that of the backend; "" is "vault".
	Name string
	// Timeout is how long one request may take, its retries included; 0 is 10
	// seconds.
	Timeout time.Duration
	// Retries is how often a request is repeated after a 5xx or 429; 0 is 2,
	// less than 0 is never.
	Retries int
	// Log hears when the token was renewed or cannot be; nil is silent.
	Log *slog.Logger
}

// A Transit is one key of Vault's transit engine as a [secrets.Backend]. It is
// safe for concurrent use.
type Transit struct {
	cfg    Config
	key    string
	client *api.Client
}

var _ secrets.Backend = (*Transit)(nil)

var keyName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// New returns the backend of the key of that name. It does not talk to Vault
// yet.
func New(key string, cfg Config) (*Transit, error) {
	if !keyName.MatchString(key) {
		return nil, fmt.Errorf("transit key %.100q: 1 to 64 letters, digits, dashes or underscores: %w", key, ci.ErrInvalid)
	}
	cfg.Mount = strings.Trim(cmp.Or(cfg.Mount, "transit"), "/")
	cfg.Name = cmp.Or(cfg.Name, "vault")
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := api.DefaultConfig()
	if c.Error != nil {
		return nil, fmt.Errorf("read the VAULT_ variables: %w", c.Error)
	}
	if cfg.Address != "" {
		c.Address = cfg.Address
	}
	if cfg.CACert != "" {
		if err := c.ConfigureTLS(&api.TLSConfig{CACert: cfg.CACert}); err != nil {
			return nil, fmt.Errorf("certificate of Vault's authority: %w", err)
		}
	}
	if t, ok := c.HttpClient.Transport.(*http.Transport); ok && cfg.Wrap != nil {
		c.HttpClient.Transport = cfg.Wrap(t)
	}
	c.MinRetryWait, c.MaxRetryWait = 200*time.Millisecond, time.Second
	c.Timeout, c.MaxRetries = cfg.Timeout, max(cmp.Or(cfg.Retries, 2), 0)
	client, err := api.NewClient(c)
	if err != nil {
		return nil, fmt.Errorf("client of Vault: %w", err)
	}
	if cfg.Namespace != "" {
		client.SetNamespace(cfg.Namespace)
	}
	t := &Transit{cfg: cfg, key: key, client: client}
	_, err = t.newToken()
	return t, err
}

// String names the backend and tells nothing.
func (t *Transit) String() string { return "vault.Transit(" + t.cfg.Mount + "/" + t.key + ")" }

// GoString is as String.
func (t *Transit) GoString() string { return t.String() }

// newToken asks for the token and reports whether it is another.
func (t *Transit) newToken() (bool, error) {
	if t.cfg.Token == nil {
		return false, nil
	}
	token, err := t.cfg.Token()
	if err != nil {
		return false, fmt.Errorf("token for Vault: %w", err)
	}
	if token = strings.TrimSpace(token); token == t.client.Token() {
		return false, nil
	}
	t.client.SetToken(token)
	return true, nil
}

// call does a request of the transit engine. in and out are JSON.
func (t *Transit) call(ctx context.Context, method, path string, in, out any) error {
	err := t.try(ctx, method, path, in, out)
	if isRefused(err) {
		if another, tokenErr := t.newToken(); another && tokenErr == nil {
			err = t.try(ctx, method, path, in, out)
		}
	}
	if err != nil {
		return fmt.Errorf("vault: %s %s: %w", method, path, typed(ctx, err))
	}
	return nil
}

func (t *Transit) try(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Timeout)
	defer cancel()
	r := t.client.NewRequest(method, "/v1/"+path)
	if in != nil {
		if err := r.SetJSONBody(in); err != nil {
			return err
		}
	}
	resp, err := t.client.RawRequestWithContext(ctx, r) //nolint:staticcheck // Logical() hides what we decode
	if resp != nil {
		defer resp.Body.Close()
	}
	if resp == nil || out == nil {
		return err
	}
	// A batch of which a part has failed is a 400 with all the answers.
	if invalid := json.NewDecoder(resp.Body).Decode(out); err == nil {
		err = invalid
	}
	return err
}

// name returns what sealed texts call a version of the key.
func (t *Transit) name(version int) string { return t.key + ".v" + strconv.Itoa(version) }

// A result is one answer of encrypt, decrypt or rewrap.
type result struct {
	Ciphertext string `json:"ciphertext"`
	Plaintext  []byte `json:"plaintext"` // base64 in JSON, as Vault has it
	Error      string `json:"error"`
}

// wrapped splits "vault:v3:base64".
func (t *Transit) wrapped(r result) (secrets.Wrapped, error) {
	parts := strings.SplitN(r.Ciphertext, ":", 3)
	if len(parts) == 3 && parts[0] == "vault" && strings.HasPrefix(parts[1], "v") {
		version, err := strconv.Atoi(parts[1][1:])
		data, err2 := base64.StdEncoding.DecodeString(parts[2])
		if err == nil && err2 == nil && version > 0 {
			return secrets.Wrapped{Key: t.name(version), Data: data}, nil
		}
	}
	return secrets.Wrapped{}, fmt.Errorf("vault: an answer without a ciphertext: %w", secrets.ErrUnreachable)
}

// ciphertext is the reverse of wrapped.
func (t *Transit) ciphertext(w secrets.Wrapped) (string, error) {
	version, ours := strings.CutPrefix(w.Key, t.key+".v")
	if n, err := strconv.Atoi(version); !ours || err != nil || n < 1 || strconv.Itoa(n) != version {
		return "", secrets.ErrNoKey
	}
	return "vault:v" + version + ":" + base64.StdEncoding.EncodeToString(w.Data), nil
}
