package ci

import "time"

// A File is something that a task stored for later: a cache, a workspace layer
// or an artifact. It is whole or absent, and it never changes.
type File struct {
	Kind FileKind `json:"kind"`
	// Task and Epoch are the hand-out that stored it. A cache belongs to the
	// project alone and has none.
	Task  TaskID `json:"task,omitempty"`
	Epoch int64  `json:"epoch,omitempty"`
	// Name is the cache key, the path of the artifact (slashes, relative,
	// clean), or the layer's number within the task, counted from 0.
	Name string `json:"name"`
	// Size is in bytes; SHA256 is in hex, over the stored bytes.
	Size   int64     `json:"size"`
	SHA256 string    `json:"sha256"`
	Stored time.Time `json:"stored,omitzero"`
}

// A FileKind says what a [File] is.
type FileKind string

// The kinds of files.
const (
	FileCache     FileKind = "cache"     // shared by the jobs of a project; zstd-compressed tar
	FileWorkspace FileKind = "workspace" // for the jobs downstream; zstd-compressed tar
	FileArtifact  FileKind = "artifact"  // for people; the bytes as they were
)
