// Package config is the language of .circleci/config.yml, versions 2.0 and
// 2.1: bytes in, a [ci.Plan] out.
//
// Its nouns: a source is one YAML text, read into nodes that know their line
// and column. A space is what names are looked up in (commands, executors,
// jobs, orbs): one for the configuration and one for each orb. A scope is what
// << >> can see at one place. [Compile] expands everything a workflow reaches
// and evaluates filters, [Process] prints the expanded configuration in the
// form that `circleci config process` prints, and each mistake is an [Error]
// with a place, a code and a hint; all mistakes of a text are reported at once.
//
// The package is pure: the result depends on the arguments only, no file is
// opened and no network is used. Orbs come through [Orbs]. Hostile texts end
// in an error that names the limit of [Limits] that stopped them. It never
// executes, fetches or stores anything, and it leaves nothing to evaluate in a
// plan, apart from what only the running job knows (cache keys, environment
// variables).
//
// Third parties: go.yaml.in/yaml/v3 reads YAML into positioned nodes, and
// github.com/dlclark/regexp2 matches the filters that need look-around, which
// the language inherits from Java.
package config
