// Package orb holds orbs for the configuration language: reusable packages of
// commands, jobs and executors. Its nouns are the [Ref], which names an orb and
// a version or a rule to choose one, the [Dir], a folder of files for work
// without a registry, and the [Registry] in the documents of an installation.
// It only keeps and finds orbs; it never reads what is in them, never asks who
// may do something, and never fetches an orb from elsewhere.
package orb
