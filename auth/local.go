package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/rondo-ci/rondo/ci"
)

// LocalProvider is the name of [Local].
const LocalProvider = "local"

// kindPassword is the kind of local accounts. Their ID is the login in lower
// case.
const kindPassword = "user-password"

// MinPassword is how many characters a local password has at least.
const MinPassword = 12

// The costs of argon2id: memory in KiB, passes, threads. What was hashed at
// others is hashed anew at the next login.
const (
	argonMemory = 19 << 10
	argonPasses = 2
	argonLanes  = 1
)

// Local is the [Provider] of the few passwords that are kept here: those of
// administrators who have to get in when the directory is down. All methods
// are safe for concurrent use.
type Local struct {
	docs ci.Docs
	busy chan struct{} // bounds the memory of hashing
}

// NewLocal returns the local accounts in docs.
func NewLocal(docs ci.Docs) *Local { return &Local{docs, make(chan struct{}, 4)} }

type account struct {
	Subject string `json:"subject"`
	Login   string `json:"login"`
	Hash    string `json:"hash"`
}

func (a account) identity() Identity {
	return Identity{Provider: LocalProvider, Subject: a.Subject, Login: a.Login}
}

// Name is "local".
func (*Local) Name() string { return LocalProvider }

func localID(login string) string { return strings.ToLower(norm.NFKC.String(strings.TrimSpace(login))) }

// SetPassword gives the account of a login a password, and makes the account
// if there is none. A password that is too short is [ci.ErrInvalid]. It is for
// who brings accounts along: what people do, [Users] puts on record.
func (l *Local) SetPassword(ctx context.Context, login, password string) (Identity, error) {
	a, c, err := l.draft(ctx, login, password)
	if err == nil {
		err = l.write(ctx, c)
	}
	if err != nil {
		return Identity{}, err
	}
	return a.identity(), nil
}

// draft returns the account of a login with another password, and the change
// that makes it so.
func (l *Local) draft(ctx context.Context, login, password string) (account, ci.DocChange, error) {
	if n := utf8.RuneCountInString(password); n < MinPassword || len(password) > 1024 {
		return account{}, ci.DocChange{}, fmt.Errorf("set password: it has %d characters, %d to 1024 are allowed: %w", n, MinPassword, ci.ErrInvalid)
	}
	hashed, err := l.hash(ctx, password)
	if err != nil {
		return account{}, ci.DocChange{}, err
	}
	return l.put(ctx, login, hashed)
}

func (l *Local) write(ctx context.Context, c ci.DocChange) error {
	if _, err := l.docs.WriteDocs(ctx, c); err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	return nil
}

// Import makes an account whose password is known by its SHA-256 with a salt
// only, as the guide has them. It is hashed anew at the first login.
func (l *Local) Import(ctx context.Context, login, salt, sum string) (Identity, error) {
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != sha256.Size || salt == "" || strings.Contains(salt, "$") {
		return Identity{}, fmt.Errorf("import password: a salt and a SHA-256 in hexadecimal are wanted: %w", ci.ErrInvalid)
	}
	a, c, err := l.put(ctx, login, "sha256$"+salt+"$"+strings.ToLower(sum))
	if err == nil {
		err = l.write(ctx, c)
	}
	if err != nil {
		return Identity{}, err
	}
	return a.identity(), nil
}

// put is draft with what the password was hashed to; "" is no password at all.
func (l *Local) put(ctx context.Context, login, hashed string) (account, ci.DocChange, error) {
	none := ci.DocChange{}
	login = norm.NFC.String(strings.TrimSpace(login))
	if id := localID(login); id == "" || len(id) > 100 || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return account{}, none, fmt.Errorf("set password: %.40q is no login: %w", login, ci.ErrInvalid)
	}
	d, err := l.docs.Doc(ctx, kindPassword, localID(login))
	a := account{Subject: ci.NewID(), Login: login}
	switch {
	case err == nil:
		err = json.Unmarshal(d.Body, &a)
	case errors.Is(err, ci.ErrNotFound):
		d, err = ci.Doc{Kind: kindPassword, ID: localID(login)}, nil
	}
	if err == nil {
		a.Hash = hashed
		d.Body, err = json.Marshal(a)
	}
	if err != nil {
		return account{}, none, fmt.Errorf("set password: %w", err)
	}
	return a, ci.DocChange{Doc: d}, nil
}

