package secretstest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Vault answers as the transit engine of HashiCorp Vault does, as far as
// rondo asks it. It is an [http.Handler], begins with the token "root" and no
// key, and is safe for concurrent use.
type Vault struct {
	mu     sync.Mutex
	keys   map[string]*transitKey
	tokens map[string]*token
	calls  map[string]int
	sealed bool
	status int           // what every request is answered with; 0 is none
	delay  chan struct{} // requests wait until it is closed; nil is no waiting
}

type transitKey struct {
	aeads      []cipher.AEAD // version 1 is the first
	created    []int64
	minDecrypt int
}

type token struct {
	ttl       time.Duration // 0 is for ever
	renewable bool
	paths     []string // prefixes after /v1/; nil is all
	renewed   int
}

// NewVault returns one.
func NewVault() *Vault {
	return &Vault{keys: map[string]*transitKey{}, tokens: map[string]*token{"root": {}}, calls: map[string]int{}}
}

// AddToken lets a token in. A ttl of 0 never ends; paths are prefixes of what
// it may ask for, such as "transit/encrypt/", and none are all.
func (v *Vault) AddToken(name string, ttl time.Duration, renewable bool, paths ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tokens[name] = &token{ttl: ttl, renewable: renewable, paths: paths}
}

// Revoke ends a token.
func (v *Vault) Revoke(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.tokens, name)
}

// Seal seals and unseals.
func (v *Vault) Seal(sealed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sealed = sealed
}

// Answer has every request answered with that status and Vault's form of an
// error; 0 ends that.
func (v *Vault) Answer(status int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.status = status
}

// Hold has requests wait until release is called.
func (v *Vault) Hold() (release func()) {
	held := make(chan struct{})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.delay = held
	return sync.OnceFunc(func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.delay = nil
		close(held)
	})
}

// Calls returns how many requests there were for an operation ("decrypt").
func (v *Vault) Calls(op string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls[op]
}

// MinDecrypt refuses versions of a key that are older.
func (v *Vault) MinDecrypt(key string, version int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys[key].minDecrypt = version
}

