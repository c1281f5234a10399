package ci

// An Actor is who caused something: a person, the server itself, a schedule.
// Every trigger, approval, cancel and rerun carries one, and every event shows
// it. The zero Actor is the system.
type Actor struct {
	ID    string    `json:"id,omitempty"`
	Kind  ActorKind `json:"kind,omitempty"`
	Login string    `json:"login,omitempty"`
}

// An ActorKind says what sort of actor an [Actor] is.
type ActorKind string

// The kinds of actors.
const (
	ActorSystem   ActorKind = ""         // Rondo itself: auto-cancel, lost agents
	ActorUser     ActorKind = "user"     // a person, by page, API or CLI
	ActorSchedule ActorKind = "schedule" // a schedule that fired
	ActorForge    ActorKind = "forge"    // a push or pull request on a code host
	ActorProject  ActorKind = "project"  // a program with a [ProjectToken]; ID is the token's, Login no person's
)

// String returns the login, or "system" for the zero Actor.
func (a Actor) String() string {
	switch {
	case a.Login != "":
		return a.Login
	case a.Kind == ActorSystem:
		return "system"
	}
	return string(a.Kind)
}
