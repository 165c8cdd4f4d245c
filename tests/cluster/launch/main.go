// Command launch runs a real Kubernetes control plane and a real registry on loopback, for the tests
// and for `make run`.
//
// It keeps everything in one directory, which it empties first. When all answer, it prints KEY=value
// lines and then READY=1. It runs until its standard input closes, so that it ends together with whoever
// holds the other end of that pipe, however that one dies; SIGINT, SIGTERM and the end of any of its
// children end it too. What it started never outlives it.
//
//	launch [-registry HOST:PORT] DIR
//	launch ports WISHED...
//
// A line `restart COMPONENT` on its standard input kills that component and starts it again, with the same data and
// on the same port; when it is started, the launcher prints RESTARTED=COMPONENT.
//
// The second form prints, for each wished port, that port when it is free on loopback, or else a free one.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// startDeadline is for everything together: about five seconds on two idle cores.
const startDeadline = 3 * time.Minute

// The kernel ties "kill me when my parent dies" to the parent's thread, so every child must be started
// from a thread that lives as long as the process: the first one.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) > 1 && os.Args[1] == "ports" {
		exit(printPorts(os.Args[2:]))
	}
	registry := flag.String("registry", "127.0.0.1:0", "where the registry should listen; another port is taken when this one is not free")
	flag.Parse()
	if flag.NArg() != 1 {
		exit(errors.New("expected one argument: the directory to keep everything in"))
	}
	exit(run(flag.Arg(0), *registry))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "control plane:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(dir, registryAddress string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	restarts := make(chan string)
	go func() {
		defer stop()
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			if name, ok := strings.CutPrefix(lines.Text(), "restart "); ok {
				select {
				case restarts <- name:
				case <-ctx.Done():
				}
			}
		}
	}()

	dir, err := prepare(dir)
	if err != nil {
		return err
	}
	cluster := &cluster{dir: dir}
	defer cluster.clean()
	defer cluster.killAll()

	starting, cancel := context.WithTimeoutCause(ctx, startDeadline, fmt.Errorf("not ready within %s", startDeadline))
	defer cancel()
	if err := cluster.start(starting, registryAddress); err != nil {
		if ctx.Err() != nil {
			return nil // Asked to end while starting: what failed, failed because of that.
		}
		return err
	}
	if err := cluster.announce(os.Stdout); err != nil {
		return err
	}
	return cluster.wait(ctx, restarts, os.Stdout)
}

// prepare empties dir, which must be absent, empty or of an earlier run: nothing else is ever removed.
func prepare(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	mark := filepath.Join(dir, ".control-plane")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if len(entries) > 0 {
		if _, err := os.Stat(mark); err != nil {
			return "", fmt.Errorf("%s is not empty and was not made by an earlier run", dir)
		}
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "logs"), 0o700); err != nil {
		return "", err
	}
	return dir, os.WriteFile(mark, nil, 0o600)
}
