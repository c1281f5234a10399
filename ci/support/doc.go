// Package support makes texts fit to be given away: what an operator sends to
// somebody who is to help must hold no secret (chapter "Support bundle" of the
// operator's guide).
//
// Its one noun is the [Redactor], which knows secrets of this installation and
// the looks of those that it does not know: keys of clouds and code hosts,
// tokens, private keys, passwords in addresses and after words that announce
// them. It rather takes away too much. It sends nothing anywhere, and keeps
// nothing.
package support
