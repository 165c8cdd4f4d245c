package main

import (
	"fmt"
	"io"
	"sort"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Reads every tag to its last byte: a tag whose content is not whole is an error. A repository that is not there has no tags.
func check(address string, repositories []string) error {
	seen := map[string]bool{}
	for _, path := range repositories {
		repository, err := name.NewRepository(address+"/"+path, name.Insecure)
		if err != nil {
			return err
		}
		tags, err := remote.List(repository)
		if err != nil {
			if failure, ok := err.(*transport.Error); ok && failure.StatusCode == 404 {
				continue
			}
			return err
		}
		sort.Strings(tags)
		for _, tag := range tags {
			descriptor, err := remote.Get(repository.Tag(tag))
			if err != nil {
				return fmt.Errorf("%s:%s: %w", path, tag, err)
			}
			if err := whole(repository, descriptor, seen); err != nil {
				return fmt.Errorf("%s:%s: %w", path, tag, err)
			}
			fmt.Printf("%s:%s %s\n", path, tag, descriptor.Digest)
		}
	}
	return nil
}

func whole(repository name.Repository, descriptor *remote.Descriptor, seen map[string]bool) error {
	key := repository.String() + "@" + descriptor.Digest.String()
	if seen[key] {
		return nil
	}
	if descriptor.MediaType.IsIndex() {
		index, err := descriptor.ImageIndex()
		if err != nil {
			return err
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			return err
		}
		for _, child := range manifest.Manifests {
			found, err := remote.Get(repository.Digest(child.Digest.String()))
			if err != nil {
				return err
			}
			if err := whole(repository, found, seen); err != nil {
				return err
			}
		}
	} else {
		image, err := descriptor.Image()
		if err != nil {
			return err
		}
		if err := wholeImage(repository, image, seen); err != nil {
			return err
		}
	}
	seen[key] = true
	return nil
}

func wholeImage(repository name.Repository, image v1.Image, seen map[string]bool) error {
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	config, err := partial.ConfigLayer(image)
	if err == nil {
		if err := wholeLayer(repository, config, manifest.Config.Size, seen); err != nil {
			return err
		}
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for number, layer := range layers {
		mediaType, err := layer.MediaType()
		if err != nil {
			return err
		}
		if !mediaType.IsDistributable() {
			continue
		}
		if err := wholeLayer(repository, layer, manifest.Layers[number].Size, seen); err != nil {
			return err
		}
	}
	return nil
}

// The library compares the digest with what it reads.
func wholeLayer(repository name.Repository, layer v1.Layer, size int64, seen map[string]bool) error {
	digest, err := layer.Digest()
	if err != nil {
		return err
	}
	key := repository.String() + "@" + digest.String()
	if seen[key] {
		return nil
	}
	reader, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer reader.Close()
	read, err := io.Copy(io.Discard, reader)
	if err != nil {
		return fmt.Errorf("%s: %w", digest, err)
	}
	if read != size {
		return fmt.Errorf("%s: %d bytes, not %d", digest, read, size)
	}
	seen[key] = true
	return nil
}
