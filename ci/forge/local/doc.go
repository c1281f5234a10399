// Package local makes a git folder on this machine a code host: what Rondo asks
// of GitHub for a push (which commit, what does its configuration say, who wrote
// it) it asks here of the folder itself.
//
// Its nouns are the [Repo], a folder that git knows; the [Commit]; and the
// [Snapshot], a commit of the working copy as it is, uncommitted changes
// included. [Repo.Watch] turns new commits and tags into triggers.
//
// The package runs the git program and nothing else. It never writes to the
// repository: not to its work tree, index, references or objects. It never talks
// to a remote, and hands no name to git that git could take for an option.
package local
