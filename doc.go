// Package rondo is the root of Rondo, a CI/CD server in Go that runs CircleCI
// configurations. It holds no code, only the map of the house and the tests
// that keep the house in order (house_test.go, rules_test.go).
//
// # The floors
//
//	roof    cmd/rondo-server  cmd/rondo-agent  cmd/rondo  examples/*  bench    here, and only here, rooms meet
//	rooms   scheduler  vmservice  storage  auth  audit  metrics  proxy         strangers to one another
//	        ci/config  ci/forge  ci/api  ci/web  ci/agent  ci/...              strangers too
//	ground  ci    nouns, the pure workflow graph, the Server that conducts     imports the standard library only
//
// There are two kinds of arrows: from the roof to rooms, and from rooms to the
// ground. None runs up, none sideways. What one room needs of another it asks
// for in words of ci and the standard library, as a small interface or a
// function value, and cmd puts the two together.
//
// # What is where
//
//	ci                   project, pipeline, workflow, job, task, event, plan; Server, Store
//	ci/config            CircleCI YAML 2.0 and 2.1 -> ci.Plan; pure
//	ci/forge             the border to code hosts: GitHub, a local git folder
//	ci/agent             the worker: steps, caches, workspaces, tests
//	ci/api               REST v2 and v1.1, GraphQL, runners, live events, the agents' door
//	ci/web               the pages
//	ci/secret            contexts, variables and SSH keys, and which job may have them
//	ci/schedule          what the clock starts
//	ci/webhook           who is told of what happened
//	ci/doctor            what stands around the server, as others see it
//	ci/support           what may be given away to somebody who is to help
//	ci/insights          what became of workflows, as figures
//	ci/citest            suites for the interfaces that ci asks for
//	scheduler            usage queue, run queue, leases; so far local processes as agents
//	storage              logs and files as bytes; memdb and sqldb keep the records;
//	                     secrets encrypts what is secret in them
//	auth                 users, sessions, roles, tokens; LDAP and GitHub as ways to log in
//	audit                the book of who did what
//	cmd                  main packages: wiring, read from top to bottom; cmd/internal/engine is
//	                     what the server and the offline run have in common
//	examples             programs of a few lines that run in the tests
//	bench                the speed of the whole against its floor
//
// The map has rooms that are not built yet: ci/usage and its neighbours,
// vmservice, metrics, proxy.
//
// # The spine
//
// A push, a button or a schedule becomes a ci.Trigger. The ci.Server accepts
// it durably, compiles the configuration into a plan and starts its workflows;
// state and events are written in one transaction. Everything else follows the
// events: the scheduler queues tasks and hands them to agents under leases,
// the pages and the code host learn what became of them. What an agent reports
// goes back into the workflow, which makes the next events.
//
// # How to read on
//
// Start with package ci, then look at cmd/rondo-server, where the rooms meet.
// CONTRIBUTING.md says how to work here; each package says in its first
// comment what it is, what its nouns are, and what it never does.
package rondo
