package controllers

import (
	"fmt"
	"runtime"

	"pgregory.net/rapid"
)

// complaintOf checks a property that may fail, and returns what is said then and what was logged.
func complaintOf(name string, property func(*rapid.T)) (said, story string) {
	j := &jury{name: name}
	done := make(chan struct{})
	go func() {
		defer close(done)
		rapid.Check(j, property) // ends the goroutine when it fails
	}()
	<-done
	if !j.failed {
		return "", ""
	}
	return j.said, j.story
}

// jury is a test whose failure is no failure.
type jury struct {
	rapid.TB // nil: the rest is not called

	name, said, story string
	failed            bool
}

func (*jury) Helper()           {}
func (j *jury) Name() string    { return j.name }
func (j *jury) Failed() bool    { return j.failed }
func (*jury) FailNow()          { runtime.Goexit() }
func (j *jury) Log(args ...any) { j.story += fmt.Sprintln(args...) }

func (j *jury) Logf(format string, args ...any) { j.story += fmt.Sprintf(format, args...) + "\n" }

func (j *jury) Errorf(format string, args ...any) {
	j.failed = true
	j.said += fmt.Sprintf(format, args...)
}
