package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/rondo-ci/rondo/ci"
	"github.com/spf13/cobra"
)

func ldapUsersCommand() *cobra.Command {
	var file, link, unlink string
	var all bool
	cmd := &cobra.Command{
		Use:   "users",
		Short: "Bring users who exist to the directory",
		Long: `Users lists who has an account on the server, and who of the directory may be
the same person: by mail address, or where nobody has one of those, by login.
Who is linked keeps everything at the first login by the directory; who is not
becomes a new user then. Nothing is changed without --link, --unlink or
--link-all, and what is changed is in the audit log.

It asks the server that runs on the data folder of the settings. The page
/admin/ldap/users does the same.`,
		Example: `  rondo-server ldap users --config rondo.yml
  rondo-server ldap users --config rondo.yml --link ada=alovelace
  rondo-server ldap users --config rondo.yml --unlink ada
  rondo-server ldap users --config rondo.yml --link-all`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := runningServer(file)
			if err != nil {
				return err
			}
			m := matching{cmd: cmd, server: s}
			if err := m.read(); err != nil {
				return fmt.Errorf("ldap users: %w", err)
			}
			switch {
			case link != "":
				user, login, ok := strings.Cut(link, "=")
				if !ok {
					return usageError{errors.New("--link: write USER=LOGIN, the user here and the login there")}
				}
				err = m.link(user, login)
			case unlink != "":
				err = m.unlink(unlink)
			case all:
				err = m.linkAll()
			}
			if err != nil {
				return fmt.Errorf("ldap users: %w", err)
			}
			return m.print()
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "rondo.yml", "the file of settings")
	cmd.Flags().StringVar(&link, "link", "", "USER=LOGIN: let the user log in as the login of the directory")
	cmd.Flags().StringVar(&unlink, "unlink", "", "USER: let the user log in by the directory no longer")
	cmd.Flags().BoolVar(&all, "link-all", false, "link all users of whom exactly one person there has the same mail address")
	cmd.MarkFlagsMutuallyExclusive("link", "unlink", "link-all")
	return cmd
}

// A matching is the users of a server and the people of its directory.
type matching struct {
	cmd    *cobra.Command
	server running
	users  []ci.Match
}

func (m *matching) read() error {
	var page struct{ Items []ci.Match }
	err := m.server.do(m.cmd.Context(), "GET", "/users/matches?directory=ldap", nil, &page)
	m.users = page.Items
	return err
}

// user returns the one user of a login or ID.
func (m *matching) user(name string) (ci.Match, error) {
	var found []ci.Match
	for _, u := range m.users {
		if u.User.ID == name || strings.EqualFold(u.User.Login, name) {
			found = append(found, u)
		}
	}
	if len(found) != 1 {
		return ci.Match{}, fmt.Errorf("%d users are called %.80q; name one by the ID that the list shows", len(found), name)
	}
	return found[0], nil
}

func (m *matching) link(user, login string) error {
	u, err := m.user(user)
	if err != nil {
		return err
	}
	send := map[string]string{"directory": "ldap", "login": login}
	if err := m.server.do(m.cmd.Context(), "POST", "/users/"+url.PathEscape(u.User.ID)+"/identities", send, new(any)); err != nil {
		return fmt.Errorf("%s: %w", u.User.Login, err)
	}
	return m.read()
}

func (m *matching) unlink(user string) error {
	u, err := m.user(user)
	if err != nil {
		return err
	}
	if err := m.server.do(m.cmd.Context(), "DELETE", "/users/"+url.PathEscape(u.User.ID)+"/identities?directory=ldap", nil, new(any)); err != nil {
		return fmt.Errorf("%s: %w", u.User.Login, err)
	}
	return m.read()
}

// linkAll links whom an address says, and tells of the others.
func (m *matching) linkAll() error {
	var failed []error
	for _, u := range m.users {
		if u.Linked == "" && len(u.Found) == 1 && u.By == "email" {
			failed = append(failed, m.link(u.User.ID, u.Found[0]))
		}
	}
	return errors.Join(failed...)
}

func (m *matching) print() error {
	w := tabwriter.NewWriter(m.cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tROLE\tIN THE DIRECTORY\tWHY\tID\tREMARK")
	for _, u := range m.users {
		there, why := u.Linked, "linked"
		if there == "" {
			there, why = strings.Join(u.Found, ", "), "-"
			if u.By != "" {
				why = "same " + u.By
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", u.User.Login, cmp.Or(u.User.Role, "-"), cmp.Or(there, "-"), why, u.User.ID, u.Problem)
	}
	return w.Flush()
}
