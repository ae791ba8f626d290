//go:build !linux

package controllers

// releaseProgram does nothing: the operator runs on Linux, and elsewhere only where it is developed.
func releaseProgram() error { return nil }
