package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A Signer signs checkpoints in the form of Go's signed notes, so that other
// programs can check them too.
type Signer struct {
	name string
	key  ed25519.PrivateKey
}

// NewSigner returns a signer. name says whose book it is ("ci.example.com"),
// without blanks and +; others become dashes. seed is any secret of at least
// 16 bytes.
func NewSigner(name string, seed []byte) (*Signer, error) {
	if len(seed) < 16 {
		return nil, fmt.Errorf("key of the audit log: it needs 16 bytes: %w", ci.ErrInvalid)
	}
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r == '+' || r > '~' {
			return '-'
		}
		return r
	}, name)
	if name == "" {
		name = "rondo"
	}
	s := sha256.Sum256(append([]byte("rondo audit key v1\x00"), seed...))
	return &Signer{name: name, key: ed25519.NewKeyFromSeed(s[:])}, nil
}

// Key returns the public key as text: name+hash+key, as Go's notes write it.
func (s *Signer) Key() Key { return keyOf(s.name, s.key.Public().(ed25519.PublicKey)) }

// sign returns the text, which ends with a newline, with a signature below.
func (s *Signer) sign(text string) []byte {
	k := s.Key()
	sig := append(k.id(), ed25519.Sign(s.key, []byte(text))...)
	return []byte(text + "\n— " + s.name + " " + base64.StdEncoding.EncodeToString(sig) + "\n")
}

// A Key is a public key that checkpoints are checked with, as text. Where keys
// were changed it is all of them, one a line, the oldest first: what one has
// signed is no longer believed after the first checkpoint of a later one.
type Key string

// Then returns the keys with a later one.
func (k Key) Then(later Key) Key {
	if k == "" {
		return later
	}
	return Key(strings.TrimRight(string(k), "\n")) + "\n" + later
}

// each returns the keys one by one, or what is wrong with one.
func (k Key) each() ([]Key, error) {
	var all []Key
	for line := range strings.Lines(strings.TrimSpace(string(k)) + "\n") {
		one := Key(strings.TrimSpace(line))
		if _, _, err := one.split(); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func keyOf(name string, public ed25519.PublicKey) Key {
	k := append([]byte{1}, public...) // 1 is ed25519
	return Key(fmt.Sprintf("%s+%s+%s", name, hex.EncodeToString(keyID(name, k)), base64.StdEncoding.EncodeToString(k)))
}

// keyID is the first four bytes of the hash of name and key.
func keyID(name string, key []byte) []byte {
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(sum[:4]))
}

func (k Key) split() (name string, public []byte, err error) {
	parts := strings.SplitN(string(k), "+", 3)
	if len(parts) == 3 {
		public, err = base64.StdEncoding.DecodeString(parts[2])
	}
	if len(parts) != 3 || err != nil || len(public) != 1+ed25519.PublicKeySize || public[0] != 1 ||
		hex.EncodeToString(keyID(parts[0], public)) != parts[1] {
		return "", nil, fmt.Errorf("%.100q is no key of an audit log, name+hash+key: %w", string(k), ci.ErrInvalid)
	}
	return parts[0], public, nil
}

func (k Key) id() []byte {
	name, public, _ := k.split()
	return keyID(name, public)
}

// open returns the text of a signed note if the key has signed it.
func (k Key) open(signed []byte) (string, error) {
	name, public, err := k.split()
	if err != nil {
		return "", err
	}
	text, sigs, ok := strings.Cut(string(signed), "\n\n")
	if !ok {
		return "", fmt.Errorf("it has no signature: %w", ci.ErrInvalid)
	}
	text += "\n"
	line, rest, _ := strings.Cut(sigs, "\n")
	sig, ok := strings.CutPrefix(line, "— "+name+" ")
	raw, err := base64.StdEncoding.Strict().DecodeString(sig)
	id := keyID(name, public)
	if !ok || err != nil || rest != "" || !strings.HasSuffix(sigs, "\n") || len(raw) != len(id)+ed25519.SignatureSize || string(raw[:4]) != string(id) {
		return "", fmt.Errorf("it is not signed by %s: %w", name, ci.ErrInvalid)
	}
	if !ed25519.Verify(public[1:], []byte(text), raw[4:]) {
		return "", fmt.Errorf("its signature is not by %s: %w", name, ci.ErrInvalid)
	}
	return text, nil
}
