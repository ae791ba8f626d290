//go:build unix && !linux

package operator

import "syscall"

// attributes keep Ctrl-C from the operator, as its owner ends it in order.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
