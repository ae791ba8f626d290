//go:build profiling

package main

import (
	"log"
	"net/http"
	_ "net/http/pprof" // its handlers
	"os"
)

// A binary built with the tag profiling, as `make profile` does, serves Go's profiles at the address that PROFILING names. No
// other binary can.
func init() {
	if address := os.Getenv("PROFILING"); address != "" {
		go func() { log.Fatal(http.ListenAndServe(address, nil)) }()
	}
}
