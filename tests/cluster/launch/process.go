package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// process is a running child that dies with us and writes to a log file of its own.
type process struct {
	name     string
	cmd      *exec.Cmd
	env      []string // Besides ours.
	log      string
	ended    chan struct{} // Closed once the child is gone and reaped.
	replaced bool          // It was ended for another one of its name.
}

// spawn starts program; its log goes on where an earlier one of that name has ended. Call it from the main goroutine only: see init in main.go.
func (c *cluster) spawn(name, program string, env []string, args ...string) (*process, error) {
	log := filepath.Join(c.dir, "logs", name+".log")
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd := exec.Command(program, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = diesWithParent()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, env: env, log: log, ended: make(chan struct{})}
	c.processes = append(c.processes, p)
	go func() {
		_ = cmd.Wait() // How it ended is in cmd.ProcessState.
		close(p.ended)
	}()
	return p, nil
}

// kill does not ask first: what the children hold is thrown away with them.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // Fails only when it has ended already.
	<-p.ended
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// failure describes an unexpected end. Only call it once the process has ended.
func (p *process) failure() error {
	return fmt.Errorf("%s ended unexpectedly (%s); the end of %s:\n%s", p.name, p.cmd.ProcessState, p.log, p.logTail())
}

func (p *process) lostItsPort() bool {
	return bytes.Contains(p.logTail(), []byte("address already in use"))
}

func (p *process) logTail() []byte {
	const limit = 4 << 10
	content, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	if len(content) > limit {
		content = content[len(content)-limit:]
	}
	return content
}
