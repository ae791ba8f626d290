package main

import (
	"fmt"
	"runtime"
)

// Stamped in by the build, from the commit that is built and not from the clock: the same commit gives the same bytes.
//
//nolint:gochecknoglobals // the linker sets them
var (
	version = "dev"
	commit  = "unknown"
	date    = "unknown" // of the commit; RFC 3339, UTC
)

// built tells what this program is, in one line whose form stays.
func built() string {
	return fmt.Sprintf("secret-server-operator %s commit=%s date=%s go=%s platform=%s/%s",
		version, commit, date, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
