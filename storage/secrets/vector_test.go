package secrets

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSEC02_KnownAnswers has test cases 13 to 16 of the specification of GCM
// (McGrew and Viega), those with a key of 256 bits.
func TestSEC02_KnownAnswers(t *testing.T) {
	const (
		key   = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
		nonce = "cafebabefacedbaddecaf888"
		plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
		text  = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
	)
	zero := strings.Repeat("00", 32)
	for _, c := range []struct{ key, nonce, plain, bound, text, tag string }{
		{zero, zero[:24], "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
		{zero, zero[:24], zero[:32], "", "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
		{key, nonce, plain + "1aafd255", "", text + "898015ad", "b094dac5d93471bdec1a502270e3cc6c"},
		{key, nonce, plain, "feedfacedeadbeeffeedfacedeadbeefabaddad2", text, "76fc6ece0f4e1768cddf8853bb2d551b"},
	} {
		aead, err := newAEAD(unhex(t, c.key))
		require.NoError(t, err)
		got, err := aead.Open(nil, nil, unhex(t, c.nonce+c.text+c.tag), unhex(t, c.bound))
		require.NoError(t, err)
		require.Equal(t, c.plain, hex.EncodeToString(got))
		sealed := aead.Seal(nil, nil, unhex(t, c.plain), unhex(t, c.bound))
		require.Len(t, sealed, 12+len(c.plain)/2+16, "a nonce of 96 bits and a tag of 128")
		got, err = aead.Open(nil, nil, sealed, unhex(t, c.bound))
		require.NoError(t, err)
		require.Equal(t, c.plain, hex.EncodeToString(got))
	}
	_, err := newAEAD(make([]byte, 16))
	require.ErrorIs(t, err, ErrTampered)
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func TestBindingIsUnique(t *testing.T) {
	require.Equal(t, "\x06rondo1\x01\x02\x01i\x02\x02ab\x00", string(binding("i", []string{"ab", ""}, 0x0102)))
}

// TestOldTextOpens opens what the first version of this package has written:
// it must do so for ever.
func TestOldTextOpens(t *testing.T) {
	file, err := os.ReadFile("testdata/keyset.json")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	set, err := OpenKeyset(path, Passphrase(func() ([]byte, error) { return []byte("correct horse battery staple"), nil }), KeysetConfig{})
	require.NoError(t, err)
	k, err := New("install-1", set, Config{Kinds: []string{"context-variable"}})
	require.NoError(t, err)
	sealed, err := os.ReadFile("testdata/sealed.txt")
	require.NoError(t, err)
	plain, err := k.Open(t.Context(), []string{"context-variable", "scope", "id", "name"}, strings.TrimSpace(string(sealed)))
	require.NoError(t, err)
	require.Equal(t, "opens for ever", string(plain))
}
