package memdb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/internal/plain"
)

// clone returns a deep copy of a noun, in the form that a database on a disk
// would give it back. What such a database could not hold is [ci.ErrInvalid].
func clone[T any](v T) (T, error) {
	var out T
	if err := copyTo(reflect.ValueOf(&out).Elem(), reflect.ValueOf(&v).Elem()); err != nil {
		return *new(T), fmt.Errorf("%w: %w", ci.ErrInvalid, err)
	}
	return out, nil
}

// mustClone copies what has been through clone before.
func mustClone[T any](v T) T {
	out, err := clone(v)
	if err != nil {
		panic(err) // it would mean that clone is wrong
	}
	return out
}

var timeType = reflect.TypeFor[time.Time]()

// copyTo copies src into dst, which is settable and zero.
func copyTo(dst, src reflect.Value) error {
	if src.Type() == timeType {
		t := src.Interface().(time.Time).Round(0).UTC()
		if y := t.Year(); y < 0 || y > 9999 {
			return fmt.Errorf("year %d is out of range", y)
		}
		dst.Set(reflect.ValueOf(t))
		return nil
	}
	switch src.Kind() {
	case reflect.Struct:
		for i := range src.NumField() {
			if err := copyTo(dst.Field(i), src.Field(i)); err != nil {
				return err
			}
		}
	case reflect.Slice:
		if src.Len() == 0 {
			return nil
		}
		dst.Set(reflect.MakeSlice(src.Type(), src.Len(), src.Len()))
		for i := range src.Len() {
			if err := copyTo(dst.Index(i), src.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		return copyMap(dst, src)
	case reflect.Pointer:
		if src.IsNil() {
			return nil
		}
		dst.Set(reflect.New(src.Type().Elem()))
		return copyTo(dst.Elem(), src.Elem())
	case reflect.Interface:
		return copyAny(dst, src)
	case reflect.String:
		dst.SetString(plain.Text(src.String()))
	case reflect.Float64, reflect.Float32:
		if f := src.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%v is no number", f)
		}
		dst.Set(src)
	default:
		dst.Set(src)
	}
	return nil
}

func copyMap(dst, src reflect.Value) error {
	if src.Len() == 0 {
		return nil
	}
	dst.Set(reflect.MakeMapWithSize(src.Type(), src.Len()))
	for entries := src.MapRange(); entries.Next(); {
		k, v := reflect.New(src.Type().Key()).Elem(), reflect.New(src.Type().Elem()).Elem()
		if err := copyTo(k, entries.Key()); err != nil {
			return err
		}
		if err := copyTo(v, entries.Value()); err != nil {
			return err
		}
		dst.SetMapIndex(k, v)
	}
	return nil
}

// copyAny copies a value of any type by way of JSON.
func copyAny(dst, src reflect.Value) error {
	b, err := json.Marshal(src.Interface())
	if err != nil {
		return err
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return err
	}
	if v = plain.Number(v); v != nil {
		dst.Set(reflect.ValueOf(v))
	}
	return nil
}
