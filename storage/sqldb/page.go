package sqldb

import "iter"

// pageRows is how many rows are read at once.
const pageRows = 200

// pages yields what fetch returns, page by page, until a page is not full.
// Between pages no connection is held, so a slow consumer, or one that asks
// the database again, hinders no one. fetch appends to the slice it is given;
// it keeps by itself how far it has come.
func pages[T any](fetch func(page []T) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var page []T
		for {
			var err error
			if page, err = fetch(page[:0]); err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, v := range page {
				if !yield(v, nil) {
					return
				}
			}
			if len(page) < pageRows {
				return
			}
		}
	}
}
