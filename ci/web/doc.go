// Package web is Rondo's pages: projects, pipelines, workflows with their
// graph, and jobs with their output, live; settings of projects, contexts of
// organisations, the queue, and figures about what has run.
//
// Its nouns: a page is rendered on the server and complete without scripts; a
// part is a piece of a page that the script asks for again when an event says
// that it changed, so there is one code path that renders; an excerpt is a
// range of a step's output as HTML. [New] makes the handler. It asks for a
// [Conductor] (a ci.Server), a [Reader] (a database that is a ci.Store and a
// ci.Records) and, in [Config], for the output and the artifacts of jobs. What
// an installation may offer besides ([Chapters], [Queue], [Insights]) is asked
// for in words of ci; the pages of what is nil are not linked.
//
// A form answers with a redirect to the page that shows the result and says so
// in a sentence. One that cannot be done answers with its own page, what was
// typed, and what to do; secrets that were typed go back to nobody. A question
// before something is deleted needs no script, and neither does anything else
// but what is live. Forms of other sites are refused by what the browser says
// of their origin (Sec-Fetch-Site, Origin), so a form carries no token.
//
// Output never reaches the browser as a whole: a page holds the end of it,
// earlier ranges are fetched when asked for, the view by lines holds some
// thousand of them around one that has an address, a search runs on the
// server, and what a running step prints comes as server-sent events whose
// identities name the byte that comes next, so a stream that was cut goes on
// without a gap or a repeat, also with another server process.
//
// Output is text. Of terminal sequences only colours and attributes (SGR) act;
// a carriage return starts its line anew, and what can neither be seen nor do
// harm (backspace, erase-to-end-of-line, private modes) is left out. Every
// other control character is shown as ^[ and the like. Characters are never
// laid over each other, so the text shown is always text that was printed in
// that order, and a masked stream stays masked. This is why the package paints
// output itself and does not emulate a screen.
//
// The package never changes state except by the methods of its [Conductor], by
// Config.Retrigger and by its [Chapters], answers no GET with a change, loads
// nothing from other hosts, and keeps nothing on disk. It starts one goroutine
// while at least one page is watched. Watchers live as long as their request:
// whoever shuts an [http.Server] down cancels its BaseContext to end them.
package web
