package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"strings"
)

// A secret is its prefix, 32 random characters (160 bits) and 6 that follow
// from them.
const (
	secretLen = 32
	checkLen  = 6
)

func newSecret(prefix string) string {
	text := prefix + strings.ToLower((rand.Text() + rand.Text())[:secretLen])
	return text + checksum(text)
}

func checksum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:checkLen])
}

// hash is under what a secret is kept.
func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// same compares secrets in a time that does not tell how much is the same.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
