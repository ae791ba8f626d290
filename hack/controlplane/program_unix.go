//go:build unix && !linux

package controlplane

import "syscall"

// attributes keep Ctrl-C from the program, as ending it in order is up to the
// caller of Stop.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
