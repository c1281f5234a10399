// Package secrets keeps small secrets (variables, keys, tokens) readable for
// the installation and for nobody else who gets hold of its database.
//
// A [Keeper] seals: AES-256-GCM with a random data key and a random 96-bit
// nonce. The associated data is the place where the secret belongs
// (installation, kind, scope, ID, name; see [PlaceOf]), so a text that was
// copied to another place does not open, nor does one that was cut or changed.
// The data key is wrapped by a [Backend] and travels with the text:
//
//	rondo1:<backend>:<key>:<base64url of wrapped data key, its day, nonce, ciphertext>
//
// One data key serves for a month, also across restarts, and unwrapped ones are
// remembered for five minutes at most, so reading a hundred variables asks the
// backend a few times; [Keeper.OpenDocs] asks it once.
// Backends can be mixed: what one has wrapped stays readable after another has
// become the primary one, until [Keeper.Reseal] has moved every document.
//
// A [Keyset] is the backend for an installation on its own: a file of keys
// that is encrypted by a [Root], a passphrase or a key file, which must not
// lie in the data folder. Package secrets/vault is the backend for the transit
// engine of HashiCorp Vault; [Portable] makes one of any *secrets.Keeper of
// gocloud.dev/secrets, so the key services of the large clouds come for free.
// Keyset and vault do not go through gocloud.dev themselves: its interface
// knows neither versions of keys, nor rewrapping without the plain text, nor
// more than one text in a call, and its hashivault driver has none of them.
//
// The package never hides how long a secret is, never stops somebody who can
// write the database from putting an older sealed text of the same document
// back, and keeps no plain text longer than a call. It imports gocloud.dev/secrets (Portable) and
// golang.org/x/crypto/argon2 (passphrases). Suite secretstest says what a
// backend must do.
package secrets
