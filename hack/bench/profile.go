package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// profilingVariable names the address at which an operator that was built for it serves its profiles; see profiling.go at the
// repository's root. The operator inherits it.
const profilingVariable = "PROFILING"

// saveProfiles asks such an operator for its profiles over the time of a measurement, and then for its heap, which go beside the
// logs. Without the variable it does nothing: what is measured usually is not profiled.
func (r *run) saveProfiles(ctx context.Context, w *world) error {
	address := os.Getenv(profilingVariable)
	if address == "" {
		return nil
	}
	seconds := max(int(r.saturated.Seconds())-1, 1)
	for _, profile := range []struct{ file, query string }{
		{"cpu.pprof", fmt.Sprintf("profile?seconds=%d", seconds)}, {"heap.pprof", "heap"}, {"allocs.pprof", "allocs"},
	} {
		if err := fetch(ctx, "http://"+address+"/debug/pprof/"+profile.query, filepath.Join(w.logs, profile.file)); err != nil {
			return fmt.Errorf("profile the operator: %w", err)
		}
	}
	return nil
}

// fetch saves what an address answers.
func fetch(ctx context.Context, url, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	file, err := os.Create(path) //nolint:gosec // below the directory of results
	if err != nil {
		return err
	}
	_, err = io.Copy(file, answer.Body)
	return errors.Join(err, file.Close())
}
