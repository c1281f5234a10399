// Package doctor looks at an installation as others see it, and names what is
// wrong: chapter "Before you begin" of the operator's guide, whose first demand
// is that DNS points at the Services machine.
//
// Its one noun is the [Finding]: a code that stays the same, the words, what to
// do. [Names] looks at DNS. Pure where it can be, it is given whom to ask; it
// changes nothing, keeps nothing and sends no secret anywhere.
package doctor
