package secrets

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// format is the first word of every sealed text.
const format = "rondo1"

// Limits of what a text may consist of.
const (
	maxName    = 128     // bytes of the name of a backend or key
	maxWrapped = 4 << 10 // bytes of a wrapped data key
	minSealed  = 12 + 16 // nonce and tag
)

// MaxSecret is the size in bytes of the largest secret. Its sealed text fits
// into a [ci.Doc].
const MaxSecret = 512 << 10

// A text is a sealed text in parts.
type text struct {
	backend string
	key     Wrapped
	born    uint16 // day on which the data key was made, counted from 1970
	sealed  []byte // nonce, ciphertext, tag
}

// encode returns the text as it is kept.
func (t text) encode() string {
	raw := binary.BigEndian.AppendUint16(nil, uint16(len(t.key.Data)))
	raw = binary.BigEndian.AppendUint16(append(raw, t.key.Data...), t.born)
	raw = append(raw, t.sealed...)
	return strings.Join([]string{format, t.backend, t.key.Key, base64.RawURLEncoding.EncodeToString(raw)}, ":")
}

// decode is the reverse of encode. There is one text only for what it returns.
func decode(sealed string) (text, error) {
	parts := strings.Split(sealed, ":")
	if len(parts) != 4 || parts[0] != format || !validName(parts[1]) || !validName(parts[2]) || len(sealed) > ci.MaxDoc ||
		strings.ContainsAny(parts[3], "\r\n") { // which encoding/base64 overlooks
		return text{}, ErrTampered
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(parts[3])
	if err != nil || len(raw) < 2 {
		return text{}, ErrTampered
	}
	n, raw := int(binary.BigEndian.Uint16(raw)), raw[2:]
	if n > maxWrapped || len(raw) < n+2+minSealed {
		return text{}, ErrTampered
	}
	key, raw := Wrapped{Key: parts[2], Data: raw[:n:n]}, raw[n:]
	return text{parts[1], key, binary.BigEndian.Uint16(raw), raw[2:]}, nil
}

// SealedBy returns the names of the backend and of the key that a sealed text
// needs, without opening it.
func SealedBy(sealed string) (backend, key string, err error) {
	t, err := decode(sealed)
	if err != nil {
		return "", "", &unreadable{err}
	}
	return t.backend, t.key.Key, nil
}

// validName reports whether s can stand in a sealed text.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// checkName says what is wrong with the name of a backend or key.
func checkName(what, s string) error {
	if !validName(s) {
		return fmt.Errorf("%s %.200q: its name must be 1 to %d letters, digits, dots, dashes or underscores: %w", what, s, maxName, ci.ErrInvalid)
	}
	return nil
}
