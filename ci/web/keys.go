package web

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

func (s *site) fillKeys(ctx context.Context, b *settingsBody, _ url.Values) error {
	var err error
	b.Keys, err = s.cfg.Chapters.Keys.Keys(ctx, b.Project.ID)
	b.Form.Del("private") // goes back to nobody
	return err
}

func (s *site) changeKeys(ctx context.Context, b *settingsBody, form url.Values) (string, string, error) {
	kept, by, p := s.cfg.Chapters.Keys, actorIn(ctx), b.Project.ID
	switch form.Get("do") {
	case "create":
		kind := ci.KeyKind(form.Get("kind"))
		if kind != ci.KeyDeploy && kind != ci.KeyUser {
			return "", "", fmt.Errorf("create key: choose a deploy key or a user key: %w", ci.ErrInvalid)
		}
		_, err := kept.CreateKey(ctx, p, kind, by)
		return "key", "", err
	case "add":
		private := strings.TrimSpace(strings.ReplaceAll(form.Get("private"), "\r\n", "\n"))
		if !strings.HasPrefix(private, "-----BEGIN ") {
			return "", "", fmt.Errorf("add key: paste the whole private key, from -----BEGIN to the END line: %w", ci.ErrInvalid)
		}
		_, err := kept.AddKey(ctx, p, strings.TrimSpace(form.Get("host")), private+"\n", by)
		return "key", "", err
	case "delete":
		return "key-gone", "", kept.DeleteKey(ctx, p, form.Get("fingerprint"), by)
	}
	return "", "", ci.ErrNotFound
}
