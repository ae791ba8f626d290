package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/google/pprof/profile"
)

// profilingVariable names the address at which an operator that was built for it serves its profiles; see profiling.go at the
// repository's root. The operator inherits it.
const profilingVariable = "PROFILING"

const cpuProfile = "cpu.pprof"

// saveProfiles asks such an operator for its profiles over the time of a measurement, and then for its heap, which go beside the
// logs; and the first also as the compiler wants it. Without the variable it does nothing: what is measured usually is not profiled.
func (r *run) saveProfiles(ctx context.Context, w *world) error {
	address := os.Getenv(profilingVariable)
	if address == "" {
		return nil
	}
	seconds := max(int(r.saturated.Seconds())-1, 1)
	for _, kind := range []struct{ file, query string }{
		{cpuProfile, fmt.Sprintf("profile?seconds=%d", seconds)}, {"heap.pprof", "heap"}, {"allocs.pprof", "allocs"},
	} {
		content, err := ask(ctx, http.MethodGet, "http://"+address+"/debug/pprof/"+kind.query, nil)
		if err == nil {
			err = os.WriteFile(filepath.Join(w.logs, kind.file), content, 0o600)
		}
		if err == nil && kind.file == cpuProfile {
			err = saveForCompiler(filepath.Join(w.logs, "operator.pgo"), content)
		}
		if err != nil {
			return fmt.Errorf("profile the operator: %w", err)
		}
	}
	return nil
}

// saveForCompiler saves what the compiler reads of a CPU profile, and nothing that tells where it was taken, or when.
func saveForCompiler(file string, cpu []byte) error {
	p, err := profile.ParseData(cpu)
	if err != nil {
		return err
	}
	p.TimeNanos, p.Comments = 0, nil
	for _, m := range p.Mapping {
		m.File, m.BuildID = "", ""
	}
	for _, s := range p.Sample {
		s.Label, s.NumLabel, s.NumUnit = nil, nil, nil
	}
	var compressed bytes.Buffer
	if err := p.Compact().Write(&compressed); err != nil {
		return err
	}
	return os.WriteFile(file, compressed.Bytes(), 0o600)
}
