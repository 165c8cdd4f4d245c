package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyItsOwnDirectoryIsEmptied(t *testing.T) {
	foreign := t.TempDir()
	precious := filepath.Join(foreign, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := prepare(foreign); err == nil {
		t.Error("a foreign directory was accepted")
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}

	own := filepath.Join(t.TempDir(), "new", "directory")
	for range 2 { // The second time it holds what the first left.
		if _, err := prepare(own); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(own, "leftover")); err == nil {
			t.Error("what an earlier run left is still there")
		}
		if err := os.WriteFile(filepath.Join(own, "leftover"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestATakenPortIsNotFree(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if isFree(listener.Addr().String()) {
		t.Error("free while taken")
	}
	_ = listener.Close()
	if !isFree(listener.Addr().String()) {
		t.Error("taken while free")
	}
}

func TestAPortLostBeforeUseIsTriedAgainAndOtherFailuresAreNot(t *testing.T) {
	for _, test := range []struct {
		script string
		starts int
		ends   bool
	}{
		{"echo listen: address already in use; exit 1", attempts, true},
		{"echo something else; exit 1", 1, true},
		{"sleep 60", 1, false},
	} {
		c := &cluster{dir: t.TempDir()}
		if _, err := prepare(c.dir); err != nil {
			t.Fatal(err)
		}
		starts := 0
		err := onFreePorts(1, func([]int) (*process, error) {
			starts++
			p, err := c.spawn("script", "/bin/sh", nil, "-c", test.script)
			if err != nil || !test.ends {
				return p, err
			}
			return p, until(context.Background(), p, func() error { return os.ErrNotExist })
		})
		c.killAll()
		if starts != test.starts {
			t.Errorf("%q: started %d times instead of %d", test.script, starts, test.starts)
		}
		if (err != nil) != test.ends {
			t.Errorf("%q: %v", test.script, err)
		}
		if test.ends && !strings.Contains(err.Error(), "exit status 1") {
			t.Errorf("%q: %v does not say how it ended", test.script, err)
		}
	}
}

func TestAComponentThatIsRestartedRunsOnAndOthersMayNotEnd(t *testing.T) {
	c := &cluster{dir: t.TempDir()}
	if _, err := prepare(c.dir); err != nil {
		t.Fatal(err)
	}
	defer c.killAll()
	first, err := c.spawn("one", "/bin/sh", []string{"WORD=hello"}, "-c", "echo $WORD; exec sleep 60")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.spawn("other", "/bin/sh", nil, "-c", "exec sleep 60"); err != nil {
		t.Fatal(err)
	}
	said := func(times int) func() error {
		return func() error {
			log, err := os.ReadFile(first.log)
			if err == nil && strings.Count(string(log), "hello") != times {
				err = os.ErrNotExist
			}
			return err
		}
	}
	if err := until(t.Context(), first, said(1)); err != nil {
		t.Fatal(err)
	}
	second, err := c.restart("one")
	if err != nil {
		t.Fatal(err)
	}
	if !first.hasEnded() || second.hasEnded() || len(c.processes) != 2 {
		t.Errorf("%d processes", len(c.processes))
	}
	// What it was told to do it is told again, in the same log.
	if err := until(t.Context(), second, said(2)); err != nil {
		t.Error(err)
	}
	if _, err := c.restart("nobody"); err == nil {
		t.Error("nobody was restarted")
	}
	// One that ends by itself still ends everything.
	go second.kill()
	if err := c.wait(t.Context(), nil, os.Stdout); err == nil || !strings.Contains(err.Error(), "one ended unexpectedly") {
		t.Error(err)
	}
}
