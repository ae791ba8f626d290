// Package image has only tests: the Dockerfile is read as BuildKit reads it, and its build stage is run without a container engine. It is
// a module of its own, for BuildKit is no part of the operator.
package image
