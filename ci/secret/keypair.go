package secret

import (
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/rondo-ci/rondo/ci"
)

// newKey makes a key pair and returns the private half in OpenSSH's form.
func newKey(comment string) (ci.Key, string, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return ci.Key{}, "", err
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return ci.Key{}, "", err
	}
	p, err := ssh.NewPublicKey(public)
	if err != nil {
		return ci.Key{}, "", err
	}
	return describe(p), string(pem.EncodeToMemory(block)), nil
}

// readKey checks a private key and returns its public half. Its errors are its
// own: those of the parsers may quote what they read.
func readKey(private string) (ci.Key, error) {
	if len(private) > MaxKey {
		return ci.Key{}, fmt.Errorf("the private key has %d bytes, more than %d: %w", len(private), MaxKey, ci.ErrInvalid)
	}
	signer, err := ssh.ParsePrivateKey([]byte(private))
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return ci.Key{}, fmt.Errorf("the private key has a passphrase, which no job can type: take it off with ssh-keygen -p: %w", ci.ErrInvalid)
	case err != nil:
		return ci.Key{}, fmt.Errorf("it is no private key in PEM form: paste the whole file, from -----BEGIN to END-----: %w", ci.ErrInvalid)
	}
	return describe(signer.PublicKey()), nil
}

// describe returns a public key as people see it.
func describe(p ssh.PublicKey) ci.Key {
	return ci.Key{
		Public: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p))),
		MD5:    ssh.FingerprintLegacyMD5(p),
		SHA256: strings.TrimPrefix(ssh.FingerprintSHA256(p), "SHA256:"),
	}
}

// isFingerprint reports whether the text names the key.
func isFingerprint(k ci.Key, text string) bool {
	text = strings.TrimSpace(text)
	return strings.EqualFold(text, k.MD5) || strings.EqualFold(text, "MD5:"+k.MD5) ||
		strings.TrimRight(strings.TrimPrefix(text, "SHA256:"), "=") == k.SHA256
}

// checkHost reports what is wrong with the host of a key. It becomes a pattern
// of ssh_config, hence no blanks.
func checkHost(host string) error {
	bad := func(r rune) bool {
		return (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-._:*?", r)
	}
	if len(host) > 253 || strings.HasPrefix(host, "-") || strings.ContainsFunc(host, bad) {
		return fmt.Errorf("the host %.60q of the key is not one: write a name or an address as in git.example.com, or leave it empty for every host: %w", host, ci.ErrInvalid)
	}
	return nil
}
