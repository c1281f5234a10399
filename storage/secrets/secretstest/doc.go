// Package secretstest has the suite that every backend of package secrets must
// pass, [TestBackend], and a [Vault] to test against: the part of HashiCorp
// Vault's HTTP interface that rondo uses, with real AES-256-GCM behind it, in
// memory.
//
// It never tests speed, and its Vault knows no policies beyond a list of paths
// for a token.
package secretstest
