package rendering

import (
	"errors"
	"fmt"
	"text/template"
)

// Cause is why a template cannot be rendered. Its text holds nothing of the template, and nothing of the values.
type Cause string

// The causes.
const (
	Malformed       Cause = "it is not a valid Go template"
	TooLong         Cause = "it is longer than 8192 characters"
	TooDeep         Cause = "its actions or parentheses are nested deeper than 100 levels"
	TooNested       Cause = "toPrettyJson takes lists and dicts of at most 16 levels"
	Looping         Cause = "range is not available"
	Defining        Cause = "define, block and template are not available"
	UnknownFunction Cause = "there is no such function, or it is not available here"
	UnknownField    Cause = "there is no such value"
	Mismatch        Cause = "something has the wrong type, the wrong number of arguments, or no such field"
	Unsuitable      Cause = "a function cannot work with the arguments that it is given"
	Unprintable     Cause = "printf takes widths of at most 1000 here, and neither * nor argument indexes"
	TooLarge        Cause = "the result is too large: a text may have 128 KiB, all values together 256 KiB"
	TooMuchWork     Cause = "the templates together do too much"
)

// causeError is a cause on its way through text/template.
type causeError Cause

// Error tells the cause.
func (c causeError) Error() string { return string(c) }

func because(c Cause) error { return causeError(c) }

// Error tells which template cannot be rendered, where in it, and why.
type Error struct {
	Key string
	// Line and Column count from 1, columns in bytes; zero: not known.
	Line, Column int
	Cause        Cause
}

// Error tells all of it. The key is quoted.
func (e *Error) Error() string { return fmt.Sprintf("%q%s: %s", e.Key, e.place(), e.Cause) }

func (e *Error) place() string {
	switch {
	case e.Line == 0:
		return ""
	case e.Column == 0:
		return fmt.Sprintf(", line %d", e.Line)
	}
	return fmt.Sprintf(", line %d, column %d", e.Line, e.Column)
}

// executionError leaves of an error of text/template what tells nothing of the values. An error that wraps another one
// comes from within a function; any other is about how the template was put together.
func executionError(err error) *Error {
	e := &Error{Cause: Mismatch}
	failed, ok := errors.AsType[template.ExecError](err)
	if cause, known := errors.AsType[causeError](err); known {
		e.Cause = Cause(cause)
	} else if ok && errors.Unwrap(failed.Err) != nil {
		e.Cause = Unsuitable
	}
	if ok {
		e.locate(failed.Error())
	}
	return e
}

// locate takes the position from a message of text/template, which has it nowhere else. One of the parser has a line
// only; columns there count from 0.
func (e *Error) locate(message string) {
	var line, column int
	switch n, _ := fmt.Sscanf(message, "template: "+templateName+":%d:%d:", &line, &column); n { //nolint:errcheck // n tells how far it came
	case 2:
		e.Line, e.Column = line, column+1
	case 1:
		e.Line = line
	}
}
