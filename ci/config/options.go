package config

// Options say for which pipeline a configuration is compiled. The zero value
// is good for checking a text without a pipeline: a push to a branch without a
// name, which no filter for named branches lets pass.
type Options struct {
	// File is the name of the text in messages; "" is .circleci/config.yml.
	File string
	// Parameters are values for the configuration's pipeline parameters:
	// string, bool or a number. One that is not declared, or of another type,
	// is an error.
	Parameters map[string]any
	// Text says that the parameters were given by something that knows text
	// only, as command lines and forms do: text that says a boolean or an
	// integer is one where that is what was declared.
	Text bool
	// Values are the pipeline values by their names without "pipeline.":
	// git.branch, git.tag, git.revision, number, id, trigger_source and so on.
	// What is missing has a harmless default. git.branch and git.tag decide
	// the filters; on a tag git.branch is empty.
	Values map[string]any
	// Orbs finds the orbs that the configuration imports; nil has none.
	Orbs Orbs
	// Cache keeps the orbs that were read for the next compile; nil keeps none.
	Cache *Cache
	// Schedule names the workflow that the clock starts. The plan then has
	// that workflow only; without it the plan has none of the workflows with
	// triggers.
	Schedule string
	// Continued says that the text continues a setup pipeline, so it must not
	// be a setup configuration itself.
	Continued bool
	// Limits bound what a text may grow to; zero fields have defaults.
	Limits Limits
}

// Limits bound what one compile may use. A text that reaches one ends in an
// error with code CFG003 that names it. Zero fields mean the defaults.
type Limits struct {
	// Source is the size of the configuration, and of each orb, in bytes;
	// default 3 MiB.
	Source int
	// Nodes is the number of YAML values of one text with its aliases
	// resolved; default 250,000.
	Nodes int
	// Depth is the nesting of YAML values; default 250.
	Depth int
	// Calls is the nesting of commands within commands; default 50.
	Calls int
	// Steps is the number of expanded steps; default 50,000.
	Steps int
	// Jobs is the number of expanded jobs; default 2,500.
	Jobs int
	// Edges is the number of requirements between jobs; default 50,000.
	Edges int
	// Matrix is the number of cells of one matrix; default 256.
	Matrix int
	// Parallelism is the number of nodes of one job; default 1,024.
	Parallelism int
	// Orbs is the number of imported orbs, nested ones counted; default 100.
	Orbs int
	// Expanded is the size of the expanded configuration, in bytes; default
	// 16 MiB.
	Expanded int
}

// withDefaults fills in the zero fields.
func (l Limits) withDefaults() Limits {
	set := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&l.Source, 3<<20)
	set(&l.Nodes, 250_000)
	set(&l.Depth, 250)
	set(&l.Calls, 50)
	set(&l.Steps, 50_000)
	set(&l.Jobs, 2_500)
	set(&l.Edges, 50_000)
	set(&l.Matrix, 256)
	set(&l.Parallelism, 1_024)
	set(&l.Orbs, 100)
	set(&l.Expanded, 16<<20)
	return l
}
