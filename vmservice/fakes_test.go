package vmservice_test

import "strings"

// cutOwner splits the marker of a volume.
func cutOwner(owner string) (project, rest string, ok bool) { return strings.Cut(owner, "|") }
