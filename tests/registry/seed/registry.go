package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// registry speaks the distribution API, as far as pushing needs it.
type registry struct {
	base   string
	client *http.Client
}

func newRegistry(address string) *registry {
	return &registry{base: "http://" + address, client: &http.Client{Timeout: 30 * time.Second}}
}

// pushImage pushes under a tag or a digest, and returns the digest of the manifest.
func (r *registry) pushImage(repository, reference string, image content) (string, error) {
	for _, blob := range image.blobs {
		if err := r.pushBlob(repository, blob); err != nil {
			return "", err
		}
	}
	return r.pushManifest(repository, reference, manifestType, image.manifest)
}

// pushIndex pushes an image for each of two platforms, and the index that names both.
func (r *registry) pushIndex(repository, tag string) (string, error) {
	var manifests []descriptor
	for _, architecture := range []string{"amd64", "arm64"} {
		image := image(repository, tag, architecture)
		described := describe(manifestType, image.manifest)
		described.Platform = &platform{OS: "linux", Architecture: architecture}
		if _, err := r.pushImage(repository, described.Digest, image); err != nil {
			return "", err
		}
		manifests = append(manifests, described)
	}
	index := encode(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": manifests})
	return r.pushManifest(repository, tag, indexType, index)
}

func (r *registry) deleteTag(repository, tag string) error {
	_, err := r.do(http.MethodDelete, r.manifestURL(repository, tag), "", nil, http.StatusAccepted)
	return err
}

func (r *registry) pushManifest(repository, reference, mediaType string, manifest []byte) (string, error) {
	_, err := r.do(http.MethodPut, r.manifestURL(repository, reference), mediaType, manifest, http.StatusCreated)
	return digestOf(manifest), err
}

func (r *registry) pushBlob(repository string, blob []byte) error {
	response, err := r.do(http.MethodPost, r.base+"/v2/"+repository+"/blobs/uploads/", "", nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	upload, err := response.Request.URL.Parse(response.Header.Get("Location"))
	if err != nil {
		return err
	}
	query := upload.Query()
	query.Set("digest", digestOf(blob))
	upload.RawQuery = query.Encode()
	_, err = r.do(http.MethodPut, upload.String(), "application/octet-stream", blob, http.StatusCreated)
	return err
}

func (r *registry) manifestURL(repository, reference string) string {
	return r.base + "/v2/" + repository + "/manifests/" + url.PathEscape(reference)
}

// do wants the given status. The body of the response is consumed.
func (r *registry) do(method, address, contentType string, body []byte, want int) (*http.Response, error) {
	request, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s: %s", method, address, response.Status, strings.TrimSpace(string(answer)))
	}
	return response, nil
}
