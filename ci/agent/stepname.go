package agent

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// stepName returns what people see as the name of a step.
func stepName(spec ci.StepSpec) string {
	if name := strings.TrimSpace(spec.Name); name != "" {
		return name
	}
	switch spec.Kind {
	case ci.StepRun, ci.StepDeploy:
		first, rest, _ := strings.Cut(strings.TrimSpace(spec.Command), "\n")
		if first = strings.TrimSpace(first); rest != "" {
			first += " ..."
		}
		return cmp.Or(first, string(spec.Kind))
	case ci.StepCheckout:
		return "Checkout code"
	case ci.StepSaveCache:
		return "Saving Cache"
	case ci.StepRestoreCache:
		return "Restoring Cache"
	case ci.StepPersist:
		return "Persisting to Workspace"
	case ci.StepAttach:
		return "Attaching Workspace"
	case ci.StepArtifacts:
		return "Uploading artifacts"
	case ci.StepTestResults:
		return "Uploading test results"
	case ci.StepSSHKeys:
		return "Installing additional ssh keys"
	case ci.StepRemoteDocker:
		return "Setup a remote Docker engine"
	}
	return fmt.Sprintf("Step %s", spec.Kind)
}
