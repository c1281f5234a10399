package secret

import (
	"encoding/pem"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// Whatever is pasted gets an answer, and never its own text back.
func FuzzReadKey(f *testing.F) {
	_, private, err := newKey("comment")
	require.NoError(f, err)
	block, _ := pem.Decode([]byte(private))
	f.Add(block.Type, block.Bytes)
	f.Add("RSA PRIVATE KEY", block.Bytes)
	f.Add("EC PRIVATE KEY", []byte{0x30, 0})
	f.Add("PRIVATE KEY", []byte{0x30, 0x82, 0xff, 0xff})
	f.Add("DSA PRIVATE KEY", []byte{0x30, 0x0c, 2, 1, 0, 2, 1, 1, 2, 1, 1, 2, 1, 1})
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		text := string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: body}))
		k, err := readKey(text)
		if err != nil {
			require.ErrorIs(t, err, ci.ErrInvalid)
			for line := range strings.Lines(text) {
				require.False(t, len(line) > 40 && strings.Contains(err.Error(), strings.TrimSpace(line)))
			}
			return
		}
		require.NotEmpty(t, k.Public)
		require.True(t, isFingerprint(k, k.MD5))
		require.True(t, isFingerprint(k, k.SHA256))
	})
}