// ServeHTTP implements [http.Handler].
func (v *Vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	delay := v.delay
	v.mu.Unlock()
	if delay != nil {
		select {
		case <-delay:
		case <-r.Context().Done():
			return
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	t := v.tokens[r.Header.Get("X-Vault-Token")]
	switch {
	case v.status != 0:
		fail(w, v.status, "it was told to")
	case v.sealed:
		fail(w, http.StatusServiceUnavailable, "Vault is sealed")
	case t == nil || !t.may(path):
		fail(w, http.StatusForbidden, "permission denied")
	default:
		v.serve(w, r, path, t)
	}
}

func (t *token) may(path string) bool {
	if t.paths == nil || strings.HasPrefix(path, "auth/token/") {
		return true
	}
	for _, p := range t.paths {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

func (v *Vault) serve(w http.ResponseWriter, r *http.Request, path string, t *token) {
	parts := strings.Split(path, "/")
	if len(parts) < 3 {
		fail(w, http.StatusNotFound, "no handler for route "+strconv.Quote(path))
		return
	}
	op, name := parts[1], parts[2]
	v.calls[op]++
	switch {
	case path == "auth/token/lookup-self":
		answer(w, map[string]any{"data": map[string]any{"ttl": int64(t.ttl / time.Second), "renewable": t.renewable}})
	case path == "auth/token/renew-self" && !t.renewable:
		fail(w, http.StatusBadRequest, "lease is not renewable")
	case path == "auth/token/renew-self":
		t.renewed++
		answer(w, map[string]any{"auth": map[string]any{"lease_duration": int64(t.ttl / time.Second), "renewable": true}})
	case parts[0] != "transit":
		fail(w, http.StatusNotFound, "no handler for route "+strconv.Quote(path))
	case op == "keys" && len(parts) == 4 && parts[3] == "rotate" && v.keys[name] != nil:
		v.keys[name].rotate()
		w.WriteHeader(http.StatusNoContent)
	case op == "keys" && len(parts) == 3 && r.Method == http.MethodGet:
		v.readKey(w, name)
	case op == "keys" && len(parts) == 3:
		if v.keys[name] == nil {
			v.keys[name] = &transitKey{minDecrypt: 1}
			v.keys[name].rotate()
		}
		w.WriteHeader(http.StatusNoContent)
	case v.keys[name] == nil:
		fail(w, http.StatusBadRequest, "encryption key not found")
	case op == "encrypt" || op == "decrypt" || op == "rewrap":
		v.transit(w, r, op, v.keys[name])
	default:
		fail(w, http.StatusNotFound, "no handler for route "+strconv.Quote(path))
	}
}

func (k *transitKey) rotate() {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	block, _ := aes.NewCipher(raw)
	aead, _ := cipher.NewGCM(block)
	k.aeads, k.created = append(k.aeads, aead), append(k.created, time.Now().Unix())
}

func (v *Vault) readKey(w http.ResponseWriter, name string) {
	k := v.keys[name]
	if k == nil {
		fail(w, http.StatusNotFound)
		return
	}
	versions := map[string]int64{}
	for i, at := range k.created {
		if i+1 >= k.minDecrypt {
			versions[strconv.Itoa(i+1)] = at
		}
	}
	answer(w, map[string]any{"data": map[string]any{
		"type": "aes256-gcm96", "exportable": false, "keys": versions,
		"latest_version": len(k.aeads), "min_decryption_version": k.minDecrypt, "min_encryption_version": 0,
	}})
}

// An item is one question or answer.
type item struct {
	Plaintext  string `json:"plaintext,omitempty"`
	Ciphertext string `json:"ciphertext,omitempty"`
	Error      string `json:"error,omitempty"`
}

func (v *Vault) transit(w http.ResponseWriter, r *http.Request, op string, k *transitKey) {
	var in struct {
		item
		Batch []item `json:"batch_input"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail(w, http.StatusBadRequest, "failed to parse JSON input")
		return
	}
	if in.Batch == nil {
		out := k.do(op, in.item)
		if out.Error != "" {
			fail(w, http.StatusBadRequest, out.Error)
			return
		}
		answer(w, map[string]any{"data": out})
		return
	}
	out, status := make([]item, len(in.Batch)), http.StatusOK
	for i, it := range in.Batch {
		if out[i] = k.do(op, it); out[i].Error != "" {
			status = http.StatusBadRequest
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"batch_results": out}})
}

func (k *transitKey) do(op string, in item) item {
	var plain []byte
	var err error
	if op == "encrypt" {
		if plain, err = base64.StdEncoding.DecodeString(in.Plaintext); err != nil {
			return item{Error: "failed to base64-decode plaintext"}
		}
		return k.encrypt(plain)
	}
	var version int
	var data []byte
	parts := strings.SplitN(in.Ciphertext, ":", 3)
	if len(parts) == 3 && parts[0] == "vault" {
		version, _ = strconv.Atoi(strings.TrimPrefix(parts[1], "v"))
		data, _ = base64.StdEncoding.DecodeString(parts[2])
	}
	switch {
	case version < 1 || len(data) < 12+16:
		return item{Error: "invalid ciphertext: no prefix"}
	case version > len(k.aeads):
		return item{Error: "invalid ciphertext: version is too new"}
	case version < k.minDecrypt:
		return item{Error: "ciphertext or signature version is disallowed by policy (too old)"}
	}
	if plain, err = k.aeads[version-1].Open(nil, data[:12], data[12:], nil); err != nil {
		return item{Error: "cipher: message authentication failed"}
	}
	if op == "rewrap" {
		return k.encrypt(plain)
	}
	return item{Plaintext: base64.StdEncoding.EncodeToString(plain)}
}

func (k *transitKey) encrypt(plain []byte) item {
	nonce := make([]byte, 12)
	_, _ = rand.Read(nonce)
	data := k.aeads[len(k.aeads)-1].Seal(nonce, nonce, plain, nil)
	return item{Ciphertext: fmt.Sprintf("vault:v%d:%s", len(k.aeads), base64.StdEncoding.EncodeToString(data))}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, status int, errs ...string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if errs == nil {
		errs = []string{}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": errs})
}
