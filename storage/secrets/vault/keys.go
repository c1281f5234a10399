package vault

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/secrets"
)

// maxBatch is how many texts go into one request.
const maxBatch = 1000

// Name is that of the configuration.
func (t *Transit) Name() string { return t.cfg.Name }

// Primary returns the name of the version that Vault encrypts with. It finds
// out by encrypting something, since the token may not be allowed to read keys.
func (t *Transit) Primary(ctx context.Context) (string, error) {
	probe := make([]byte, 32)
	_, _ = rand.Read(probe)
	w, err := t.Wrap(ctx, probe)
	return w.Key, err
}

// Wrap has Vault encrypt a data key.
func (t *Transit) Wrap(ctx context.Context, dataKey []byte) (secrets.Wrapped, error) {
	in := map[string]any{"plaintext": dataKey} // []byte becomes base64
	var out struct{ Data result }
	if err := t.call(ctx, http.MethodPut, t.path("encrypt"), in, &out); err != nil {
		return secrets.Wrapped{}, err
	}
	return t.wrapped(out.Data)
}

// Unwrap has Vault decrypt data keys, a thousand in one request.
func (t *Transit) Unwrap(ctx context.Context, wrapped ...secrets.Wrapped) ([][]byte, error) {
	results, err := t.batch(ctx, "decrypt", wrapped)
	if err != nil {
		return nil, err
	}
	keys := make([][]byte, len(results))
	for i, r := range results {
		keys[i] = r.Plaintext
	}
	return keys, nil
}

// Rewrap has Vault encrypt data keys anew. They do not leave it.
func (t *Transit) Rewrap(ctx context.Context, wrapped ...secrets.Wrapped) ([]secrets.Wrapped, error) {
	results, err := t.batch(ctx, "rewrap", wrapped)
	if err != nil {
		return nil, err
	}
	now := make([]secrets.Wrapped, len(results))
	for i, r := range results {
		if now[i], err = t.wrapped(r); err != nil {
			return nil, err
		}
	}
	return now, nil
}

func (t *Transit) path(op string) string { return t.cfg.Mount + "/" + op + "/" + t.key }

// batch does one operation with many ciphertexts.
func (t *Transit) batch(ctx context.Context, op string, wrapped []secrets.Wrapped) ([]result, error) {
	type item struct {
		Ciphertext string `json:"ciphertext"`
	}
	all := make([]result, 0, len(wrapped))
	for chunk := range slices.Chunk(wrapped, maxBatch) {
		items := make([]item, len(chunk))
		for i, w := range chunk {
			text, err := t.ciphertext(w)
			if err != nil {
				return nil, fmt.Errorf("vault: %s by key %s: %w", op, t.key, err)
			}
			items[i].Ciphertext = text
		}
		var out struct {
			Data struct {
				Results []result `json:"batch_results"`
			}
		}
		err := t.call(ctx, http.MethodPut, t.path(op), map[string]any{"batch_input": items}, &out)
		for _, r := range out.Data.Results {
			if r.Error != "" {
				return nil, fmt.Errorf("vault: %s by key %s: %w", op, t.key, reason(r.Error))
			}
		}
		if err != nil {
			return nil, err
		}
		if len(out.Data.Results) != len(chunk) {
			return nil, fmt.Errorf("vault: %s: %d answers to %d questions: %w", op, len(out.Data.Results), len(chunk), secrets.ErrUnreachable)
		}
		all = append(all, out.Data.Results...)
	}
	return all, nil
}

// Rotate has Vault make a new version of the key. The token needs update on
// keys/<key>/rotate.
func (t *Transit) Rotate(ctx context.Context) (string, error) {
	if err := t.call(ctx, http.MethodPut, t.path("keys")+"/rotate", map[string]any{}, nil); err != nil {
		return "", err
	}
	return t.Primary(ctx)
}

