package tool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const haltHelp = `Usage: circleci step halt

Ends the job as a success when the current step has ended: the steps behind it
are skipped.
`

// halt leaves a mark for the agent.
func (c *call) halt(args []string) error {
	if c.wantsHelp(args, haltHelp) {
		return nil
	}
	dir := c.getenv(TaskData)
	if dir == "" {
		return errors.New("step halt: not inside a job (" + TaskData + " is not set)")
	}
	if err := os.WriteFile(filepath.Join(dir, HaltFile), nil, 0o644); err != nil {
		return fmt.Errorf("step halt: %w", err)
	}
	return nil
}
