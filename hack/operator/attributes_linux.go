package operator

import "syscall"

// attributes keep Ctrl-C from the operator, as its owner ends it in order, and end it with its owner, should that be killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
