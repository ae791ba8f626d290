package main

import "syscall"

// attributes keep Ctrl-C from the operator, as the demo ends it in order, and end it with the demo, should that be killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
