package config

import _ "embed"

//go:embed schema.json
var schema []byte

// Schema returns the JSON schema (draft 7) of the language, for editors. It
// describes texts as they are written, with << >> in them, so it is less
// strict than [Compile]: what it refuses does not compile, but not the other
// way round. The caller may change the copy.
func Schema() []byte { return append([]byte(nil), schema...) }
