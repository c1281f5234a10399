// Package insights remembers what became of workflows, and answers how long
// they take, how long their jobs wait, how often they succeed, and which tests
// are slow or flaky. It is the chapter behind the insights page.
//
// Its nouns are in package ci: the Run, a workflow that has ended; Stats, the
// sum of the runs in a window; and the FlakyTest. An [Insights] follows the
// events and keeps a document for each run, in a scope for each workflow of a
// project and named by its end, so a window is one range of an index and what
// lies outside costs nothing. Runs older than [Kept] are removed.
//
// Names are what people like, so all has a bound: a project 1,000 workflows, a
// run the size of a document. What is beyond is left out and logged; nothing of
// one project holds up the others, and no fault of insights ends a server.
//
// The package never reads logs or artifacts, and decides nothing.
package insights
