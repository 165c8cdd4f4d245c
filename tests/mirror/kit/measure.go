package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Runs a command, and says on standard output what it took: seconds, seconds of processor time, the most memory (MiB),
// and what passed over the two roads meanwhile: source requests, MiB read, destination requests, MiB written, statuses
// from 400 on at the destination, and the exit code. What the command prints goes to standard error.
func measure(source, destination string, command []string) error {
	for _, road := range []string{source, destination} {
		if _, err := countsOf(http.MethodPost, road); err != nil {
			return err
		}
	}
	started := time.Now()
	run := exec.Command(command[0], command[1:]...)
	run.Stdout, run.Stderr = os.Stderr, os.Stderr
	err := run.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	took := time.Since(started)
	read, err := countsOf(http.MethodGet, source)
	if err != nil {
		return err
	}
	written, err := countsOf(http.MethodGet, destination)
	if err != nil {
		return err
	}
	errorsThere := int64(0)
	for _, count := range written.Errors {
		errorsThere += count
	}
	memory := int64(0)
	if usage, ok := run.ProcessState.SysUsage().(*syscall.Rusage); ok {
		memory = usage.Maxrss >> 10
	}
	processor := run.ProcessState.SystemTime() + run.ProcessState.UserTime()
	fmt.Printf("%.2f %.2f %d %d %.1f %d %.1f %d %d\n", took.Seconds(), processor.Seconds(), memory,
		read.Total, float64(read.Sent)/(1<<20), written.Total, float64(written.Received)/(1<<20), errorsThere,
		run.ProcessState.ExitCode())
	return nil
}

func countsOf(method, road string) (counts, error) {
	client := &http.Client{Transport: &http.Transport{
		// It is on this machine, and tells nothing but numbers.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	request, err := http.NewRequest(method, "https://"+road+"/-/counts", nil)
	if err != nil {
		return counts{}, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return counts{}, err
	}
	defer answer.Body.Close()
	var found counts
	return found, json.NewDecoder(answer.Body).Decode(&found)
}
