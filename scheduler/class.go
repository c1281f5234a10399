package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// Resources are what a task needs or a node has.
type Resources struct {
	CPU      float64 `json:"cpu"`
	MemoryMB int     `json:"memory_mb"` // MiB
}

// String returns the resources for people: "2 CPU, 4096 MB".
func (r Resources) String() string {
	return strconv.FormatFloat(r.CPU, 'f', -1, 64) + " CPU, " + strconv.Itoa(r.MemoryMB) + " MB"
}

// fits reports whether r has room for need.
func (r Resources) fits(need Resources) bool {
	const slack = 1e-9 // sums of fractions
	return need.CPU <= r.CPU+slack && need.MemoryMB <= r.MemoryMB
}

func (r Resources) plus(o Resources) Resources {
	return Resources{r.CPU + o.CPU, r.MemoryMB + o.MemoryMB}
}

func (r Resources) minus(o Resources) Resources {
	return Resources{r.CPU - o.CPU, r.MemoryMB - o.MemoryMB}
}

// within returns r, but no more of anything than limit has.
func (r Resources) within(limit Resources) Resources {
	return Resources{min(r.CPU, limit.CPU), min(r.MemoryMB, limit.MemoryMB)}
}

// share measures the resources in units of the medium class, by whichever of
// the two is scarcer; it is what fairness counts.
func (r Resources) share() float64 {
	return max(r.CPU/2, float64(r.MemoryMB)/4096, 0.01)
}

// DefaultClasses returns the documented resource classes. A name with an
// executor before a slash holds for that executor only.
func DefaultClasses() map[string]Resources {
	return map[string]Resources{
		"small": {1, 2048}, "medium": {2, 4096}, "medium+": {3, 6144}, "large": {4, 8192},
		"xlarge": {8, 16384}, "2xlarge": {16, 32768}, "2xlarge+": {20, 40960},
		"arm.medium": {2, 8192}, "arm.large": {4, 16384}, "arm.xlarge": {8, 32768}, "arm.2xlarge": {16, 65536},
		"machine/medium": {2, 7680}, "machine/large": {4, 15360}, "machine/xlarge": {8, 32768},
		"machine/2xlarge": {16, 65536}, "machine/2xlarge+": {32, 65536},
		"windows.medium": {4, 15360}, "windows.large": {8, 30720}, "windows.xlarge": {16, 61440},
		"windows.2xlarge":  {32, 131072},
		"gpu.nvidia.small": {4, 15360}, "gpu.nvidia.medium": {8, 30720}, "gpu.nvidia.large": {8, 30720},
		"windows.gpu.nvidia.medium": {16, 61440},
		"macos/medium":              {4, 8192}, "macos/large": {8, 16384},
	}
}

// class returns the name and the size of the class that a task asks for, or
// an error that names those there are.
func (c *Config) class(t ci.Task) (string, Resources, error) {
	name := t.Class
	if name == "" {
		name = c.DefaultClass
	}
	for _, key := range []string{string(t.Executor) + "/" + name, name} {
		// A class with a slash of its own is one of a runner, not of an executor.
		if r, ok := c.Classes[key]; ok {
			return key, r, nil
		}
	}
	return name, Resources{}, fmt.Errorf("there is no resource class %q; there are: %s", name, strings.Join(c.classNames(t.Executor), ", "))
}

// classNames lists the classes that an executor may ask for, small ones first.
func (c *Config) classNames(kind ci.ExecutorKind) []string {
	size := make(map[string]Resources)
	for key, r := range c.Classes {
		executor, name, ok := strings.Cut(key, "/")
		switch {
		case !ok:
			if _, special := size[key]; !special {
				size[key] = r
			}
		case executor == string(kind):
			size[name] = r
		}
	}
	return slices.SortedFunc(maps.Keys(size), func(a, b string) int {
		ra, rb := size[a], size[b]
		switch {
		case ra.CPU != rb.CPU:
			if ra.CPU < rb.CPU {
				return -1
			}
			return 1
		case ra.MemoryMB != rb.MemoryMB:
			return ra.MemoryMB - rb.MemoryMB
		}
		return strings.Compare(a, b)
	})
}
