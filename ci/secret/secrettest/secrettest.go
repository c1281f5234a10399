// Package secrettest is a keeper of secrets for tests and the suite that every
// keeper passes.
//
// Its nouns are the [Keeper], which seals with a key that dies with the
// process, and [TestKeeper], the suite for what secret.Keeper asks:
//
//	func TestKeeper(t *testing.T) {
//		secrettest.TestKeeper(t, func(t *testing.T) secret.Keeper { return secrettest.New() })
//	}
//
// The package keeps nothing on a disk and is not for installations.
package secrettest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"sync/atomic"
)

// A Keeper seals with AES-256-GCM under a key of its own. It is safe for
// concurrent use.
type Keeper struct {
	aead cipher.AEAD
	// Opened counts what was opened, so that tests can say that nothing was.
	Opened atomic.Int64
	// Fault, if it is set, is asked before each call with "seal" or "open".
	Fault func(method string) error
}

// prefix says how the text behind it was sealed.
const prefix = "test1:"

// New returns a keeper with a fresh key.
func New() *Keeper {
	var key [32]byte
	_, _ = rand.Read(key[:])          // never fails since Go 1.24
	block, _ := aes.NewCipher(key[:]) // a key of this length is right
	aead, _ := cipher.NewGCM(block)   // and so is the block of AES
	return &Keeper{aead: aead}
}

// Seal implements secret.Keeper.
func (k *Keeper) Seal(_ context.Context, place []string, plain []byte) (string, error) {
	if k.Fault != nil {
		if err := k.Fault("seal"); err != nil {
			return "", err
		}
	}
	nonce := make([]byte, k.aead.NonceSize())
	_, _ = rand.Read(nonce)
	return prefix + base64.RawURLEncoding.EncodeToString(k.aead.Seal(nonce, nonce, plain, bind(place))), nil
}

// Open implements secret.Keeper.
func (k *Keeper) Open(_ context.Context, place []string, sealed string) ([]byte, error) {
	k.Opened.Add(1)
	if k.Fault != nil {
		if err := k.Fault("open"); err != nil {
			return nil, err
		}
	}
	text, ours := strings.CutPrefix(sealed, prefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	n := k.aead.NonceSize()
	if !ours || err != nil || len(raw) < n {
		return nil, errors.New("not sealed by this keeper")
	}
	plain, err := k.aead.Open(nil, raw[:n], raw[n:], bind(place))
	if err != nil {
		return nil, errors.New("sealed elsewhere, with another key, or damaged")
	}
	return plain, nil
}

// bind returns the place as bytes that no other place has.
func bind(place []string) []byte {
	var b []byte
	for _, part := range place {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}
