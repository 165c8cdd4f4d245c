package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
	// Signatures as cosign stores them: one layer that holds the signed payload.
	signatureLayerType = "application/vnd.dev.cosign.simplesigning.v1+json"
)

type descriptor struct {
	MediaType string    `json:"mediaType"`
	Digest    string    `json:"digest"`
	Size      int       `json:"size"`
	Platform  *platform `json:"platform,omitempty"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

// content is an image as it is pushed: blobs first, then the manifest that names them.
type content struct {
	blobs    [][]byte
	manifest []byte
}

// image makes a small one whose only layer holds one file that says which tag it is.
func image(repository, tag, architecture string) content {
	text := fmt.Sprintf("%s:%s for %s\n", repository, tag, architecture)
	archive := tarOf("about.txt", []byte(text))
	var layer bytes.Buffer
	zip := gzip.NewWriter(&layer)
	must(zip.Write(archive))
	must(0, zip.Close())
	config := encode(map[string]any{
		"created":      "2024-06-01T00:00:00Z",
		"os":           "linux",
		"architecture": architecture,
		"config":       map[string]any{"Labels": map[string]string{"org.opencontainers.image.version": tag}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{digestOf(archive)}},
	})
	return assemble(config, layer.Bytes(), layerType)
}

// signature makes what a signing tool would push for the image with this digest.
func signature(repository, digest string) content {
	payload := encode(map[string]any{
		"critical": map[string]any{
			"identity": map[string]string{"docker-reference": repository},
			"image":    map[string]string{"docker-manifest-digest": digest},
			"type":     "cosign container image signature",
		},
		"optional": nil,
	})
	config := encode(map[string]any{
		"os": "", "architecture": "",
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digestOf(payload)}},
	})
	return assemble(config, payload, signatureLayerType)
}

func assemble(config, layer []byte, layerMediaType string) content {
	return content{
		blobs: [][]byte{config, layer},
		manifest: encode(map[string]any{
			"schemaVersion": 2,
			"mediaType":     manifestType,
			"config":        describe(configType, config),
			"layers":        []descriptor{describe(layerMediaType, layer)},
		}),
	}
}

func describe(mediaType string, data []byte) descriptor {
	return descriptor{MediaType: mediaType, Digest: digestOf(data), Size: len(data)}
}

func digestOf(data []byte) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256(data))
}

func tarOf(name string, data []byte) []byte {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	must(0, writer.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}))
	must(writer.Write(data))
	must(0, writer.Close())
	return archive.Bytes()
}

func encode(value any) []byte {
	data, err := json.Marshal(value)
	must(0, err)
	return data
}

// must is for writes to memory, which do not fail.
func must(_ int, err error) {
	if err != nil {
		panic(err)
	}
}
