//go:build unix && !linux

package main

import "syscall"

// attributes keep Ctrl-C from the operator, as the demo ends it in order.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
