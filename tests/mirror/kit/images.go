package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
)

// Each tag is an index of two images (amd64, arm64) of three layers and a configuration: one layer of 5 MB that all
// share, one of 2 MB for each repository, one of 0.5 MB for each tag; the same layers for both platforms.
func pushImages(address string, repositories, tags int) error {
	base := layer("base", 5<<20)
	var group errgroup.Group
	group.SetLimit(4)
	for repository := range repositories {
		path := fmt.Sprintf("team/app-%d", repository)
		own := layer(path, 2<<20)
		for tag := range tags {
			group.Go(func() error {
				label := fmt.Sprintf("1.%d.0", tag)
				layers := []v1.Layer{base, own, layer(path+":"+label, 512<<10)}
				index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
				for _, architecture := range []string{"amd64", "arm64"} {
					image, err := imageOf(path+":"+label, architecture, layers)
					if err != nil {
						return err
					}
					index = mutate.AppendManifests(index, mutate.IndexAddendum{
						Add:        image,
						Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
					})
				}
				reference, err := parse(address, path, label)
				if err != nil {
					return err
				}
				// Registries stumble over the same layer arriving several times at once.
				for range 4 {
					if err = remote.WriteIndex(reference, index); err == nil {
						break
					}
				}
				return err
			})
		}
	}
	return group.Wait()
}

// One image with one layer of so many bytes, as tag `big`.
func pushLayer(address, path string, size int64) error {
	image, err := imageOf(path, "amd64", []v1.Layer{layer(path, size)})
	if err != nil {
		return err
	}
	reference, err := parse(address, path, "big")
	if err != nil {
		return err
	}
	return remote.Write(reference, image)
}

func printLayer(address, path, tag string) error {
	reference, err := parse(address, path, tag)
	if err != nil {
		return err
	}
	image, err := remote.Image(reference)
	if err != nil {
		return err
	}
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	fmt.Println(manifest.Layers[0].Digest)
	return nil
}

func imageOf(label, architecture string, layers []v1.Layer) (v1.Image, error) {
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	image, err := mutate.AppendLayers(image, layers...)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	config.Config.Labels = map[string]string{"image": label}
	return mutate.ConfigFile(image, config)
}

// Bytes that do not compress, always the same ones for the same label.
func noise(label string, size int64) []byte {
	sum := sha256.Sum256([]byte(label))
	source := rand.NewPCG(binary.LittleEndian.Uint64(sum[:8]), binary.LittleEndian.Uint64(sum[8:16]))
	content := make([]byte, size+8)
	for at := int64(0); at < size; at += 8 {
		binary.LittleEndian.PutUint64(content[at:], source.Uint64())
	}
	return content[:size]
}

func layer(label string, size int64) v1.Layer {
	return static.NewLayer(noise(label, size), types.OCILayer)
}

func parse(address, path, tag string) (name.Reference, error) {
	return name.ParseReference(fmt.Sprintf("%s/%s:%s", address, path, tag), name.Insecure)
}
