package main

import "syscall"

// diesWithParent covers the one case that killAll cannot: that we ourselves are killed. The group of its
// own keeps a terminal's Ctrl-C for us.
func diesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
