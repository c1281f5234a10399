package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A page is one piece of a list.
type page[T any] struct {
	Items []T `json:"items"`
	// Next is null on the last page.
	Next *string `json:"next_page_token"`
}

// pageOf returns a page; next is the key from which the following one goes on,
// nil on the last.
func pageOf[T any](items []T, next any) page[T] {
	if items == nil {
		items = []T{}
	}
	p := page[T]{Items: items}
	if next != nil {
		data, _ := json.Marshal(next) // keys are strings and numbers
		p.Next = new(base64.RawURLEncoding.EncodeToString(data))
	}
	return p
}

// pageKey reads the token of [pageOf] back into key; an empty one is the first
// page and leaves key as it is.
func (c *call) pageKey(key any) error {
	token := strings.TrimRight(c.r.URL.Query().Get("page-token"), "=")
	if token == "" {
		return nil
	}
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(data, key)
	}
	if err != nil {
		return fmt.Errorf("page-token is not one of this list: %w", ci.ErrInvalid)
	}
	return nil
}
