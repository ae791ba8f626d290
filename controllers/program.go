package controllers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// mapping is a part of the program's file in the address space of the process.
type mapping struct{ start, length uintptr }

var errMapping = errors.New("not a mapping")

// cleanMappings are the parts of a program's file that are in memory just as they are in the file, and that cannot be written to. Pages
// may be taken from them: the kernel reads them again when they are wanted. A page of which the process has its own copy cannot
// be read again, so one of those, as a debugger or a dynamic linker makes them, bars the whole part. The form of smaps is that of
// /proc/pid/smaps; see proc_pid_smaps(5).
func cleanMappings(smaps io.Reader, program string) ([]mapping, error) {
	var clean []mapping
	var at *mapping // the part that the lines tell of, if pages may be taken from it as far as they have told
	known := false  // whether it has been told that there are no copies in memory
	end := func() {
		if at != nil && known {
			clean = append(clean, *at)
		}
		at, known = nil, false
	}
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		key, value, isFigure := strings.Cut(lines.Text(), ":  ")
		if !isFigure {
			end()
			m, eligible, err := readMapping(lines.Text(), program)
			if err != nil {
				return nil, err
			}
			if eligible {
				at = &m
			}
			continue
		}
		nothing := strings.TrimSpace(value) == "0 kB"
		switch {
		case at == nil:
		case key == "Anonymous" && nothing:
			known = true
		case (key == "Anonymous" || key == "Swap") && !nothing:
			at = nil
		}
	}
	end()
	return clean, lines.Err()
}

// readMapping reads the first line on a part, and reports whether that is of the program and cannot be written to.
func readMapping(line, program string) (m mapping, eligible bool, err error) {
	const addresses, permissions, path = 0, 1, 5
	if strings.HasPrefix(line, "VmFlags:") {
		return m, false, nil // the last line on a part
	}
	fields := strings.Fields(line)
	if len(fields) <= permissions {
		return m, false, fmt.Errorf("%w: %q", errMapping, line)
	}
	from, to, _ := strings.Cut(fields[addresses], "-")
	start, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return m, false, fmt.Errorf("%w: %q", errMapping, line)
	}
	end, err := strconv.ParseUint(to, 16, 64)
	if err != nil || end < start {
		return m, false, fmt.Errorf("%w: %q", errMapping, line)
	}
	eligible = len(fields) > path && strings.Join(fields[path:], " ") == program && !strings.Contains(fields[permissions], "w")
	return mapping{uintptr(start), uintptr(end - start)}, eligible, nil
}
