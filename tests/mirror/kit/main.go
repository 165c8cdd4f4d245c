// Command kit is what the mirror's tests and its benchmark need beside tagscope and the registries.
//
//	kit registry ADDRESS           serves go-containerregistry's own registry, with referrers, in memory
//	kit road ADDRESS UPSTREAM CA [DELAY]  serves UPSTREAM (a URL) over TLS, each request DELAY (10ms) later, and counts:
//	                               GET /-/counts answers with the counts, POST /-/counts sets them to zero
//	kit images ADDRESS [REPOSITORIES TAGS]  pushes the benchmark's images: see images.go
//	kit odd ADDRESS REPOSITORY     pushes one tag for each odd thing that the specification allows: see odd.go
//	kit layer ADDRESS REPOSITORY MEBIBYTES  pushes one image with one layer of that size
//	kit digest ADDRESS REPOSITORY TAG  prints the digest of an image's first layer
//	kit measure ROAD ROAD COMMAND...  what a command takes, and what passed over the roads to its source and destination
//	kit check ADDRESS REPOSITORY... reads every tag of the repositories to its last byte, and prints `REPOSITORY:TAG DIGEST`
//
// ADDRESS is HOST:PORT on loopback, spoken to in plain http. The same names give the same bytes every time.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "kit:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("expected registry|road|images|odd|layer|measure|check ADDRESS ...")
	}
	verb, address, rest := args[0], args[1], args[2:]
	switch verb {
	case "registry":
		return serveRegistry(address)
	case "road":
		if len(rest) < 2 {
			return errors.New("road needs ADDRESS UPSTREAM CA")
		}
		delay := 10 * time.Millisecond
		if len(rest) > 2 {
			var err error
			if delay, err = time.ParseDuration(rest[2]); err != nil {
				return err
			}
		}
		return serveRoad(address, rest[0], rest[1], delay)
	case "images":
		repositories, tags := 10, 10
		if len(rest) == 2 {
			var err error
			if repositories, err = strconv.Atoi(rest[0]); err != nil {
				return err
			}
			if tags, err = strconv.Atoi(rest[1]); err != nil {
				return err
			}
		}
		return pushImages(address, repositories, tags)
	case "odd":
		if len(rest) != 1 {
			return errors.New("odd needs ADDRESS REPOSITORY")
		}
		return pushOdd(address, rest[0])
	case "layer":
		if len(rest) != 2 {
			return errors.New("layer needs ADDRESS REPOSITORY MEBIBYTES")
		}
		mebibytes, err := strconv.ParseInt(rest[1], 10, 64)
		if err != nil {
			return err
		}
		return pushLayer(address, rest[0], mebibytes<<20)
	case "digest":
		if len(rest) != 2 {
			return errors.New("digest needs ADDRESS REPOSITORY TAG")
		}
		return printLayer(address, rest[0], rest[1])
	case "measure":
		if len(rest) < 2 {
			return errors.New("measure needs ROAD ROAD COMMAND...")
		}
		return measure(address, rest[0], rest[1:])
	case "check":
		return check(address, rest)
	default:
		return fmt.Errorf("unknown verb %q", verb)
	}
}