// Delete removes the account of a login.
func (l *Local) Delete(ctx context.Context, login string) error {
	_, err := l.docs.WriteDocs(ctx, ci.DocChange{Delete: true, Doc: ci.Doc{Kind: kindPassword, ID: localID(login), Version: ci.AnyVersion}})
	return err
}

// Login implements [Provider]. An unknown login costs as much as a wrong
// password.
func (l *Local) Login(ctx context.Context, login, password string) (Identity, error) {
	d, err := l.docs.Doc(ctx, kindPassword, localID(login))
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return Identity{}, fmt.Errorf("local login: %w", err)
	}
	var a account
	if err == nil {
		if err := json.Unmarshal(d.Body, &a); err != nil {
			return Identity{}, fmt.Errorf("local login: %w", err)
		}
	}
	right, old, err := l.verify(ctx, a.Hash, password)
	if err != nil {
		return Identity{}, err
	}
	if !right || a.Subject == "" || password == "" {
		return Identity{}, fmt.Errorf("no local account has this login and password: %w", ci.ErrDenied)
	}
	if old {
		if a.Hash, err = l.hash(ctx, password); err != nil {
			return Identity{}, err
		}
		if d.Body, err = json.Marshal(a); err == nil {
			_, err = l.docs.WriteDocs(ctx, ci.DocChange{Doc: d})
		}
		if err != nil && !errors.Is(err, ci.ErrConflict) {
			return Identity{}, fmt.Errorf("hash password anew: %w", err)
		}
	}
	return a.identity(), nil
}

// Lookup implements [Provider].
func (l *Local) Lookup(ctx context.Context, subject string) (Identity, error) {
	for d, err := range l.docs.Docs(ctx, ci.DocQuery{Kind: kindPassword, AllScopes: true}) {
		var a account
		if err == nil {
			err = json.Unmarshal(d.Body, &a)
		}
		if err != nil {
			return Identity{}, fmt.Errorf("local account: %w", err)
		}
		if a.Subject == subject {
			return a.identity(), nil
		}
	}
	return Identity{}, fmt.Errorf("local account: %w", ci.ErrNotFound)
}

// derive computes an argon2id key, a few at a time.
func (l *Local) derive(ctx context.Context, password string, salt []byte) ([]byte, error) {
	select {
	case l.busy <- struct{}{}:
		defer func() { <-l.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return argon2.IDKey([]byte(password), salt, argonPasses, argonMemory, argonLanes, 32), nil
}

// argonHead says what a hash was made with.
var argonHead = fmt.Sprintf("argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, argonMemory, argonPasses, argonLanes)

func (l *Local) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	key, err := l.derive(ctx, password, salt)
	b64 := base64.RawStdEncoding
	return argonHead + b64.EncodeToString(salt) + "$" + b64.EncodeToString(key), err
}

// verify reports whether the password is right, and whether its hash is of an
// old kind. It derives a key in any case.
func (l *Local) verify(ctx context.Context, hashed, password string) (right, old bool, err error) {
	rest, ok := strings.CutPrefix(hashed, argonHead)
	saltText, keyText, _ := strings.Cut(rest, "$")
	salt, bad := base64.RawStdEncoding.DecodeString(saltText)
	if !ok || bad != nil {
		salt = make([]byte, 16)
	}
	key, err := l.derive(ctx, password, salt)
	if err != nil {
		return false, false, err
	}
	if ok {
		return same(base64.RawStdEncoding.EncodeToString(key), keyText), false, nil
	}
	if rest, ok := strings.CutPrefix(hashed, "sha256$"); ok {
		salt, want, _ := strings.Cut(rest, "$")
		before, after := sha256.Sum256([]byte(salt+password)), sha256.Sum256([]byte(password+salt))
		one, other := same(hex.EncodeToString(before[:]), want), same(hex.EncodeToString(after[:]), want)
		return one || other, true, nil
	}
	return false, false, nil
}
