// Command clients sets Kubernetes' own Go clients before tagscope: client-go's reflectors, informers, pager, discovery
// and error types, and controller-runtime's cache and client. What they hold is compared with what a plain list says.
//
//	clients check [-direct URL -cert FILE -key FILE] KUBECONFIG NAMESPACE CHECK...
//	clients follow [FLAG] KUBECONFIG NAMESPACE
//
// `check` runs the named checks against what is served in NAMESPACE, prints a line for each, and fails when one does.
//
// `follow` starts a follower of every kind, most of them behind proxies that cut their connections at random. It
// prints `READY` when all have synced, and then reads commands, a line each, until its standard input closes:
//
//	settle    waits until every follower knows what a list says, and prints the counts as one line of JSON
//	cut       from now on the proxies cut connections
//	mend      from now on they do not
//
// A follower that was told what cannot be, such as two contents under one resourceVersion, ends the program.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// What clients complain of while connections are cut is expected.
	klog.SetLogger(logr.Discard())
	log.SetLogger(logr.Discard())
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("expected `check` or `follow`")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	switch args[0] {
	case "check":
		direct := flags.String("direct", "", "URL of the server itself, for checks that pass kube-apiserver by")
		cert := flags.String("cert", "", "client certificate of the front proxy")
		key := flags.String("key", "", "its key")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if flags.NArg() < 3 {
			return errors.New("expected KUBECONFIG NAMESPACE CHECK...")
		}
		config, err := load(flags.Arg(0))
		if err != nil {
			return err
		}
		return check(ctx, &bench{config, flags.Arg(1), *direct, *cert, *key}, flags.Args()[2:])
	case "follow":
		retrying := flags.Int("retrying", 4, "how many RetryWatchers follow besides")
		copies := flags.Int("copies", 1, "how many followers of each other kind")
		stalled := flags.Int("stalled", 0, "how many watches are opened and never read")
		lifetime := flags.Duration("lifetime", 2*time.Second, "mean lifetime of a connection while proxies cut")
		patience := flags.Duration("patience", time.Minute, "how long `settle` waits")
		backend := flags.String("backend", "", "HOST:PORT to put another cutting proxy before; its address is printed as BACKEND=")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if flags.NArg() != 2 {
			return errors.New("expected KUBECONFIG NAMESPACE")
		}
		config, err := load(flags.Arg(0))
		if err != nil {
			return err
		}
		options := followOptions{*retrying, *copies, *stalled, *lifetime, *patience, *backend}
		return follow(ctx, config, flags.Arg(1), options, bufio.NewScanner(os.Stdin), os.Stdout)
	default:
		return fmt.Errorf("%q is neither `check` nor `follow`", args[0])
	}
}

// load reads a kubeconfig. The limits of a client are its own affair, and would only slow the tests down.
func load(kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = -1, -1
	return config, nil
}

// check runs checks by their names.
func check(ctx context.Context, b *bench, names []string) error {
	var failed []string
	for _, name := range names {
		run, known := checks[name]
		if !known {
			return fmt.Errorf("there is no check %q", name)
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		started := time.Now()
		err := run(ctx, b)
		cancel()
		if err != nil {
			failed = append(failed, name)
			fmt.Printf("FAILED %s: %v\n", name, err)
			continue
		}
		fmt.Printf("ok %s (%s)\n", name, time.Since(started).Round(time.Millisecond))
	}
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

// commands reads lines until the input ends.
func commands(input *bufio.Scanner) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for input.Scan() {
			lines <- strings.TrimSpace(input.Text())
		}
	}()
	return lines
}

// dump writes where every goroutine is, for a `settle` that fails.
func dump(to io.Writer) {
	buffer := make([]byte, 1<<20)
	_, _ = to.Write(buffer[:runtime.Stack(buffer, true)])
}
