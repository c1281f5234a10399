package api

// OrgID returns the identity under which clients know the organisation with
// that slug, a UUID.
func OrgID(slug string) string { return orgID(slug) }
