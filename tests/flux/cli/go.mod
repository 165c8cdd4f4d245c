// Flux's command line, which the end-to-end tests run against our objects: built from source.
//
// Its released module lacks the generated manifests that it embeds, so tests/bin/flux builds it from a copy, with
// the go.mod and go.sum that the copy brings: go.sum here vouches for them.
module tagscope.dev/tests/flux/cli

go 1.26.0

require github.com/fluxcd/flux2/v2 v2.9.5
