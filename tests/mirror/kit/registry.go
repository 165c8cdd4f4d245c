package main

import (
	"io"
	"log"
	"net"
	"net/http"

	"github.com/google/go-containerregistry/pkg/registry"
)

// A registry that nobody here has written: it knows referrers, and deletes tags.
func serveRegistry(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	handler := registry.New(
		registry.WithReferrersSupport(true),
		registry.Logger(log.New(io.Discard, "", 0)),
	)
	return http.Serve(listener, handler)
}
