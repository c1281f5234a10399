package screen

import "github.com/rondo-ci/rondo/ci"

// Mark is a sign for a status, in colour if wanted: never colour alone.
func Mark(s ci.Status, colour bool) string {
	sign, code := "·", "2"
	switch {
	case s == ci.Success:
		sign, code = "✓", "32"
	case s.Bad():
		sign, code = "✗", "31"
	case s == ci.Canceled:
		sign, code = "⊘", "33"
	case s == ci.Running:
		sign, code = "▸", "36"
	case s == ci.OnHold:
		sign, code = "‖", "35"
	}
	if !colour {
		return sign
	}
	return "\x1b[" + code + "m" + sign + "\x1b[0m"
}
