package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
	emptyType    = "application/vnd.oci.empty.v1+json"
)

type document = map[string]any

// Pushes by hand, byte for byte.
type pusher struct {
	base string // http://HOST:PORT/v2/REPOSITORY
}

// One tag for each odd thing that the specifications allow. Prints `TAG DIGEST`, or `TAG refused STATUS` where the
// registry does not take it.
func pushOdd(address, repository string) error {
	p := &pusher{base: "http://" + address + "/v2/" + repository}
	config, err := p.blob([]byte(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}`), configType, false)
	if err != nil {
		return err
	}
	layer, err := p.blob(noise("odd", 4096), layerType, false)
	if err != nil {
		return err
	}
	nothing, err := p.blob([]byte("{}"), emptyType, false)
	if err != nil {
		return err
	}
	image := func(more document) document {
		it := document{"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": []any{layer}}
		for key, value := range more {
			it[key] = value
		}
		return it
	}
	plain, err := p.tag("plain", manifestType, image(nil))
	if err != nil || plain == nil {
		return fmt.Errorf("a plain image: %w", err)
	}
	missing := digestOf([]byte("missing"))
	index := func(manifests ...document) document {
		return document{"schemaVersion": 2, "mediaType": indexType, "manifests": manifests}
	}
	with := func(descriptor document, more document) document {
		it := document{}
		for _, from := range []document{descriptor, more} {
			for key, value := range from {
				it[key] = value
			}
		}
		return it
	}
	amd64 := with(plain, document{"platform": document{"os": "linux", "architecture": "amd64"}})
	type oddity struct {
		tag, mediaType string
		content        document
	}
	oddities := []oddity{
		{"no-layers", manifestType, image(document{"layers": []any{}})},
		{"twice-the-same-layer", manifestType, image(document{"layers": []any{layer, layer}})},
		{"data-field", manifestType, image(document{"config": with(config, document{"data": "e30="})})},
		{"custom-fields", manifestType, image(document{"org.example.custom": document{"ünï": []any{1, 2.5, nil, true}}, "annotations": document{"a": "b\n\u0000c"}})},
		{"subject", manifestType, image(document{"subject": plain, "artifactType": "application/vnd.example.signature"})},
		{"subject-missing", manifestType, image(document{"subject": document{"mediaType": manifestType, "digest": missing, "size": 7}})},
		{"artifact", manifestType, document{"schemaVersion": 2, "mediaType": manifestType, "artifactType": "application/vnd.example.sbom", "config": nothing, "layers": []any{layer}}},
		{"foreign-layer", manifestType, image(document{"layers": []any{layer, document{
			"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "digest": missing, "size": 7,
			"urls": []any{"http://127.0.0.1:1/foreign"}}}})},
		{"no-media-type", manifestType, func() document { it := image(nil); delete(it, "mediaType"); return it }()},
		{"index", indexType, index(amd64)},
		{"index-without-platform", indexType, index(plain)},
		{"empty-index", indexType, index()},
		{"sparse-index", indexType, index(amd64, document{"mediaType": manifestType, "digest": missing, "size": 7,
			"platform": document{"os": "linux", "architecture": "s390x"}})},
		{"docker", "application/vnd.docker.distribution.manifest.v2+json", document{"schemaVersion": 2,
			"mediaType": "application/vnd.docker.distribution.manifest.v2+json",
			"config":    with(config, document{"mediaType": "application/vnd.docker.container.image.v1+json"}),
			"layers":    []any{with(layer, document{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"})}}},
	}
	for _, odd := range oddities {
		if _, err := p.tag(odd.tag, odd.mediaType, odd.content); err != nil {
			return err
		}
	}
	if empty, err := p.blob(nil, layerType, false); err == nil {
		if _, err := p.tag("empty-layer", manifestType, image(document{"layers": []any{empty}})); err != nil {
			return err
		}
	} else {
		fmt.Printf("empty-layer refused: %v\n", err)
	}
	if large, err := p.blob(noise("sha512", 2048), layerType, true); err == nil {
		if _, err := p.tag("sha512-layer", manifestType, image(document{"layers": []any{large}})); err != nil {
			return err
		}
	} else {
		fmt.Printf("sha512-layer refused: %v\n", err)
	}
	nested, err := p.tag("inner-index", indexType, index(amd64))
	if err != nil {
		return err
	}
	if nested != nil {
		if _, err := p.tag("index-of-index", indexType, index(nested, amd64)); err != nil {
			return err
		}
	}
	signature := strings.Replace(plain["digest"].(string), ":", "-", 1) + ".sig"
	_, err = p.tag(signature, manifestType, image(document{"layers": []any{with(layer, document{"annotations": document{"dev.cosignproject.cosign/signature": "x"}})}}))
	return err
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (p *pusher) blob(content []byte, mediaType string, long bool) (document, error) {
	digest := digestOf(content)
	if long {
		sum := sha512.Sum512(content)
		digest = "sha512:" + hex.EncodeToString(sum[:])
	}
	begun, err := http.Post(p.base+"/blobs/uploads/", "", nil)
	if err != nil {
		return nil, err
	}
	begun.Body.Close()
	if begun.StatusCode != http.StatusAccepted {
		return nil, fmt.Errorf("an upload: %s", begun.Status)
	}
	location, err := begun.Request.URL.Parse(begun.Header.Get("Location"))
	if err != nil {
		return nil, err
	}
	query := location.Query()
	query.Set("digest", digest)
	location.RawQuery = query.Encode()
	request, err := http.NewRequest(http.MethodPut, location.String(), bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/octet-stream")
	ended, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer ended.Body.Close()
	if ended.StatusCode != http.StatusCreated {
		said, _ := io.ReadAll(io.LimitReader(ended.Body, 300))
		return nil, fmt.Errorf("%s %s", ended.Status, said)
	}
	return document{"mediaType": mediaType, "digest": digest, "size": len(content)}, nil
}

// Puts a manifest; nil, when the registry refuses it.
func (p *pusher) tag(tag, mediaType string, content document) (document, error) {
	// Indented, as people write: what is copied has to keep every byte.
	text, err := json.MarshalIndent(content, "", "   ")
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(http.MethodPut, p.base+"/manifests/"+url.PathEscape(tag), bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", mediaType)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		fmt.Printf("%s refused %d\n", tag, answer.StatusCode)
		return nil, nil
	}
	fmt.Printf("%s %s\n", tag, digestOf(text))
	return document{"mediaType": mediaType, "digest": digestOf(text), "size": len(text)}, nil
}
