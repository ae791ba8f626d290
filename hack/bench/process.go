package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// clockTick is the unit of CPU time in /proc/<pid>/stat: USER_HZ, which is 100 on every Linux.
const clockTick = 10 * time.Millisecond

// A footprint is what a process has used and holds, as the kernel says. Reading it costs the process nothing.
type footprint struct {
	cpu       time.Duration // in all threads, since the start
	rss, peak int64         // resident memory in bytes, now and at most
}

// processFile is the path of one of the files in which the kernel tells of a process.
func processFile(pid int, name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }

// footprintOf reads /proc.
func footprintOf(pid int) (footprint, error) {
	var f footprint
	stat, err := os.ReadFile(processFile(pid, "stat"))
	if err != nil {
		return f, err
	}
	// The second field is the name, in brackets, and may hold anything; user and system time are the 14th and 15th.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	for _, ticks := range fields[11:13] {
		n, err := strconv.ParseInt(string(ticks), 10, 64)
		if err != nil {
			return f, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		f.cpu += time.Duration(n) * clockTick
	}
	status, err := os.ReadFile(processFile(pid, "status"))
	if err != nil {
		return f, err
	}
	f.rss, err = kibibytes(status, "VmRSS:")
	if err != nil {
		return f, err
	}
	f.peak, err = kibibytes(status, "VmHWM:")
	return f, err
}

var errNoField = errors.New("no such field in /proc/<pid>/status")

// kibibytes reads a line such as "VmRSS:  1234 kB", in bytes.
func kibibytes(status []byte, field string) (int64, error) {
	for line := range bytes.Lines(status) {
		rest, ok := bytes.CutPrefix(line, []byte(field))
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte(" kB"))), 10, 64)
		return n << 10, err
	}
	return 0, fmt.Errorf("%s %w", field, errNoField)
}

// forgetPeak has the kernel count the most memory of a process from now on.
func forgetPeak(pid int) error {
	return os.WriteFile(processFile(pid, "clear_refs"), []byte("5"), 0o600)
}
