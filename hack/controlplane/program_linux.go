package controlplane

import "syscall"

// attributes keep Ctrl-C from the program, as ending it in order is up to the
// caller of Stop, and end it with this process, should Stop never be called.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
