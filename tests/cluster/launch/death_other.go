//go:build !linux

package main

import "syscall"

// diesWithParent has no equal here: children outlive a launcher that is killed with SIGKILL.
func diesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
