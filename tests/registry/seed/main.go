// Command seed fills a registry with real images over its own HTTP API, for the tests and for `make run`.
//
//	seed ADDRESS                             fills the sample repositories
//	seed ADDRESS push REPOSITORY TAG...      pushes one image per tag
//	seed ADDRESS push-index REPOSITORY TAG...  pushes one index of two platforms per tag
//	seed ADDRESS delete REPOSITORY TAG...    removes tags
//
// ADDRESS is HOST:PORT, spoken to in plain http. Pushing prints one line `REPOSITORY:TAG DIGEST` per tag.
// The same names give the same bytes, and so the same digests, every time.
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("expected ADDRESS [push|push-index|delete REPOSITORY TAG...]")
	}
	registry := newRegistry(args[0])
	if len(args) == 1 {
		return seedSamples(registry)
	}
	if len(args) < 4 {
		return fmt.Errorf("%s needs a repository and at least one tag", args[1])
	}
	verb, repository, tags := args[1], args[2], args[3:]
	for _, tag := range tags {
		var digest string
		var err error
		switch verb {
		case "push":
			digest, err = registry.pushImage(repository, tag, image(repository, tag, "amd64"))
		case "push-index":
			digest, err = registry.pushIndex(repository, tag)
		case "delete":
			err = registry.deleteTag(repository, tag)
		default:
			return fmt.Errorf("unknown verb %q", verb)
		}
		if err != nil {
			return fmt.Errorf("%s %s:%s: %w", verb, repository, tag, err)
		}
		if digest != "" {
			fmt.Printf("%s:%s %s\n", repository, tag, digest)
		}
	}
	return nil
}