// Create has Vault make the key, as aes256-gcm96 that cannot be exported, if
// it does not exist. The transit engine must be mounted.
func (t *Transit) Create(ctx context.Context) error {
	return t.call(ctx, http.MethodPut, t.path("keys"), map[string]any{"type": "aes256-gcm96"}, nil)
}

// Keys lists the versions of the key. Those that Vault refuses to decrypt with
// (below min_decryption_version) are disabled. The token needs read on
// keys/<key>. A key of another type than aes256-gcm96, and one that can be
// exported, is [ci.ErrInvalid].
func (t *Transit) Keys(ctx context.Context) ([]secrets.Key, error) {
	var out struct {
		Data struct {
			Type       string                     `json:"type"`
			Exportable bool                       `json:"exportable"`
			Latest     int                        `json:"latest_version"`
			MinDecrypt int                        `json:"min_decryption_version"`
			MinEncrypt int                        `json:"min_encryption_version"`
			Keys       map[string]json.RawMessage `json:"keys"` // by version: seconds since 1970
		}
	}
	if err := t.call(ctx, http.MethodGet, t.path("keys"), nil, &out); err != nil {
		return nil, err
	}
	d := out.Data
	if d.Type != "aes256-gcm96" || d.Exportable {
		return nil, fmt.Errorf("transit key %s is of type %s, exportable: %t; make one of type aes256-gcm96 that is not: %w", t.key, d.Type, d.Exportable, ci.ErrInvalid)
	}
	var keys []secrets.Key
	for n := 1; n <= d.Latest; n++ {
		k := secrets.Key{Name: t.name(n), State: secrets.KeyDecryptOnly}
		switch {
		case n == d.Latest:
			k.State = secrets.KeyPrimary
		case n < d.MinDecrypt:
			k.State = secrets.KeyDisabled
		}
		if sec, err := strconv.ParseInt(string(d.Keys[strconv.Itoa(n)]), 10, 64); err == nil {
			k.Created = time.Unix(sec, 0).UTC()
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Ready asks Vault for its health and for one encryption: nil says that
// secrets can be sealed.
func (t *Transit) Ready(ctx context.Context) error {
	_, err := t.Primary(ctx)
	return err
}

// Run keeps the token alive until ctx ends: it renews it well before it
// expires, and asks Config.Token for another when that does not help any more.
// A token that never expires it leaves alone. It returns nil.
func (t *Transit) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		ttl, err := t.renew(ctx)
		switch {
		case err != nil && !errors.Is(err, context.Canceled):
			t.cfg.Log.Error("renew the token for Vault", "error", err)
			if another, err := t.newToken(); err == nil && another {
				continue
			}
			ttl = renewRetry
		case ttl == 0:
			<-ctx.Done()
			return nil
		default:
			// Two thirds are left for tries when this fails.
			ttl = cmp.Or(ttl/3, time.Second)
		}
		select {
		case <-ctx.Done():
		case <-time.After(ttl):
		}
	}
	return nil
}

// renewRetry is how long to wait after a renewal that did not work.
const renewRetry = 10 * time.Second

// renew renews the token if that is possible and returns how long it lives; 0
// is for ever.
func (t *Transit) renew(ctx context.Context) (time.Duration, error) {
	var self struct {
		Data struct {
			TTL       int64 `json:"ttl"` // seconds
			Renewable bool  `json:"renewable"`
		}
	}
	if err := t.call(ctx, http.MethodGet, "auth/token/lookup-self", nil, &self); err != nil {
		return 0, err
	}
	if self.Data.TTL == 0 || !self.Data.Renewable {
		return time.Duration(self.Data.TTL) * time.Second, nil
	}
	var renewed struct {
		Auth struct {
			Lease int64 `json:"lease_duration"` // seconds
		}
	}
	if err := t.call(ctx, http.MethodPut, "auth/token/renew-self", map[string]any{}, &renewed); err != nil {
		return 0, err
	}
	t.cfg.Log.Debug("the token for Vault is renewed", "seconds", renewed.Auth.Lease)
	return max(time.Duration(renewed.Auth.Lease)*time.Second, time.Second), nil
}
